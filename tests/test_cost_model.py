from __future__ import annotations

import numpy as np
import pytest
from flyball.inference.simulator.cost_model import CostModel
from flyball.inference.simulator.presets import PRESETS, preset
from flyball.policies.step_time import StepTimeModel
from hypothesis import given, settings
from hypothesis import strategies as st

COEFFICIENTS = (10e-3, 1e-3, 2e-3, 0.5e-3, 0.1e-3, 1e-6, 0.2e-3)


def test_the_plane() -> None:
    seconds = CostModel(COEFFICIENTS).seconds(4, 1000, 12, 3, 50)
    # 10 a step, 4 requests, 2 x 3 passes, 0.5 x 8 drafts verified, 0.1 x 50 prompt tokens, 1000
    # cached, 0.2 x 12 drafted
    assert seconds == pytest.approx((10 + 4 + 6 + 4 + 5 + 1 + 2.4) * 1e-3)


def test_the_grid_is_met_at_its_points_and_halfway() -> None:
    model = CostModel(COEFFICIENTS, (1, 4), [[1.0, 2.0], [3.0, 5.0]])
    plane = CostModel(COEFFICIENTS)

    def factor(batch: float, depth: float) -> float:
        where = (batch, 0, batch * (1 + depth), depth, 0)
        return float(model.seconds(*where) / plane.seconds(*where))

    assert factor(1, 0) == pytest.approx(1.0)
    assert factor(4, 1) == pytest.approx(5.0)
    assert factor(2, 0) == pytest.approx(2.0)  # halfway in log2
    assert factor(2, 0.5) == pytest.approx((1 + 2 + 3 + 5) / 4)
    assert factor(64, 7) == pytest.approx(5.0)  # constant beyond
    assert model.seconds(0, 0, 0, 0, 100) == pytest.approx(20e-3)  # a prompt alone: as batch 1


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 10**6), st.integers(0, 8), st.integers(0, 8192))
def test_presets_take_time_and_never_less_for_more(
    batch: int, context: int, depth: int, prefill: int
) -> None:
    for name in PRESETS:
        model = preset(name).cost_model
        seconds = model.seconds(batch, context, batch * (1 + depth), depth, prefill)
        more = model.seconds(batch, context + 1000, batch * (1 + depth), depth, prefill + 64)
        assert 0 < seconds < more


def test_the_cpu_preset_takes_what_was_measured() -> None:
    model = preset("cpu").cost_model
    batch, depth = np.array([1, 4, 16, 16]), np.array([0, 4, 2, 6])
    seconds = model.seconds(batch, 0, batch * (1 + depth), depth, 0)
    np.testing.assert_allclose(seconds, [16.0e-3, 25.3e-3, 30.9e-3, 49.5e-3])


def test_the_step_time_model_learns_it() -> None:
    rng = np.random.default_rng(0)
    batch, depth = rng.integers(1, 17, 2000), rng.integers(0, 7, 2000)
    context, prefill = batch * rng.integers(50, 500, 2000), rng.integers(0, 100, 2000)
    seconds = CostModel(COEFFICIENTS).seconds(batch, context, batch * (1 + depth), depth, prefill)
    drafts = batch * depth
    features = np.stack([np.ones(2000), batch, depth, drafts, prefill, context, drafts], 1)
    learned = StepTimeModel()
    for chunk in np.split(np.arange(2000), 40):  # the relative weights settle
        learned.update_many(features[chunk], seconds[chunk])
    errors = np.abs(features @ learned.coefficients / seconds - 1)
    assert np.median(errors) < 0.02
    assert errors.max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"coefficients": (1.0,)}, "one per feature"),
        ({"coefficients": (-1.0, 0, 0, 0, 0, 0, 0)}, "not negative"),
        ({"coefficients": (np.nan, 0, 0, 0, 0, 0, 0)}, "finite"),
        ({"batches": (4, 1), "grid": np.ones((2, 3))}, "increase"),
        ({"batches": ()}, "at least 1"),
        ({"batches": (0.5,)}, "at least 1"),
        ({"batches": (1, 2), "grid": np.ones((3, 3))}, "a row per batch size"),
        ({"grid": np.ones((1, 20))}, "a column per depth"),
        ({"grid": np.zeros((1, 3))}, "above 0"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        CostModel(**{"coefficients": COEFFICIENTS, **arguments})


def test_a_preset_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no simulated engine 'tpu'; there are cpu, gpu-7b"):
        preset("tpu")
