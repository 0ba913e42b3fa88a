"""Scores of predicted survival."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.policies.calibration import Calibration
from flyball.policies.spaces import MAX_DEPTH
from hypothesis import given, settings
from hypothesis import strategies as st


def test_scores_are_those_of_the_definitions() -> None:
    calibration = Calibration()
    calibration.add([0.8, 0.6], 1)
    calibration.add([0.85], 0)
    # Position 1: predicted 0.8 and 0.85 (one bin), came true once; position 2: 0.6, did not.
    brier, ece = calibration.brier(), calibration.ece()
    assert brier[:2] == pytest.approx([(0.2**2 + 0.85**2) / 2, 0.36])
    assert ece[:2] == pytest.approx([abs(0.8 + 0.85 - 1) / 2, 0.6])
    assert brier[2:] == ece[2:] == [None] * (MAX_DEPTH - 2)
    overall = (2 * brier[0] + brier[1]) / 3, (2 * ece[0] + ece[1]) / 3
    assert calibration.overall() == pytest.approx(overall)


def test_nothing_predicted_has_no_score() -> None:
    calibration = Calibration()
    calibration.add([], 0)
    assert calibration.overall() == (None, None)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.floats(0.0, 1.0), max_size=MAX_DEPTH), st.integers(0, MAX_DEPTH)),
        max_size=200,
    )
)
def test_scores_stay_in_their_range(pairs) -> None:
    calibration = Calibration()
    for predicted, accepted in pairs:
        calibration.add(predicted, min(accepted, len(predicted)))
    for score in (*calibration.brier(), *calibration.ece(), *calibration.overall()):
        assert score is None or 0.0 <= score <= 1.0


@pytest.mark.parametrize(("told", "worst"), [(0.7, 0.03), (0.9, 0.23)])
def test_error_is_small_only_for_predictions_that_come_true(told, worst) -> None:
    rng, calibration = np.random.default_rng(0), Calibration()
    for outcome in rng.random(4000) < 0.7:
        calibration.add([told], int(outcome))
    assert calibration.overall()[1] == pytest.approx(worst, abs=0.035)


def test_what_was_predicted_long_ago_is_forgotten() -> None:
    calibration = Calibration()
    for _ in range(2000):
        calibration.add([0.9], 0)
    for _ in range(20000):
        calibration.add([0.9], 1)
    assert calibration.overall() == pytest.approx((0.01, 0.1), abs=0.02)
