"""The learned choice of drafters, on engines of which the truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
from flyball.inference.drafter_choice import Choice, LearnedDrafters
from flyball.inference.drafter_records import DrafterRecords
from flyball.inference.drafter_times import DrafterTimes
from flyball.inference.drafters.pool import DrafterState
from flyball.inference.flight import Flight, checked_of
from flyball.inference.requests import RequestState
from flyball.policies.prices import compute_prices
from flyball.policies.spaces import MAX_DEPTH

K_MAX = 6
OFFERED = ("draft", "look", "chain", "none")
PRICES = compute_prices(0.05)
STEP, REQUEST, PASS, POSITION = 15e-3, 0.6e-3, 2e-3, 0.25e-3


class Engine:
    """Steps of a known engine: acceptance per position by drafter, seconds by a linear law.

    Args:
        acceptance: of each position, by drafter; what is looked up is there for that share of
            drafts alone.
        chain: seconds per proposal, and per request of it.
    """

    def __init__(
        self, acceptance: Mapping[str, float], chain: tuple[float, float] = (6e-3, 1e-3)
    ) -> None:
        self.acceptance, self.chain = dict(acceptance), chain
        self.records, self.times = DrafterRecords(), DrafterTimes(K_MAX)
        self.learned = LearnedDrafters(OFFERED, K_MAX, self.records, self.times)
        self.rng, self.random = np.random.default_rng(0), Random(0)
        self.choice: Choice | None = None
        self.repeats: list[RequestState] = []  # for whom what is looked up is always right
        self.now = self.emitted = 0.0
        self.records["look"].state = DrafterState(asked=1, seconds=20e-6)
        self.records["chain"].state = DrafterState(asked=1, seconds=9e-3)

    def interval(
        self, states: list[RequestState], speed: float = 1.0, explore: bool = True
    ) -> Choice:
        """Decide, and run some steps of that."""
        self.records.settle()
        self.times.settle()
        self.choice = self.learned.decide(
            states, None, speed, PRICES, 0.0, explore, self.random, self.choice
        )
        for _ in range(8):
            self.step(states, self.choice)
        return self.choice

    def step(self, states: list[RequestState], choice: Choice) -> None:
        names = [self.learned.of(state, choice) for state in states]
        lengths = [0] * (MAX_DEPTH + 1)
        for state, name in zip(states, names, strict=True):
            state.drafter = name
            drafted = accepted = 0
            if name != "none" and choice.depth:
                drafted, accepted = self.draft(name, choice.depth, state)
                self.records[name].add(state.history(name), drafted, accepted, True, choice.depth)
            if name != "look":
                self.records["look"].add(
                    state.history("look"), *self.draft("look", K_MAX, state), False, K_MAX
                )
            lengths[drafted] += 1
            self.emitted += 1 + accepted
        count = Counter(names)
        flight = Flight({str(i): s for i, s in enumerate(states)}, checked_of(lengths), 0, 0, 0)
        flight.depth, flight.passes = choice.depth, choice.depth * bool(count["draft"])
        seconds = STEP + REQUEST * len(states) + PASS * flight.passes
        seconds += POSITION * (flight.verified - len(states))
        if count["chain"]:
            spent = self.chain[0] + self.chain[1] * count["chain"]
            flight.spent = {"chain": (count["chain"], spent)}
            seconds += spent
        self.now += seconds
        self.times.landed(flight, seconds)

    def draft(self, name: str, depth: int, state: RequestState) -> tuple[int, int]:
        if name == "look" and state in self.repeats:
            return depth, depth
        right = self.rng.random(depth) < self.acceptance[name]
        accepted = int(right.cumprod().sum())
        if name == "look":
            there = self.rng.random() < self.acceptance[name]
            return (depth, accepted) if there else (0, 0)
        return depth, accepted


def used(engine: Engine, states: list[RequestState], intervals: int = 60) -> Counter[str]:
    """Who drafts, once it has been learned, where nothing is tried."""
    for _ in range(150):
        engine.interval(states)
    found: Counter[str] = Counter()
    for _ in range(intervals):
        found.update(engine.interval(states, explore=False).drafters.values())
    return found


def requests(count: int) -> list[RequestState]:
    return [RequestState(None, None) for _ in range(count)]


@pytest.mark.parametrize(
    ("acceptance", "chain", "best"),
    [
        ({"draft": 0.9, "look": 0.2, "chain": 0.9}, (20e-3, 3e-3), "draft"),
        ({"draft": 0.5, "look": 0.85, "chain": 0.6}, (20e-3, 3e-3), "look"),
        ({"draft": 0.4, "look": 0.2, "chain": 0.95}, (4e-3, 0.2e-3), "chain"),
        ({"draft": 0.1, "look": 0.02, "chain": 0.1}, (20e-3, 3e-3), "none"),
    ],
)
def test_whoever_is_best_comes_to_draft(
    acceptance: dict[str, float], chain: tuple[float, float], best: str
) -> None:
    found = used(Engine(acceptance, chain), requests(4))
    assert found[best] > 0.8 * found.total(), found


@pytest.mark.parametrize("count", [4, 16])
def test_a_token_is_worth_verifying_if_it_brings_more_than_the_time_would(count: int) -> None:
    engine, states = Engine({"draft": 0.3, "look": 0.85, "chain": 0.1}), requests(count)
    used(engine, states, 1)
    emitted, now = engine.emitted, engine.now
    found = [engine.interval(states, explore=False).least for _ in range(50)]
    per_second = (engine.emitted - emitted) / (engine.now - now)
    assert np.mean([least or 0.0 for least in found]) == pytest.approx(
        POSITION * per_second, rel=0.25
    )


def test_what_was_bad_is_found_to_have_become_good() -> None:
    engine, states = Engine({"draft": 0.3, "look": 0.6, "chain": 0.1}, (20e-3, 3e-3)), requests(4)
    assert used(engine, states)["draft"] == 0
    engine.acceptance |= {"draft": 0.97, "look": 0.05}
    found = Counter[str]()
    for _ in range(400):
        found = Counter(engine.interval(states).drafters.values())
    assert found["draft"] == 4


def test_trying_costs_little() -> None:
    """One that may be as good by all that is known is tried, found to be worse, and let be."""
    engine = Engine({"draft": 0.9, "look": 0.3, "chain": 0.2}, (4e-3, 0.5e-3))
    tried = Counter[str]()
    states = requests(4)
    for _ in range(600):
        tried[engine.interval(states).tried] += 1
    assert 0 < tried["chain"] < 30, tried


def test_requests_that_fare_differently_have_different_drafters() -> None:
    engine = Engine({"draft": 0.9, "look": 0.0, "chain": 0.1}, (20e-3, 3e-3))
    states = requests(8)
    engine.repeats = states[4:]
    for _ in range(150):
        engine.interval(states)
    choice = engine.interval(states, explore=False)
    names = [choice.drafters[state] for state in states]
    assert names[4:] == ["look"] * 4, names
    assert "look" not in names[:4], names


def test_what_requests_ask_for_is_part_of_the_choice() -> None:
    engine = Engine({"draft": 0.9, "look": 0.3, "chain": 0.2}, (20e-3, 3e-3))
    states = requests(4)
    states[0].wanted = "look"
    states[1].wanted = "none"
    for _ in range(100):
        choice = engine.interval(states)
    assert [choice.drafters[state] for state in states[:2]] == ["look", "none"]


def test_a_drafter_that_is_out_is_not_chosen() -> None:
    engine = Engine({"draft": 0.3, "look": 0.9, "chain": 0.1}, (20e-3, 3e-3))
    states = requests(2)
    engine.records["look"].state = DrafterState(asked=9, seconds=20e-6, out=True)
    states[0].wanted = "look"
    for _ in range(50):
        names = engine.interval(states).drafters
    assert "look" not in names.values()


def test_the_chances_of_depths_are_those_of_what_may_be_chosen() -> None:
    engine = Engine({"draft": 0.6, "look": 0.5, "chain": 0.6})
    states = requests(2)
    for _ in range(40):
        choice = engine.interval(states)
        assert sum(choice.chances) == pytest.approx(1.0)
        assert choice.chances[choice.depth] > 0.0
        assert choice.explored >= 1.0 - max(choice.chances) - 1e-9  # others may be as deep
        assert sum(choice.shares().values()) == pytest.approx(1.0)


def test_a_request_that_comes_in_between_has_one_of_those_in_force() -> None:
    engine = Engine({"draft": 0.9, "look": 0.1, "chain": 0.1}, (20e-3, 3e-3))
    states = requests(4)
    used(engine, states, 1)
    choice = engine.interval(states, explore=False)
    assert engine.learned.of(RequestState(None, None), choice) == "draft"


def test_without_requests_the_next_one_is_decided_for() -> None:
    engine = Engine({"draft": 0.9, "look": 0.1, "chain": 0.1}, (20e-3, 3e-3))
    used(engine, requests(1), 1)
    choice = engine.learned.decide([], 3, 1.0, PRICES, 0.0, False, Random(0), None)
    assert choice.depth == 3
    assert engine.learned.of(RequestState(None, None), choice) == "draft"


def test_a_drafter_that_is_new_to_a_request_is_told_by_how_hard_that_is_for_others() -> None:
    requests = {accepted: RequestState(None, None) for accepted in (0, 6)}
    records = DrafterRecords()
    for accepted, state in requests.items():  # both hard for one drafter, or easy for both
        for _ in range(100):
            records["chain"].add(state.history("chain"), 6, accepted, True, 6)
            records["chain"].settle()
    seen = {accepted: RequestState(None, None) for accepted in requests}
    for accepted, state in seen.items():
        state.drafter = "draft"
        for _ in range(20):
            records["draft"].add(state.history("draft"), 6, accepted, True, 6)
    hard, easy = records["chain"].outlook([s.likened("chain") for s in seen.values()])[0].sum(-1)
    assert hard < 1.0
    assert easy > 4.0
    unlike = RequestState(None, None)
    assert unlike.likened("chain") is unlike.history("chain")  # nobody drafts for it yet
    unlike.drafter = "chain"
    assert unlike.likened("chain") is unlike.history("chain")
