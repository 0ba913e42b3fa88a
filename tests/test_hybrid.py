"""The memory's drafts against the model's: whose are taken, and what is told of both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from drafters import Propose, Scripted, constant
from flyball.inference.drafter_choice import LearnedDrafters
from flyball.inference.drafter_records import DrafterRecords
from flyball.inference.drafter_times import DrafterTimes
from flyball.inference.drafters.catalogue import HYBRID, parse
from flyball.inference.drafters.drafter import Owner
from flyball.inference.drafters.exchange import ASSIGNMENT, Assignment, Costs
from flyball.inference.drafters.pool import DrafterPool, Promise
from flyball.inference.drafters.scoring import Score
from flyball.inference.flight import Flight, checked_of
from flyball.inference.hybrid_steps import HybridSteps
from flyball.inference.requests import RequestState
from flyball.inference.vllm.drafting import Drafting
from flyball.inference.vllm.hybrid import START, Hybrid
from flyball.policies.prices import Prices, compute_prices
from test_drafting import new, step

VOCABULARY, DEPTH = 50, 4
NOBODY = np.array([False, False])


class Memory(Scripted):
    """Drafts by a function, and promises what it is told to."""

    def __init__(self, propose: Propose, promise: float) -> None:
        super().__init__(propose)
        self.promise = promise

    def promised(self, request: str) -> float:
        assert request in self.contexts
        return self.promise


def scored(hybrid: Hybrid, request: str, accepted: int, times: int = 30) -> None:
    hybrid.learn([Score("draft", request, DEPTH, accepted, DEPTH)] * times)


def costs(each: float = 0.0, run: float = 0.0, position: float = 0.0) -> Costs:
    """Costs of passes that take as long as each other, and of a model that runs at all."""
    passes = np.arange(9.0)
    return Costs(run * (passes > 0.0) + each * passes, position)


def test_what_the_model_would_yield_is_learned_of_each_request() -> None:
    hybrid = Hybrid()
    assert hybrid.rate("a") == pytest.approx(START)
    scored(hybrid, "a", 4)
    scored(hybrid, "b", 0)
    hybrid.learn([Score("suffix", "a", 4, 0, 4), Score("draft", "a", 0, 0, 4)])  # of others
    good, bad, usual = (hybrid.rate(request) for request in ("a", "b", "new"))
    assert good > 0.9
    assert bad < 0.3
    assert bad < usual < good
    hybrid.end("a")
    assert hybrid.rate("a") == hybrid.rate("new")


def test_whoever_promises_more_drafts_and_passes_have_to_pay() -> None:
    hybrid = Hybrid()
    scored(hybrid, "good", 4)
    scored(hybrid, "bad", 0)

    def model(good: float, passes: float, runs: bool = False) -> tuple[set[str], int]:
        promised = {"good": Promise(good, 4), "bad": Promise(1.0, 4)}
        return hybrid.choose([*promised], promised, 4, 0, runs, costs(passes))

    assert model(1.0, 0.0) == ({"good"}, 4)
    assert model(3.9, 0.0) == (set(), 0)
    # It would add about 2.5 tokens to the 4 of the two without it.
    assert model(1.0, 0.12) == ({"good"}, 4)
    assert model(1.0, 0.2) == (set(), 0)
    assert model(1.0, 0.2, runs=True) == ({"good"}, 4)
    # Whom the memory knows nothing of, it promises nothing.
    chosen = hybrid.choose(["good", "bad"], {}, 4, 0, False, costs(0.01))
    assert chosen == ({"good", "bad"}, 4)


def test_the_model_makes_as_many_passes_as_pay() -> None:
    hybrid = Hybrid()
    for _ in range(200):  # three of four are accepted, position by position
        hybrid.learn([Score("draft", "a", 4, 3, 4)])
    found = [
        hybrid.choose(["a"], {}, 8, 0, False, costs(x, position=x))[1] for x in (0.0, 0.1, 0.2, 0.5)
    ]
    assert found[0] == 8
    assert found == sorted(found, reverse=True)
    assert 1 <= found[2] < found[1] < 8
    assert found[3] == 0


def test_that_the_model_runs_at_all_has_to_pay_as_well() -> None:
    hybrid = Hybrid()
    assert hybrid.choose(["a"], {}, 8, 0, False, costs(0.1, 0.1, 0.1))[1] > 1
    assert hybrid.choose(["a"], {}, 8, 0, False, costs(0.1, 2.0)) == (set(), 0)


def test_what_the_model_has_to_read_first_has_to_pay() -> None:
    hybrid = Hybrid()
    dear = Costs(read=0.01)
    assert hybrid.choose(["a", "b"], {}, 4, 0, False, dear, [4, 4000])[0] == {"a"}
    assert hybrid.choose(["a", "b"], {}, 4, 0, False, Costs(), [4, 4000])[0] == {"a", "b"}


def test_what_was_read_is_good_for_as_long_as_the_model_drafts_on_end() -> None:
    reads, dear = [200], Costs(read=0.01)
    alternating, steady = Hybrid(), Hybrid()
    for i in range(60):
        alternating.choose(["a"], {"a": Promise(8.0 * (i % 2), 8)}, 4, 0, False, Costs(), [0])
        steady.choose(["a"], {}, 4, 0, False, Costs(), [0])
    assert steady.choose(["a"], {}, 4, 0, False, dear, reads)[0] == {"a"}
    assert alternating.choose(["a"], {}, 4, 0, False, dear, reads)[0] == set()


def test_what_verifying_costs_counts_for_both() -> None:
    hybrid = Hybrid()
    scored(hybrid, "a", 2)
    for length, chosen in ((8, {"a"}), (2, set())):
        promised = {"a": Promise(1.2, length)}
        assert hybrid.choose(["a"], promised, 8, 0, False, costs(position=0.1))[0] == chosen


def drafting(memory: Scripted, names: dict[str, str], passes: float = 0.0) -> Drafting:
    pool = DrafterPool({"suffix": memory}, VOCABULARY, budget=0.0)
    made = Drafting(pool, VOCABULARY, DEPTH, overlapping=False, model=True)
    made.admit(assigned(names, passes, begin=True))
    return made


def assigned(names: dict[str, str], passes: float, begin: bool = False) -> Any:
    output = step({}, dict.fromkeys(names, 1 + DEPTH), [new(r) for r in names] if begin else None)
    setattr(output, ASSIGNMENT, Assignment(names, {r: Owner() for r in names}, costs(passes)))
    return output


def drafted(made: Drafting, names: dict[str, str], depth: int = 3) -> tuple[bool, Any]:
    """Whether the model is run, and everybody's drafts; the model's are nines."""
    rows, none = [*names], np.zeros(len(names), bool)
    made.weigh(rows, none, depth, [4] * len(rows), [1] * len(rows))
    wanted = made.wants_model(rows, none)
    own = torch.full((len(rows), made.passes_of_model(depth) if wanted else 0), 9)
    drafts = made.fill_in(rows, none, own, depth)
    return wanted, drafts if isinstance(drafts, list) else drafts.tolist()


def test_a_step_is_drafted_by_the_memory_where_it_promises_more() -> None:
    names = {"a": HYBRID, "b": HYBRID}
    sure, unsure = Memory(constant(5, 6)._propose, 1.9), Memory(constant(5, 6)._propose, 0.2)
    assert drafted(drafting(sure, names), names) == (False, [[5, 6], [5, 6]])
    assert drafted(drafting(unsure, names), names) == (True, [[9, 9, 9], [9, 9, 9]])
    assert drafted(drafting(unsure, names, passes=2.0), names) == (False, [[5, 6], [5, 6]])
    empty = Memory(lambda asks: [[] for _ in asks], 7.0)  # a promise of nothing
    assert drafted(drafting(empty, names), names) == (True, [[9, 9, 9], [9, 9, 9]])
    assert drafted(drafting(sure, names), names, depth=0) == (False, [[], []])


def test_the_model_drafts_for_the_hybrid_where_it_runs_for_others_anyway() -> None:
    names = {"a": HYBRID, "b": "draft"}
    made = drafting(Memory(constant(5, 6)._propose, 1.0), names, passes=9.0)
    assert drafted(made, names) == (True, [[9, 9, 9], [9, 9, 9]])
    made = drafting(Memory(constant(5, 6)._propose, 1.9), names, passes=9.0)
    assert drafted(made, names) == (True, [[5, 6], [9, 9, 9]])


def test_both_sides_are_scored_whoever_drafted() -> None:
    names = {"a": HYBRID, "b": "draft"}
    made = drafting(Memory(constant(5, 6)._propose, 1.9), names)
    drafted(made, names)
    made.admit(assigned(names, 0.0))
    assert made.tell().verified == {"a": (HYBRID, 0), "b": ("draft", 0)}
    made.emitted.sampled(["a", "b"], NOBODY, torch.tensor([[9, 9, 1], [9, 1, -1]]))
    drafted(made, names)
    # Of b, whose drafts are the model's in any case, verification tells.
    told = made.tell()
    assert {*told.scores} == {Score("suffix", "a", 2, 0, 3), Score("draft", "a", 3, 2, 3)}
    assert told.spent["suffix"][0] == 1  # draft of it, made once


def test_a_memory_that_fails_leaves_everything_to_the_model() -> None:
    class Failing(Memory):
        def promised(self, request: str) -> float:
            raise RuntimeError("of no use")

    names = {"a": HYBRID}
    made = drafting(Failing(constant(5)._propose, 0.0), names)
    for _ in range(5):
        assert drafted(made, names) == (True, [[9, 9, 9]])
    assert made.pool.states()["suffix"].out


def test_the_hybrid_is_offered_with_both_alone() -> None:
    assert parse(f"draft,suffix,{HYBRID}") == ("draft", "suffix", HYBRID)
    for names in (HYBRID, f"draft,{HYBRID}", f"suffix,{HYBRID}"):
        with pytest.raises(ValueError, match="name these as well"):
            parse(names)


def landed(times: DrafterTimes, states: list[RequestState], passes: int) -> None:
    flight = Flight({str(i): s for i, s in enumerate(states)}, checked_of([0] * 5), 0, 0, 0)
    flight.depth, flight.passes = 4, passes
    times.landed(flight, 0.02)


def test_passes_that_are_left_out_make_the_hybrid_cheaper() -> None:
    times = DrafterTimes(6)
    states = [RequestState(None, None) for _ in range(4)]
    for state in states:
        state.drafter = HYBRID
    assert times.hybrid.usual(4)[0] == 6.0
    for i in range(200):
        landed(times, states, 4 * (i % 4 == 0))
    assert times.hybrid.usual(4)[0] == pytest.approx(1.0, abs=0.8)
    assert times.hybrid.usual(16)[0] == 6.0
    states[0].drafter = "draft"  # for whom they run in any case
    before = times.hybrid.usual(4)
    landed(times, states, 4)
    assert times.hybrid.usual(4) == before


def test_what_running_the_model_costs_beside_its_passes_is_learned() -> None:
    steps = HybridSteps(6)
    rng = np.random.default_rng(0)
    for i in range(400):
        ran = i % 3 == 0
        noise = rng.normal(0.0, 2e-3)
        steps.add(16, 2 * ran, 0, (4e-3 if ran else 1e-3) + noise, 1e-4, 1e-5)
    assert steps.run(16) == pytest.approx(3e-3, abs=1.2e-3)
    assert steps.usual(16)[1] == pytest.approx(1e-3, abs=0.8e-3)
    assert steps.run(4) == 0.0
    steps.add(16, 2, 0, 5.0, 1e-4, 1e-5)  # a pause of the machine's
    assert steps.run(16) < 6e-3


def test_what_the_model_takes_to_read_is_learned_by_the_token() -> None:
    steps = HybridSteps(6)
    rng = np.random.default_rng(0)
    steps.add(16, 2, 100, 0.0, 1e-4, 2e-5)
    assert steps.token == pytest.approx(2e-5, rel=0.2)  # the guess
    for _ in range(400):
        read = int(rng.integers(20, 1000))
        steps.add(16, 2, read, 3e-3 + 5e-5 * read + rng.normal(0.0, 3e-3), 1e-4, 2e-5)
        steps.add(16, 0, 0, rng.normal(0.0, 3e-3), 1e-4, 2e-5)
    assert steps.token == pytest.approx(5e-5, rel=0.15)
    assert steps.run(16) == pytest.approx(3e-3, abs=2e-3)
    assert steps.usual(16)[1] == pytest.approx(0.5 * (3e-3 + 5e-5 * 500), rel=0.5)
    steps.add(16, 2, 10, 5.0, 1e-4, 2e-5)  # a pause of the machine's
    assert steps.token < 1e-4


def test_what_passes_add_is_told_of_a_step() -> None:
    times = DrafterTimes(6, [15e-3, 0.5e-3, 1e-3, 0.25e-3, 0.1e-3, 0.0, 0.25e-3])
    told = times.costs(4, 0.0, Prices(second=1.0))
    assert told.of_passes(3) == pytest.approx([2.0 / 17.0, 4.0 / 17.0, 6.0 / 17.0], rel=1e-3)
    assert told.position == pytest.approx(0.25 / 17.0, rel=1e-3)


@pytest.mark.parametrize("best", ["draft", "suffix"])
def test_where_there_is_the_hybrid_neither_part_is_chosen_alone(best: str) -> None:
    records, times = DrafterRecords(), DrafterTimes(6)
    learned = LearnedDrafters(("draft", "suffix", HYBRID), 6, records, times)
    states = [RequestState(None, None) for _ in range(3)]
    # While the memory is best, nothing is known of the hybrid lately.
    fared = {"draft": 4, HYBRID: 4, "suffix": 0} if best == "draft" else {HYBRID: 0, "suffix": 4}
    for _ in range(40):
        for state in states:
            for name, accepted in fared.items():
                records[name].add(state.history(name), 4, accepted, True, 4)
        records.settle()
    prices, rng = compute_prices(0.05), SimpleNamespace(random=lambda: 1.0)
    for _ in range(8):
        landed(times, states, 4)
    times.settle()
    choice = learned.decide(states, None, 1.0, prices, 0.0, False, rng, None)  # type: ignore[arg-type]
    assert {*choice.drafters.values()} == {HYBRID}
    new = RequestState(None, None)
    assert learned.of(new, choice) in (HYBRID, "none")
    for state, name in zip(states, ("draft", "suffix"), strict=False):
        state.wanted = name
    choice = learned.decide(states, None, 1.0, prices, 0.0, False, rng, None)  # type: ignore[arg-type]
    assert [choice.drafters[state] for state in states] == ["draft", "suffix", HYBRID]
