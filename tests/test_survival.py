"""Estimates of how far drafts survive, by class, by position and by request."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.survival import SurvivalEstimator
from flyball.policies.verified import Verified
from hypothesis import given
from hypothesis import strategies as st
from survivals import HISTORIES, SLOTS, accepts, taught, untimed


def learn(
    estimator: SurvivalEstimator,
    rng: np.random.Generator,
    rates: list[float],
    slot: int = 0,
    drafts: int = MAX_DEPTH,
    intervals: int = 1,
    verifications: int = 8,
) -> None:
    """Intervals of one class."""
    for _ in range(intervals):
        counts = Verified()
        for _ in range(verifications):
            accepted = accepts(rng, rates, drafts)
            counts.add(slot, min(accepted + 1, drafts), accepted)
        estimator.add(counts)
        estimator.refresh()


@untimed
@given(HISTORIES, SLOTS, st.floats(0.0, 50.0))
def test_survival_never_grows_with_position(history, slot, frailty) -> None:
    estimator = taught(history)
    (survival,) = estimator.survival([slot], [frailty])
    assert all(np.diff(survival) <= 0)
    assert 0 <= survival[-1] <= survival[0] <= 1
    assert estimator.predict(slot, frailty, MAX_DEPTH) == pytest.approx(survival.tolist())


@untimed
@given(HISTORIES, SLOTS, st.floats(0.0, 50.0))
def test_hope_is_above_what_is_expected_and_falls_with_position(history, slot, frailty) -> None:
    estimator = taught(history)
    (survival,), (hope,) = (f([slot], [frailty]) for f in (estimator.survival, estimator.hope))
    assert (hope >= survival).all()
    assert all(np.diff(hope) <= 0)
    assert hope[0] <= 1


def test_hope_goes_where_a_class_is_seen_to_fail_and_returns_as_that_grows_old() -> None:
    estimator, rng = SurvivalEstimator(), np.random.default_rng(0)
    (fresh,) = estimator.hope([0], [1.0])
    assert fresh[0] > 0.9
    learn(estimator, rng, [0.3] * MAX_DEPTH, intervals=30, drafts=2)
    (hope,), (survival,) = estimator.hope([0], [1.0]), estimator.survival([0], [1.0])
    assert 0.3 < hope[0] < 0.42
    assert hope[2] / hope[1] > 1.5 * hope[1] / hope[0]  # position 3 was never tried
    for _ in range(200):
        estimator.add(Verified())
    estimator.refresh()
    (old,) = estimator.hope([0], [1.0])
    assert old[0] > hope[0] + 0.2
    assert survival[0] < 0.4


@untimed
@given(HISTORIES)
def test_an_estimate_lies_between_its_prior_and_its_data(history) -> None:
    estimator = taught(history)
    tried, accepted = estimator._tried.sum(0), estimator._accepted.sum(0)
    prior = SurvivalEstimator.START
    for j in range(MAX_DEPTH):
        data = accepted[j] / tried[j] if tried[j] else prior
        assert min(prior, data) - 1e-9 <= estimator.position[j] <= max(prior, data) + 1e-9
        prior = estimator.position[j]


@untimed
@given(HISTORIES, SLOTS)
def test_a_class_that_was_never_seen_begins_like_all_traffic(history, slot) -> None:
    others = [[one for one in interval if one[0] != slot] for interval in history]
    estimator = taught(others)
    assert estimator.first[slot] == pytest.approx(estimator.position[0])


@untimed
@given(HISTORIES, SLOTS, SLOTS)
def test_one_class_alone_is_all_traffic(history, slot, other) -> None:
    estimator = taught([[(slot, t, a) for _, t, a in interval] for interval in history])
    assert estimator._hazard == pytest.approx(1.0 - estimator.position)
    if other != slot:
        assert estimator.acceptance[other] == pytest.approx(estimator.position)


@untimed
@given(HISTORIES)
def test_bounds_hold_the_estimate_and_widen_with_their_level(history) -> None:
    estimator = taught(history)
    pairs = (
        (estimator.acceptance, estimator.interval),
        (estimator.acceptance.cumprod(1), estimator.survival_interval),
    )
    for mean, interval in pairs:
        low, high = interval(0.5)
        lower, higher = interval(0.95)
        for one, next_one in ((0, lower), (lower, low), (low, mean), (mean, high), (high, higher)):
            assert np.all(one <= next_one)
        assert np.all(higher <= 1)


@untimed
@given(HISTORIES)
def test_counts_by_position_are_those_of_each_verification(history) -> None:
    counts, flat = Verified(), [one for interval in history for one in interval]
    for one in flat:
        counts.add(*one)
    tried, accepted = counts.positions()
    assert tried == tuple(sum(t >= j for _, t, _ in flat) for j in range(1, MAX_DEPTH + 1))
    assert accepted == tuple(sum(a >= j for _, _, a in flat) for j in range(1, MAX_DEPTH + 1))
    assert sum(counts.table()[0].sum(1)) == sum(tried)


def test_learns_each_position() -> None:
    rng, estimator = np.random.default_rng(0), SurvivalEstimator()
    rates, found = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], []
    for step in range(3000):
        learn(estimator, rng, rates)
        if step > 500:
            found.append(estimator.position)
    # Deep positions are seldom tried, so they lean on the position before: within that pull.
    assert np.mean(found, 0)[:5] == pytest.approx(rates[:5], abs=0.04)
    assert all(np.diff(np.mean(found, 0)) < 0)


def test_tells_classes_apart() -> None:
    rng, estimator = np.random.default_rng(0), SurvivalEstimator()
    for _ in range(300):
        learn(estimator, rng, [0.2] * 8, slot=1, drafts=4)
        learn(estimator, rng, [0.9] * 8, slot=5, drafts=4)
    assert estimator.first[[1, 5]] == pytest.approx([0.2, 0.9], abs=0.07)
    assert estimator.later[[1, 5]] == pytest.approx([0.2, 0.9], abs=0.12)
    # Positions that nobody tried are drawn to each class's own, not to the mean of both.
    assert estimator.acceptance[5, 4:] == pytest.approx([0.9] * 4, abs=0.07)
    assert estimator.acceptance[1, 4:] == pytest.approx([0.2] * 4, abs=0.15)


def test_what_is_not_tried_drifts_to_what_is_known_nearby() -> None:
    rng, estimator = np.random.default_rng(0), SurvivalEstimator()
    learn(estimator, rng, [0.95] * 8, intervals=300)
    learn(estimator, rng, [0.1] * 8, drafts=1, intervals=300)
    assert estimator.position[0] == pytest.approx(0.1, abs=0.1)
    assert estimator.position[4] == pytest.approx(estimator.position[0], abs=0.05)


def test_what_was_true_once_is_forgotten() -> None:
    rng, one, other = np.random.default_rng(0), SurvivalEstimator(), SurvivalEstimator()
    learn(one, rng, [0.9] * 8, intervals=100)
    for estimator in (one, other):
        learn(estimator, np.random.default_rng(1), [0.3] * 8, intervals=400)
    # But for what is usual, which is remembered for longer.
    assert one.acceptance == pytest.approx(other.acceptance, abs=5e-3)
    assert one.variance() == pytest.approx(other.variance(), abs=1e-3)


def test_without_evidence_nothing_moves() -> None:
    estimator = SurvivalEstimator()
    estimator.add(Verified())
    estimator.refresh()
    assert estimator.acceptance == pytest.approx(SurvivalEstimator.START)


def test_uncertainty_falls_with_evidence_and_grows_with_depth() -> None:
    rng, estimator = np.random.default_rng(0), SurvivalEstimator()
    before = estimator.variance()
    learn(estimator, rng, [0.7] * 8, drafts=3, intervals=20)
    after = estimator.variance()
    assert np.all(after[0, :3] < before[0, :3] / 10)
    assert after[0, 7] > after[0, 2]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_cover_as_often_as_they_say(level) -> None:
    # Short histories: decay has hardly set in, so that the bounds are neither wide nor narrow.
    rng, inside, survived = np.random.default_rng(0), [], []
    for _ in range(400):
        rates = rng.beta(4.0, 2.0, 3)
        estimator = SurvivalEstimator()
        learn(estimator, rng, rates.tolist(), slot=4, drafts=3, intervals=int(rng.integers(2, 10)))
        low, high = (bound[4, :3] for bound in estimator.interval(level))
        inside.append((low <= rates) & (rates <= high))
        low, high = (bound[4, :3] for bound in estimator.survival_interval(level))
        survived.append((low <= rates.cumprod()) & (rates.cumprod() <= high))
    assert np.mean(inside) == pytest.approx(level, abs=0.08)
    assert np.mean(survived) == pytest.approx(level, abs=0.08)


def test_intervals_cover_an_acceptance_that_moves() -> None:
    rng, estimator, inside = np.random.default_rng(0), SurvivalEstimator(), []
    logit = 1.0
    for step in range(3000):
        logit += 0.02 * rng.normal() - 0.001 * (logit - 1.0)
        rate = 1.0 / (1.0 + np.exp(-logit))
        learn(estimator, rng, [rate] * 8, drafts=2)
        if step > 100:
            low, high = (bound[0, :2] for bound in estimator.interval(0.9))
            inside.append((low <= rate) & (rate <= high))
    assert np.mean(inside) > 0.85


@pytest.mark.parametrize("level", [0.0, 1.0, 90, float("nan")])
def test_a_level_that_is_no_probability_is_refused(level) -> None:
    with pytest.raises(ValueError, match="level"):
        SurvivalEstimator().interval(level)
