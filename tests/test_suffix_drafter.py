"""The suffix memory as a drafter: what it drafts, how far, and for whom."""

import numpy as np
import pytest
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.drafters.suffix import Memory, SuffixDrafter
from flyball.inference.drafters.suffix.store import Store
from flyball.inference.drafters.suffix.tokens import AHEAD
from flyball.inference.drafters.suffix.trust import LENGTHS, PRIOR, Trust, cell, length_range
from hypothesis import given, settings
from hypothesis import strategies as st

A, B = Owner("a", ""), Owner("b", "")
RNG = np.random.default_rng(0)
TEXT = RNG.permutation(2000)[:300].tolist()


@pytest.fixture
def drafter():
    made = SuffixDrafter()
    yield made
    made.close()


def remember(drafter, text, owner=A, name="earlier"):
    drafter.begin(name, text, owner)
    drafter.end(name)


def drafted(drafter, prompt, depth=8, owner=A):
    """Drafted after a prompt that is then forgotten."""
    drafter.begin("now", prompt, owner)
    (found,) = drafter.propose([Ask("now", depth)])
    forget(drafter, "now", owner)
    return found


def forget(drafter, name, owner=A):
    """End a request without its tokens being remembered."""
    drafter._requests.pop(name)
    drafter.memory.release(owner.tenant)


def test_what_followed_in_the_prompt_is_drafted(drafter):
    assert drafted(drafter, [*TEXT[:50], 5000, *TEXT[20:30]], 6) == TEXT[30:36]


def test_what_was_emitted_is_remembered_at_once(drafter):
    drafter.begin("now", [1], A)
    for token in [*TEXT[:40], *TEXT[10:20]]:
        drafter.extend("now", [token])
    assert drafter.propose([Ask("now", 4)]) == [TEXT[20:24]]


@pytest.mark.parametrize("part", ["prompt", "output"])
@pytest.mark.parametrize("is_sorted", [False, True])
def test_prompts_and_outputs_of_earlier_requests_are_drafted_from(drafter, part, is_sorted):
    drafter.begin("earlier", TEXT if part == "prompt" else TEXT[:1], A)
    drafter.extend("earlier", [1] if part == "prompt" else TEXT[1:])
    drafter.end("earlier")
    if is_sorted:
        store = drafter.memory.acquire("a")
        store.generations = (store.newest.sorted(),)
        store.release(store.seal())
        drafter.memory.release("a")
    assert drafted(drafter, TEXT[100:120]) == TEXT[120:128]


def test_depth_bounds_a_draft_and_nothing_known_gives_none(drafter):
    remember(drafter, TEXT)
    assert len(drafted(drafter, TEXT[:30], depth=1)) == 1
    assert len(drafted(drafter, TEXT[:30], depth=1000)) <= AHEAD
    assert drafted(drafter, [7000, 7001]) == []
    drafter.begin("empty", [], A)
    drafter.begin("unknown", [7000], A)
    assert drafter.propose([Ask("empty", 4), Ask("unknown", 4)]) == [[], []]


def test_a_tenants_tokens_never_reach_another(drafter, tmp_path):
    secret = list(range(5000, 5100))
    folder = tmp_path / "stores"
    memory = Memory(folder=folder, tokenizer="t")
    first = SuffixDrafter(memory)
    prompt = TEXT[:50]
    for owner, answer in ((A, secret), (B, TEXT[50:150])):
        first.begin("r", prompt, owner)
        first.extend("r", answer)
        first.end("r")
    first.begin("still running", [*prompt, *secret], A)
    for drafter in (first, SuffixDrafter(Memory(folder=folder, tokenizer="t"))):
        for owner in (A, B, Owner("c", "")):  # stores are read when their tenants come
            drafter.begin("wake", [], owner)
        drafter.memory.drain()
        # The control: its owner does see it, from the same prompt.
        assert drafted(drafter, prompt, owner=A) == secret[:8]
        assert drafted(drafter, prompt, owner=B) == TEXT[50:58]
        assert drafted(drafter, prompt, owner=Owner("c", "")) == []
        for end in range(1, len(secret)):  # nor for one who knows how it begins
            assert drafted(drafter, [*prompt, *secret[:end]], owner=B) == []
        drafter.close()


def test_one_tenants_verdicts_do_not_move_anothers_estimates(drafter):
    for owner in (A, B):
        remember(drafter, TEXT, owner)
    before = drafted_survival(drafter, B)
    for number in range(50):
        drafter.begin("r", TEXT[:20], A)
        drafter.propose([Ask("r", 4)])
        drafter.extend("r", [6000 + number])
        forget(drafter, "r")
    assert drafted_survival(drafter, B) == before
    assert drafted_survival(drafter, A) != before


def drafted_survival(drafter, owner):
    drafter.begin("probe", TEXT[:20], owner)
    found = drafter.draft(Ask("probe", 4, 1e-6)).survival
    forget(drafter, "probe", owner)
    return found


def test_of_equal_matches_the_sessions_own_wins(drafter):
    here, elsewhere = [*TEXT[:20], 6001], [*TEXT[:20], 6002]
    remember(drafter, here, Owner("a", "here"))
    remember(drafter, elsewhere, Owner("a", "elsewhere"))
    # Which source is right is learned: the session's, here.
    for number in range(20):
        drafter.begin(f"r{number}", TEXT[:20], Owner("a", "here"))
        drafter.propose([Ask(f"r{number}", 2)])
        drafter.extend(f"r{number}", [6001])
        forget(drafter, f"r{number}")
    assert drafted(drafter, TEXT[:20], owner=Owner("a", "here")) == [6001]
    assert drafted(drafter, TEXT[:20], owner=Owner("a", "elsewhere")) == [6002]


def test_the_most_frequent_continuation_is_drafted(drafter):
    for number, last in enumerate([6001, 6002, 6002, 6002, 6001]):
        remember(drafter, [7000 + number, *TEXT[:6], last])
    assert drafted(drafter, TEXT[:6], depth=1) == [6002]


def test_survival_falls_and_bounds_the_draft(drafter):
    remember(drafter, TEXT)
    drafter.begin("now", TEXT[:3], A)
    whole = drafter.draft(Ask("now", 20, 1e-9))
    assert len(whole.tokens) == 20
    assert all(0 < b <= a <= 1 for a, b in zip(whole.survival, whole.survival[1:], strict=False))
    for threshold in (0.05, 0.2, 0.5, 0.9):
        found = drafter.draft(Ask("now", 20, threshold))
        assert found.tokens == whole.tokens[: sum(s >= threshold for s in whole.survival)]


def test_longer_matches_are_trusted_further(drafter):
    remember(drafter, TEXT)
    lengths = [len(drafted(drafter, [8000, *TEXT[50 - n : 50]], 32)) for n in (1, 3, 12, 40)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_rejections_shorten_a_requests_drafts_and_acceptance_lengthens_them(drafter):
    remember(drafter, TEXT)

    def survival(emitted):
        drafter.begin("r", TEXT[:6], A)
        start = 6
        for _ in range(6):
            drafter.propose([Ask("r", 4)])
            drafter.extend("r", [TEXT[start]] if emitted else [9000])
            drafter.extend("r", TEXT[start : start + 6])
            start += 6
        found = drafter.draft(Ask("r", 4, 1e-9)).survival[3]
        forget(drafter, "r")
        return found

    accepted_always = survival(True)
    assert survival(False) < accepted_always


def test_drafts_that_were_not_used_are_judged_too():
    trust = Trust()
    cells = np.array([cell(2, 10, 1.0, 1), cell(2, 11, 1.0, 1)])
    guesses = np.array([[-1, 0], [-1, 0], [7, 2 * LENGTHS + length_range(10)]])
    before = trust.chance[cells[0]], trust.right[guesses[2, 1]]
    judged = trust.judge(np.array([7, 8], np.uint32), cells, guesses, np.array([7], np.uint32))
    # The target was asked for one token only: the first draft proved right, nothing about the next.
    assert judged[0] == 1
    assert judged[2] == 0
    assert trust.chance[cells[0]] == pytest.approx((PRIOR * before[0] + 1) / (PRIOR + 1))
    assert trust.right[guesses[2, 1]] == pytest.approx((PRIOR * before[1] + 1) / (PRIOR + 1))
    judged = trust.judge(np.array([7, 8], np.uint32), cells, guesses, np.array([6, 8], np.uint32))
    assert (judged[0], judged[2]) == (1, 1)  # what stands after a rejection says nothing


def test_chances_come_to_be_what_is_accepted():
    trust, rng = Trust(), np.random.default_rng(1)
    cells = np.array([cell(0, 3, 0.6, 2)])
    guesses = np.full((3, 2), -1)
    for _ in range(20_000):
        emitted = np.array([rng.random() < 0.3], np.uint32)
        trust.judge(np.array([1], np.uint32), cells, guesses, emitted)
    assert trust.chance[cells[0]] == pytest.approx(0.3, abs=0.03)


def test_what_every_request_begins_with_is_kept_once():
    store, system = Store(), TEXT[:256]
    conversation = list(system)
    for turn in range(20):
        conversation += range(3000 + 40 * turn, 3040 + 40 * turn)
        store.add(np.array(conversation, np.uint32), 1)
    assert len(store) < 1.6 * len(conversation)
    held = len(store)
    store.add(np.array(conversation, np.uint32), 2)
    assert len(store) <= held + 64


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 4), max_size=50), max_size=8), st.integers(1, 12))
def test_drafts_are_always_in_bounds_and_copies_of_something(texts, depth):
    drafter, seen = SuffixDrafter(threshold=1e-3), set()
    for number, text in enumerate(texts):
        drafter.begin("r", text, Owner("t", str(number % 2)))
        draft = drafter.propose([Ask("r", depth)])[0]
        assert len(draft) <= depth
        seen.update(text)
        assert set(draft) <= seen
        drafter.extend("r", [number % 5])
        seen.add(number % 5)
        drafter.end("r")
    drafter.close()


def test_bad_input_is_refused_and_strangers_are_told(drafter):
    for bad in ([-1], [2**32 - 1], [2**40]):
        with pytest.raises(ValueError, match="ids of tokens"):
            drafter.begin("r", bad, A)
    with pytest.raises(KeyError):
        drafter.propose([Ask("nobody", 3)])
    with pytest.raises(KeyError):
        drafter.extend("nobody", [1])
    drafter.end("nobody")
    drafter.begin("r", [1, 2, 3], A)
    with pytest.raises(ValueError, match="ids of tokens"):
        drafter.extend("r", [-5])
    drafter.extend("r", [1])
    assert drafter.propose([Ask("r", 3)])[0][:1] == [2]
    for threshold in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="survival"):
            SuffixDrafter(drafter.memory, threshold)


def test_what_is_not_worth_verifying_is_learned_of_all_the_same(drafter):
    remember(drafter, TEXT)
    drafter.begin("now", TEXT[:20], A)
    before = drafter.draft(Ask("now", 4)).survival
    for end in range(20, 280):
        # The first draft is wrong: by what is then believed none would be worth it for long.
        ask = Ask("now", 4, 0.9)
        found = drafter.draft(ask)
        assert all(alone >= 0.9 for alone in found.survival)
        assert drafter.promised("now") == pytest.approx(sum(found.survival))
        drafter.extend("now", [6000] if end == 20 else [TEXT[end]])
    assert before[0] < 0.9
    assert found.tokens == TEXT[279:283]
    assert found.survival[0] > 0.9
