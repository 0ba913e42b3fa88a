"""Requests' own histories on top of their classes: true on the average, and worth their while.

Traffic is the simulator's mixed workload, eight requests at a time that draft six tokens. Truth is
each request's own survival, so that squared errors are Brier scores but for a constant: the spread
of the outcomes, which is the same whatever is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from flyball.inference.drafts import Drafts
from flyball.inference.requests import RequestState
from flyball.inference.simulator.workload import Workload
from flyball.policies.frailty import FrailtyEstimator
from flyball.policies.spaces import CLASSES, MAX_DEPTH
from flyball.policies.transition import Floats
from flyball.policies.verified import Verified
from hypothesis import given
from hypothesis import strategies as st
from survivals import HISTORIES, SLOTS, accepts, taught, untimed

DEPTH, BATCH, INTERVALS, LEARNING = 6, 8, 900, 150
EFFECTS = (0.0, 0.3, 0.8)


@dataclass
class Predictions:
    """Of running requests at every interval: their slots (n,), and three survivals (n, DEPTH)."""

    slots: np.ndarray
    own: Floats
    alone: Floats
    truth: Floats

    def errors(self, slot: int | None = None) -> tuple[float, float]:
        """Mean squared error of a request's own prediction, and of its class's."""
        of = slice(None) if slot is None else self.slots == slot
        own, alone = ((p[of] - self.truth[of]) ** 2 for p in (self.own, self.alone))
        return float(own.mean()), float(alone.mean())


@dataclass(eq=False)
class Running:
    """A request under way."""

    state: RequestState
    rates: list[float]
    left: int


def arrive(rng: np.random.Generator, effect: float, named: bool) -> Running:
    kinds = Workload().classes
    number = int(rng.integers(len(kinds)))
    kind = kinds[number]
    odds = np.exp(np.array(kind.logits) + effect * rng.normal())
    state = RequestState(4 + number if named else None, None)
    return Running(state, (odds / (1 + odds)).tolist(), int(rng.lognormal(*kind.output.log)) + 1)


def interval(rng: np.random.Generator, drafts: Drafts, running: list[Running]) -> None:
    """Eight steps of those that are not done."""
    counts = Verified()
    for _ in range(8):
        step = [(one, accepts(rng, one.rates, DEPTH)) for one in running if one.left > 0]
        drafts.verified(counts, [(one.state, DEPTH, accepted) for one, accepted in step])
        for one, accepted in step:
            one.left -= accepted + 1
    drafts.add(counts)


@lru_cache
def serve(effect: float, named: bool) -> Predictions:
    """Two engines that serve the mixed workload, one after the other."""
    slots, tables = [], []
    for seed in range(2):
        rng, drafts = np.random.default_rng(seed), Drafts()
        running = [arrive(rng, effect, named) for _ in range(BATCH)]
        for number in range(INTERVALS):
            interval(rng, drafts, running)
            running = [one if one.left > 0 else arrive(rng, effect, named) for one in running]
            drafts.observe([one.state for one in running], [0.0] * CLASSES)
            if number >= LEARNING:
                its = [one.state.slot for one in running]
                own = drafts.estimator.survival(its, [one.state.frailty for one in running])
                alone = drafts.estimator.acceptance[its].cumprod(1)
                truth = np.cumprod([one.rates for one in running], axis=1)
                slots += its
                tables.append(np.stack([own, alone, truth])[..., :DEPTH])
    return Predictions(np.array(slots), *np.concatenate(tables, axis=1))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("effect", EFFECTS)
def test_the_mean_survival_of_running_requests_is_true_at_every_position(effect, named) -> None:
    made = serve(effect, named)
    assert made.own.mean(0) == pytest.approx(made.truth.mean(0), abs=0.01)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("effect", EFFECTS)
def test_no_class_is_told_better_by_its_table_alone(effect, named) -> None:
    made = serve(effect, named)
    for slot in set(made.slots.tolist()):
        own, alone = made.errors(slot)
        assert own <= alone + 0.0004, slot


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("effect", "most"), [(0.3, 0.8), (0.8, 0.7)])
def test_histories_tell_requests_apart_that_differ(effect, most, named) -> None:
    own, alone = serve(effect, named).errors()
    assert own < most * alone


def test_histories_that_tell_nothing_count_for_nothing() -> None:
    made = serve(0.0, True)
    own, alone = made.errors()
    assert own < alone + 0.0001
    # Those that name no class differ within the one they behave like, even if their kinds do not.
    own, alone = serve(0.0, False).errors()
    assert own < 0.9 * alone


def credibility(rng: np.random.Generator, spread: float) -> tuple[float, float]:
    """Centre and credibility of a class, after requests whose hazard of 0.4 varies."""
    drafts = Drafts()
    for _ in range(150):
        states = {RequestState(5, None): 0.4 * rng.uniform(1 - spread, 1 + spread) for _ in "1234"}
        for _ in range(3):
            counts = Verified()
            for _ in range(8):
                step = [(s, 4, accepts(rng, [1 - hazard] * 4, 4)) for s, hazard in states.items()]
                drafts.verified(counts, step)
            drafts.add(counts)
            drafts.estimator.refresh()
    frailties = drafts.estimator.frailties
    return frailties.centre[5], frailties.credibility[5]


def test_credibility_grows_with_what_sets_requests_apart() -> None:
    found = [credibility(np.random.default_rng(0), spread)[1] for spread in (0.0, 0.3, 0.9)]
    assert found[0] < 0.2
    assert found[0] < found[1] < found[2]
    assert 0.7 < found[2] < 1.3


def test_short_histories_overstate_and_are_centred() -> None:
    centre, _ = credibility(np.random.default_rng(0), 0.0)
    assert centre > 0.01


@untimed
@given(HISTORIES, SLOTS, st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(0.0, 5.0))
def test_a_frailty_is_positive_and_grows_with_rejections(history, slot, one, more, expected):
    frailties = taught(history).frailties
    low, high = (frailties.of(slot, r, expected)[1] for r in (one, one + more))
    assert FrailtyEstimator.LEAST <= low <= high


@untimed
@given(st.lists(st.tuples(SLOTS, st.integers(1, MAX_DEPTH), st.floats(0.1, 9.0)), max_size=9))
def test_exposure_is_the_sum_of_the_frailties_that_tried(flat) -> None:
    counts = Verified()
    for slot, tried, frailty in flat:
        counts.add(slot, tried, tried, frailty)
    for slot in range(CLASSES):
        for j in range(MAX_DEPTH):
            tried = sum(f for s, t, f in flat if s == slot and t > j)
            assert counts.exposure()[slot, j] == pytest.approx(tried)
