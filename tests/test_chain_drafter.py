"""The chain drafter, with real models: tiny random ones, and the embedded family."""

import random

import pytest
import torch
from flyball.inference.drafters.chain.drafter import ChainDrafter
from flyball.inference.drafters.chain.level import Level
from flyball.inference.drafters.chain.tokens import common
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.policies.chains.plan import NO_CHAIN, Plan
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 11  # so few that random models often agree
SLOTS, CAPACITY = 4, 640


def tiny(seed, hidden=32, layers=2, kind=LlamaForCausalLM):
    torch.manual_seed(seed)
    config = (LlamaConfig if kind is LlamaForCausalLM else Qwen2Config)(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,
        attn_implementation="sdpa",
    )
    return kind(config).eval()


MODELS = {
    "small": tiny(1, layers=1),
    "middle": tiny(2),
    "large": tiny(3, hidden=48, kind=Qwen2ForCausalLM),
}


def levels(slots=SLOTS, capacity=CAPACITY):
    return [Level(name, model, slots, capacity) for name, model in MODELS.items()]


def drafter(plan, **sizes):
    made = ChainDrafter(levels(**sizes))
    made.use(plan)
    return made


@torch.inference_mode()
def scratch(name, text, count):
    """Greedy continuation with no cache at all."""
    text = list(text)
    for _ in range(count):
        text.append(MODELS[name](torch.tensor([text])).logits[0, -1].argmax().item())
    return text[len(text) - count :]


def prompt(seed, length):
    rng = random.Random(seed)
    return [rng.randrange(VOCABULARY) for _ in range(length)]


PLANS = [
    Plan(("small",), 4),
    Plan(("large",), 3),
    Plan(("small", "large"), 3, (2,)),
    Plan(("small", "middle", "large"), 2, (2, 1)),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_proposal_is_the_largest_models_own_continuation(plan):
    made = drafter(plan)
    text = prompt(0, 40)
    made.begin("r", text, Owner())
    [draft] = made.propose([Ask("r", 8)])
    assert 1 <= len(draft) <= plan.longest
    assert draft == scratch(plan.models[-1], text, len(draft))


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_after_any_acceptances_caches_are_as_from_scratch(seed):
    """Logits after random drafts, acceptances, joins, ends and changes of plan."""
    rng = random.Random(seed)
    made = drafter(PLANS[0], slots=3)
    texts = {}
    for step in range(12):
        made.use(rng.choice(PLANS))
        if len(texts) < 3 and rng.random() < 0.6:
            name = f"r{step}"
            known = [*texts.values(), prompt(5, 40)]
            shared = rng.choice(known)[: rng.randrange(60)]
            texts[name] = shared + prompt(rng.random(), rng.randrange(1, 40))
            made.begin(name, texts[name], Owner())
        elif texts and rng.random() < 0.2:
            gone = rng.choice(sorted(texts))
            made.end(gone)
            del texts[gone]
        asked = [Ask(name, rng.randint(1, 8)) for name in texts if rng.random() < 0.8]
        rng.shuffle(asked)
        for ask, draft in zip(asked, made.propose(asked), strict=True):
            text = texts[ask.request]
            assert draft == scratch(made.plan.models[-1], text, len(draft))
            assert 1 <= len(draft) <= min(ask.depth, made.plan.longest)
            accepted = draft[: rng.randint(0, len(draft))]
            emitted = [*accepted, *prompt(rng.random(), 1)]
            texts[ask.request] = text + emitted
            made.extend(ask.request, emitted)
    check_logits(made, texts)


def check_logits(made, texts):
    """What every model would say next is bitwise close to what it says without a cache."""
    slots = [made._requests[name].slot for name in texts]
    seated = [
        (slot, text) for slot, text in zip(slots, texts.values(), strict=True) if slot is not None
    ]
    for name, level in made._levels.items():
        if not seated:
            return
        slots, whole = zip(*seated, strict=True)
        found = level.logits(slots, whole, [1] * len(whole))
        for text, mine in zip(whole, found, strict=True):
            with torch.inference_mode():
                fresh = MODELS[name](torch.tensor([text])).logits[0, -1]
            torch.testing.assert_close(mine[-1], fresh, rtol=1e-4, atol=1e-4)
            assert mine[-1].argmax() == fresh.argmax()


def test_rollback_runs_nothing_again():
    [level] = [level for level in levels() if level.name == "middle"]
    text = prompt(1, 50)
    level.draft([0], [text], 4)
    before = level.passes
    level.settle(0, [*text, 0])
    kept = len(level.held[0])
    assert kept >= len(text)
    level.read([0], [[*text, 0, 1]], [1])
    assert level.passes == before + 1
    assert level.held[0] == [*text, 0, 1]


def test_rows_of_a_batch_are_independent():
    texts = {f"r{k}": prompt(k, length) for k, length in enumerate((3, 47, 300, 18))}
    plan = Plan(("small", "middle", "large"), 2, (2, 2))
    together = drafter(plan)
    for name, text in texts.items():
        together.begin(name, text, Owner())
    drafts = together.propose([Ask(name, 6) for name in texts])
    for (name, text), draft in zip(texts.items(), drafts, strict=True):
        alone = drafter(plan)
        alone.begin(name, text, Owner())
        assert alone.propose([Ask(name, 6)]) == [draft]


def test_depths_are_those_asked_for():
    made = drafter(Plan(("small", "large"), 3, (3,)))
    for k in range(3):
        made.begin(str(k), prompt(k, 20), Owner())
    drafts = made.propose([Ask("0", 1), Ask("1", 2), Ask("2", 8)])
    assert [len(draft) for draft in drafts[:2]] == [1, 2]
    assert 3 <= len(drafts[2]) <= 8


def test_a_model_that_joins_catches_up_in_chunks():
    made = drafter(Plan(("small",), 2))
    text = prompt(2, 500)
    made.begin("r", text, Owner())
    made.propose([Ask("r", 2)])
    large = made._levels["large"]
    assert made.lags()["large"] == 500
    made.use(Plan(("small", "large"), 2, (1,)))
    made.propose([Ask("r", 2)])
    assert large.passes == 3  # two chunks, and the verification
    check_logits(made, {"r": text})


def test_an_ended_requests_beginning_is_taken_over_without_running_it():
    made = drafter(Plan(("middle",), 1))
    text = prompt(3, 200)
    made.begin("a", text, Owner("tenant"))
    [draft] = made.propose([Ask("a", 1)])
    made.extend("a", [(draft[0] + 1) % VOCABULARY])
    made.end("a")
    middle = made._levels["middle"]
    before = middle.passes
    later = text + prompt(4, 10)
    made.begin("b", later, Owner("tenant"))
    made.propose([Ask("b", 1)])
    assert middle.passes == before + 1
    check_logits(made, {"b": later})


def test_a_running_requests_beginning_is_copied():
    made = drafter(Plan(("middle",), 3))
    text = prompt(3, 200)
    for name in "ab":
        made.begin(name, text, Owner())
    made.propose([Ask("a", 3)])
    middle = made._levels["middle"]
    middle.settle(made._requests["a"].slot, text)
    before = middle.passes
    made.propose([Ask("b", 1)])
    assert middle.passes == before + 1
    assert made._requests["a"].slot != made._requests["b"].slot
    check_logits(made, {"a": text, "b": text})


def test_nothing_is_shared_across_tenants():
    made = drafter(Plan(("middle",), 1))
    text = prompt(3, 200)
    made.begin("a", text, Owner("one"))
    made.propose([Ask("a", 1)])
    made.end("a")
    middle = made._levels["middle"]
    before = middle.passes
    made.begin("b", text, Owner("two"))
    made.propose([Ask("b", 1)])
    assert middle.passes > before + 1  # it was run, chunk by chunk


def test_only_what_the_target_committed_is_shared():
    made = drafter(Plan(("middle",), 8))
    text = prompt(3, 40)
    made.begin("a", text, Owner())
    [draft] = made.propose([Ask("a", 8)])
    made.end("a")
    middle = made._levels["middle"]
    assert middle.held[0] == text
    found = made._slots.take(text + draft, "")
    assert found.shared == len(text)


def test_slots_are_reused_and_run_out_without_harm():
    made = drafter(Plan(("small",), 2), slots=2)
    for number in range(6):
        made.begin(str(number), prompt(number, 30), Owner(str(number)))
    asks = [Ask(str(number), 2) for number in range(6)]
    assert [len(draft) for draft in made.propose(asks)] == [2, 2, 0, 0, 0, 0]
    made.end("0")
    drafts = made.propose(asks)
    assert [len(draft) for draft in drafts] == [0, 2, 2, 0, 0, 0]
    assert drafts[2] == scratch("small", prompt(2, 30), 2)


def test_requests_at_the_end_of_their_slot_get_what_fits_then_nothing():
    made = drafter(Plan(("small", "large"), 3, (2,)), capacity=64)
    text = prompt(0, 62)
    made.begin("r", text, Owner())
    [draft] = made.propose([Ask("r", 8)])
    assert draft == scratch("large", text, 2)
    made.extend("r", draft)
    assert made.propose([Ask("r", 8)]) == [[]]


def test_what_is_not_known_or_empty_gets_no_draft():
    made = drafter(Plan(("small",), 2))
    made.begin("empty", [], Owner())
    made.end("never")
    made.extend("never", [1])
    assert made.propose([Ask("never", 2), Ask("empty", 2)]) == [[], []]
    made.use(NO_CHAIN)
    made.begin("r", prompt(0, 5), Owner())
    assert made.propose([Ask("r", 2)]) == [[]]


def test_runs_tell_what_each_model_accepted():
    made = drafter(Plan(("small", "large"), 3, (2,)))
    text = prompt(7, 30)
    made.begin("r", text, Owner())
    made.propose([Ask("r", 8)])
    runs = made.drain()
    assert len(runs) == 2
    position = list(text)
    for run in runs:
        assert (run.request, run.lower, run.upper, run.drafted) == ("r", "small", "large", 3)
        lower, upper = scratch("small", position, 3), scratch("large", position, 4)
        assert run.accepted == common(lower, upper)
        position += upper[: run.accepted + 1]
    assert made.drain() == []


@pytest.mark.parametrize("models", [("large", "small"), ("other",)])
def test_a_plan_of_other_models_or_another_order_is_refused(models):
    with pytest.raises(ValueError, match="smallest first, small, middle, large"):
        drafter(NO_CHAIN).use(Plan(models, 1, (1,) * (len(models) - 1)))
