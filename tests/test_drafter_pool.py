"""Several drafters at once, and what becomes of those that fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest
from drafters import Scripted, constant
from flyball.inference.drafters.catalogue import BUILDERS, DrafterContext, build, parse
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.drafters.guarded import FAULT_LIMIT, FAULT_MEMORY, Guarded
from flyball.inference.drafters.ngram import NgramDrafter
from flyball.inference.drafters.pool import CHEAP, DrafterPool
from flyball.inference.drafters.scoring import Score, Scorer
from hypothesis import given
from hypothesis import strategies as st

VOCABULARY = 100
CONTEXT = DrafterContext(VOCABULARY, 6, 8, 1024, "target")


def pool(budget: float = 0.0, **drafters: Scripted) -> DrafterPool:
    made = DrafterPool(drafters, VOCABULARY, budget)
    for request in "abc":
        made.begin(request, [1, 2], Owner("t", request))
    return made


def test_each_row_is_drafted_by_its_own_drafter() -> None:
    both = pool(x=constant(7, 8, 9), y=constant(5))
    rows = [("a", "x"), ("b", "y"), ("c", "none"), ("d", "x")]
    assert both.propose(rows, 2, 6) == [[7, 8], [5], [], []]
    assert both.propose(rows, 0, 6) == [[], [], [], []]


def test_every_drafter_is_told_what_is_worth_verifying() -> None:
    told: dict[str, list[float | None]] = {"used": [], "consulted": [], "scored": []}

    def telling(name: str) -> Scripted:
        def propose(asks: Sequence[Ask]) -> list[list[int]]:
            told[name] += [ask.least for ask in asks]
            return [[7] for _ in asks]

        return Scripted(propose)

    three = pool(1.0, **{name: telling(name) for name in told})
    three.consult("consulted", ["b"], 2, 0.3)
    three.propose([("a", "used"), ("b", "consulted")], 2, 2, 0.3)
    assert all(each and {*each} == {0.3} for each in told.values()), told
    three.propose([("a", "used")], 2, 2)
    assert told["used"][-1] is None


def test_every_drafter_is_told_of_every_request() -> None:
    x, y = constant(1), constant(2)
    both = pool(x=x, y=y)
    both.extend("a", [3, 4])
    both.extend("a", [])
    both.extend("nobody's", [5])
    both.begin("b", [9], Owner())  # the same name once more
    both.end("c")
    both.end("c")
    for drafter in (x, y):
        assert drafter.contexts == {"a": [1, 2, 3, 4], "b": [9]}
        assert drafter.owners["a"] == Owner("t", "a")
    both.close()
    assert x.closed
    assert y.closed


def raising(_: Sequence[Ask]) -> list[list[int]]:
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(
    ("propose", "says"),
    [
        (raising, "out of ideas"),
        (lambda asks: [[VOCABULARY]] * len(asks), "token 100 is not in"),
        (lambda asks: [[-1]] * len(asks), "token -1 is not in"),
        (lambda asks: [[1] * (ask.depth + 1) for ask in asks], "4 tokens, where 3"),
        (lambda asks: [[1]] * (len(asks) + 1), "2 drafts for 1 asks"),
        (lambda asks: [["x"]] * len(asks), "invalid literal"),
        (lambda _: None, "TypeError"),
    ],
    ids=["raises", "too high", "negative", "too long", "too many", "no tokens", "nothing"],
)
def test_what_is_no_draft_costs_the_draft_and_in_the_end_the_drafter(
    propose: object, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Scripted(propose)  # type: ignore[arg-type]
    both = pool(bad=bad, good=constant(5))
    rows = [("a", "bad"), ("b", "good")]
    for fault in range(1, FAULT_LIMIT + 1):
        with caplog.at_level(logging.WARNING, "flyball"):
            assert both.propose(rows, 3, 6) == [[], [5]]
        state = both.states()["bad"]
        assert (state.faults, state.out) == (fault, fault == FAULT_LIMIT)
        assert says in state.last_fault
    assert says in caplog.text
    both.close()  # that of what was taken out goes on beside the engine's steps
    assert bad.closed
    assert both.propose(rows, 3, 6) == [[], [5]]
    assert both.states()["bad"].faults == FAULT_LIMIT  # it is asked no more
    assert len(both) == 1


def test_a_good_draft_survives_a_bad_one_next_to_it() -> None:
    mixed = pool(x=Scripted(lambda _: [[1, VOCABULARY], [2]]))
    assert mixed.propose([("a", "x"), ("b", "x")], 3, 6) == [[], [2]]


def test_however_many_drafts_of_a_step_are_wrong_that_is_one_fault() -> None:
    drafter = Guarded("x", Scripted(lambda asks: [[VOCABULARY]] * len(asks)), VOCABULARY)
    asks = [Ask(str(number), 3) for number in range(FAULT_LIMIT + 1)]
    for fault in range(1, FAULT_LIMIT + 1):
        assert not drafter.out
        drafter.propose(asks)
        assert drafter.faults == fault
    assert drafter.out


def test_taking_a_drafter_out_does_not_wait_until_it_has_closed() -> None:
    hold = threading.Event()

    class Slow(Scripted):
        def close(self) -> None:
            hold.wait(30)
            super().close()

    slow = Slow(raising)
    drafter = Guarded("x", slow, VOCABULARY)
    for _ in range(FAULT_LIMIT):
        drafter.propose([Ask("a", 1)])
    assert drafter.out
    assert not slow.closed
    hold.set()
    drafter.close()
    assert slow.closed


def test_a_drafter_that_cannot_follow_a_request_is_not_asked_for_it() -> None:
    class Deaf(Scripted):
        def extend(self, request: str, tokens: Sequence[int]) -> None:
            if request == "a":
                raise KeyError(request)
            super().extend(request, tokens)

    both = pool(x=Deaf(lambda asks: [[1]] * len(asks)))
    both.extend("a", [3])
    both.extend("b", [3])
    assert both.propose([("a", "x"), ("b", "x")], 3, 6) == [[], [1]]
    assert both.states()["x"].faults == 1


def test_faults_far_apart_are_forgiven() -> None:
    calls = iter(range(10**9))

    def seldom(asks: Sequence[Ask]) -> list[list[int]]:
        if next(calls) % FAULT_MEMORY == 0:
            raise RuntimeError
        return [[1]] * len(asks)

    drafter = Guarded("x", Scripted(seldom), VOCABULARY)
    drafter.begin("a", [], Owner())
    for _ in range((FAULT_LIMIT + 1) * FAULT_MEMORY):
        drafter.propose([Ask("a", 1)])
    assert drafter.faults == FAULT_LIMIT + 1
    assert not drafter.out


def test_drafts_that_nobody_uses_are_scored() -> None:
    watched = pool(10.0, x=constant(1, 2, 3))
    watched.propose([("a", "draft")], 2, 3)
    watched.extend("a", [1])
    assert watched.scores() == []
    watched.extend("a", [2, 9])
    assert watched.scores() == [Score("x", "a", 3, 2, 3)]
    assert watched.scores() == []


def test_a_drafter_is_scored_only_where_it_is_not_used_and_cheap() -> None:
    watched = pool(10.0, x=constant(1), y=Scripted(lambda asks: [[] for _ in asks]))
    watched._members["x"].seconds = 2 * CHEAP
    watched.propose([("a", "y"), ("b", "x")], 2, 3)
    assert watched.scores() == [Score("y", "b", 0, 0, 3)]


def test_rows_take_turns_where_time_is_short() -> None:
    asked: list[str] = []

    def noting(asks: Sequence[Ask]) -> list[list[int]]:
        asked.extend(ask.request for ask in asks)
        return [[] for _ in asks]

    watched = pool(1e-9, x=Scripted(noting))
    for _ in range(6):
        watched.propose([(request, "none") for request in "abc"], 1, 1)
    assert asked == [*"abcabc"]


@given(
    st.lists(st.integers(0, 1), max_size=6),
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=3), max_size=6),
)
def test_a_score_is_the_common_beginning_however_tokens_come(
    draft: list[int], parts: list[list[int]]
) -> None:
    scorer = Scorer()
    scorer.add("r", "x", draft, 6)
    for part in parts:
        scorer.emitted("r", part)
    flat = [token for part in parts for token in part]
    agreed = next((i for i, (a, b) in enumerate(zip(draft, flat, strict=False)) if a != b), None)
    if agreed is None and len(flat) < len(draft):
        assert scorer.take() == []
        assert scorer.awaits("r", "x")
        scorer.end("r")
    else:
        accepted = len(draft) if agreed is None else agreed
        assert scorer.take() == [Score("x", "r", len(draft), accepted, 6)]
    assert not scorer.awaits("r", "x")


def test_drafters_are_named_and_built() -> None:
    assert parse("draft, ngram,none") == ("draft", "ngram", "none")
    built = build(parse("draft,none,ngram"), CONTEXT)
    assert [*built] == ["ngram"]
    assert isinstance(built["ngram"], NgramDrafter)
    path = BUILDERS["ngram"]
    assert isinstance(build(parse(path), CONTEXT)[path], NgramDrafter)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("draft,ngrams", "no drafter is called 'ngrams': there are none, draft, ngram"),
        ("ngram,ngram", "once"),
        (" , ", "at least one"),
        ("a b:c", "'a b:c'"),
    ],
)
def test_names_that_make_no_sense_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


@pytest.mark.parametrize("path", ["nowhere:build", "drafters:nothing", "builtins:int"])
def test_a_drafter_that_cannot_be_built_is_refused_by_name(path: str) -> None:
    with pytest.raises(ValueError, match=f"'{path}' cannot be built"):
        build([path], CONTEXT)


def test_what_is_no_drafter_is_refused() -> None:
    with pytest.raises(ValueError, match="no Drafter"):
        build(["builtins:repr"], CONTEXT)
