"""The comparison of predicted with measured chains, on the embedded family."""

import math

import numpy as np
import pytest
from flyball.benchmarks.chains import run
from flyball.benchmarks.chains.figures import NAMES, Measured, figures
from flyball.benchmarks.chains.options import ChainOptions
from flyball.policies.chains.load import Family
from flyball.policies.chains.plan import NO_CHAIN, Plan
from flyball.policies.chains.prediction import Prediction
from flyball.policies.chains.times import linear


def test_every_chain_is_measured_and_predicted_at_every_batch_size():
    options = ChainOptions(batches=(1, 2), rounds=2, steps=3, tokens=40)
    found = run.run(options)
    every = set(Family(NAMES, dict.fromkeys(NAMES, linear(1.0, 1.0))).chains())
    for batch in options.batches:
        mine = [measured for measured in found if measured.batch == batch]
        assert {measured.plan.models for measured in mine} == every
    for measured in found:
        assert len(measured.seconds) == options.rounds * options.steps
        assert np.min(measured.tokens) >= 1.0
        assert np.max(measured.tokens) <= 1.0 + measured.plan.longest
        assert measured.prediction.per_token > 0.0
        if not measured.plan.models:
            assert set(measured.tokens) == {1.0}
    assert all(math.isfinite(value) for value in figures(found).values())


def test_figures_compare_predicted_with_measured():
    pair = Plan(("a", "b"), 2, (1,))
    found = [
        Measured(1, NO_CHAIN, Prediction(1.1, 1.0, 0.0), [1.0], [1.0]),
        Measured(1, Plan(("a",), 2), Prediction(1.0, 2.0, 2.0), [1.0], [2.0]),
        Measured(1, pair, Prediction(2.0, 2.0, 2.0), [3.0], [4.0]),
    ]
    out = figures(found)
    assert out["chain_prediction_error_worst"] == pytest.approx(1.0 / 3.0)
    assert out["chain_prediction_error"] == pytest.approx((0.1 + 1.0 / 3.0) / 3.0)
    assert out["chain_three_over_two_1"] == pytest.approx(1.5)


@pytest.mark.parametrize("wrong", [{"batches": ()}, {"rounds": 0}, {"tokens": 0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        ChainOptions(**wrong)
