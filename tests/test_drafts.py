"""What is learned from each verification, and how requests are told apart by their own drafts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flyball.inference.drafts import Drafts
from flyball.inference.requests import RequestState
from flyball.policies.calibration import Calibration
from flyball.policies.spaces import BEHAVIOURS, CLASSES, MAX_DEPTH
from flyball.policies.survival import SurvivalEstimator
from flyball.policies.verified import Verified
from hypothesis import given
from hypothesis import strategies as st
from survivals import HISTORIES, accepts, taught, untimed, verifications

HARD, EASY = BEHAVIOURS.index("hard"), BEHAVIOURS.index("easy")


def follow(drafts: Drafts, rng: np.random.Generator, rates: dict[RequestState, float], count: int):
    """Intervals of eight steps that draft four tokens for every request."""
    for _ in range(count):
        counts = Verified()
        for _ in range(8):
            step = [(state, 4, accepts(rng, [rate] * 4, 4)) for state, rate in rates.items()]
            drafts.verified(counts, step)
        drafts.add(counts)
        drafts.estimator.refresh()


@pytest.mark.parametrize("named", [5, None])
def test_tells_an_easy_request_from_a_hard_one(named) -> None:
    easy, hard = RequestState(named, None), RequestState(named, None)
    drafts = Drafts()
    follow(drafts, np.random.default_rng(0), {easy: 0.9, hard: 0.3}, 30)
    own = drafts.estimator.survival([easy.slot, hard.slot], [easy.frailty, hard.frailty])
    assert own[0, 0] == pytest.approx(0.9, abs=0.12)
    assert own[1, 0] == pytest.approx(0.3, abs=0.2)
    if named is not None:
        assert easy.frailty < 0.7 < 1.3 < hard.frailty
    else:
        assert (easy.slot, hard.slot) == (EASY, HARD)


def test_a_request_that_changes_class_takes_its_history_along() -> None:
    drafts = Drafts()
    rng = np.random.default_rng(0)
    crowd = {RequestState(None, None): rate for rate in (0.95, 0.95, 0.1, 0.1)}
    follow(drafts, rng, crowd, 60)
    expected = drafts.estimator.expected
    state = RequestState(None, None)
    state.verified(4, 4, drafts.estimator)
    assert state.slot == BEHAVIOURS.index("fresh")
    state.verified(4, 4, drafts.estimator)
    assert state.slot == EASY
    assert state.expected == pytest.approx(1.9 * expected[EASY][4])


@untimed
@given(st.lists(verifications(), min_size=1, max_size=60), HISTORIES)
def test_a_frailty_is_finite_and_between_what_was_seen_and_one(own, history) -> None:
    estimator = taught(history)
    state = RequestState(4, None)
    for _, tried, accepted in own:
        state.verified(tried, accepted, estimator)
    seen = (state.tried - state.accepted) / state.expected
    assert min(1.0, seen) - 1e-9 <= state.frailty <= max(1.0, seen) + 1e-9


def serve(named: bool, steps: int) -> tuple[Calibration, Calibration]:
    """Traffic of three kinds, each request with an ease of its own: the calibration of requests'
    own survival, and that of their classes' alone.
    """
    rng, drafts, alone = np.random.default_rng(0), Drafts(), Calibration()

    def arrive() -> tuple[RequestState, float]:
        slot = int(rng.integers(4, 7))
        logit = (2.4, 0.6, -1.1)[slot - 4] + 0.7 * rng.normal()
        return RequestState(slot if named else None, None), 1.0 / (1.0 + np.exp(-logit))

    running = [arrive() for _ in range(16)]
    counts, depth = Verified(), 4
    for step in range(steps):
        if step % 8 == 0:
            drafts.add(counts)
            drafts.estimator.refresh()
            counts, depth = Verified(), int(rng.integers(1, 7))
        if step == steps // 5:  # from here on the classes are known
            drafts.calibration, alone = Calibration(), Calibration()
        batch = [(state, depth, accepts(rng, [rate] * depth, depth)) for state, rate in running]
        state, _, accepted = batch[drafts._turn]
        alone.add(drafts.estimator.predict(state.slot, 1.0, depth), accepted)
        drafts.verified(counts, batch)
        running = [arrive() if rng.random() < 1 / 60 else one for one in running]
    return drafts.calibration, alone


@pytest.mark.parametrize("named", [True, False])
def test_predictions_for_requests_come_true_and_tell_more_than_classes(named) -> None:
    own, alone = serve(named, 6000)
    brier, ece = own.overall()
    assert ece < 0.045
    assert brier < alone.overall()[0] - 0.006
    assert all(score < 0.25 for score in own.brier()[:6])


def test_observation_is_the_mean_of_the_requests_own_survival() -> None:
    drafts, easy, hard = Drafts(), RequestState(5, None), RequestState(5, None)
    follow(drafts, np.random.default_rng(0), {easy: 0.9, hard: 0.2}, 20)
    share = [0.0] * 5 + [1.0] + [0.0] * 2
    fields = drafts.observe([easy, hard], share)
    survival = fields[MAX_DEPTH : 2 * MAX_DEPTH]
    one, other = (drafts.estimator.predict(5, s.frailty, MAX_DEPTH) for s in (easy, hard))
    assert survival == pytest.approx(np.mean([one, other], axis=0).tolist())
    # A mixture survives deeper than its mean acceptance would let it.
    assert survival[5] > 1.5 * survival[0] ** 6
    hope = fields[2 * MAX_DEPTH : 3 * MAX_DEPTH]
    assert (np.array(hope) >= survival).all()
    assert fields[3 * MAX_DEPTH : 4 * MAX_DEPTH] == [1.0] * MAX_DEPTH
    assert fields[4 * MAX_DEPTH : 4 * MAX_DEPTH + CLASSES] == share


def test_observation_is_of_the_positions_that_are_verified() -> None:
    drafts, easy, hard = Drafts(), RequestState(5, None), RequestState(5, None)
    follow(drafts, np.random.default_rng(0), {easy: 0.9, hard: 0.2}, 20)
    share = [0.0] * 5 + [1.0] + [0.0] * 2
    one, other = (drafts.estimator.predict(5, s.frailty, MAX_DEPTH) for s in (easy, hard))
    thresholds = np.array([0.0, 0.5 * (other[0] + other[1])])
    fields = drafts.observe([easy, hard], share, thresholds)
    survival, kept = fields[MAX_DEPTH : 2 * MAX_DEPTH], fields[3 * MAX_DEPTH : 4 * MAX_DEPTH]
    assert kept == [1.0] + [0.5] * (MAX_DEPTH - 1)
    assert survival == pytest.approx([0.5 * (one[0] + other[0]), *(0.5 * p for p in one[1:])])
    nobody = drafts.observe([], share, np.zeros(0))
    assert nobody[3 * MAX_DEPTH : 4 * MAX_DEPTH] == [1.0] * MAX_DEPTH


def test_requests_are_judged_in_turn_before_they_are_learned_from() -> None:
    drafts, start = Drafts(), SurvivalEstimator.START
    states = [RequestState(4 + i, None) for i in range(3)]
    step = [(state, 1 + i, 1 + i) for i, state in enumerate(states)]
    drafts.verified(Verified(), step)
    assert drafts.calibration.brier() == [pytest.approx((1 - start) ** 2), *[None] * 7]
    before = drafts.estimator.predict(5, states[1].frailty, 2)
    drafts.verified(Verified(), step)
    assert drafts.calibration.brier()[1] == pytest.approx((1 - before[1]) ** 2)
    assert drafts.calibration.brier()[2] is None
    drafts.verified(Verified(), step)
    assert drafts.calibration.brier()[2] is not None
    assert drafts.calibration.brier()[3] is None


def test_hazards_that_all_but_vanish_do_no_harm() -> None:
    counts, drafts = Verified(), Drafts()
    for _ in range(2048):
        counts.add(0, MAX_DEPTH, MAX_DEPTH)
    for _ in range(300):
        drafts.add(counts)
        drafts.estimator.refresh()
    state = RequestState(None, None)
    for accepted in (8, 8, *[0] * 24):
        drafts.verified(Verified(), [(state, 8, accepted)])
    assert state.slot == HARD
    assert math.isfinite(state.frailty)
    assert all(map(math.isfinite, drafts.observe([state], [0.0] * CLASSES)))
