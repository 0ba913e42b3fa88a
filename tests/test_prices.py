import warnings

import numpy as np
import pytest
from factories import CONTENTS, State, World
from flyball.policies.prices import (
    Prices,
    compute_prices,
    cost,
    dollars,
    engine_time_prices,
    latency,
    price_list,
)
from flyball.policies.transition import OutcomeBatch, outcome_row


def batch_of(world, states, depths, steps=8):
    outcomes = [world.outcome(s, d, steps) for s, d in zip(states, depths, strict=True)]
    rows = np.array([outcome_row(d, o) for d, o in zip(depths, outcomes, strict=True)])
    off = np.array([world.seconds(s)[0] for s in states])
    return OutcomeBatch.from_rows(rows, off, np.full(len(states), world.parameter_ratio))


@pytest.mark.parametrize("prices", [compute_prices(0.05), engine_time_prices()])
def test_off_costs_one(prices):
    world = World(noise=0.0)
    batch = batch_of(world, [State(4, c) for c in CONTENTS], [0, 0, 0])
    assert np.allclose(cost(batch, prices), 1.0)
    assert np.allclose(latency(batch), 1.0)


def test_long_intervals_measure_what_is_expected():
    world = World(noise=0.0)
    states = [State(4, content) for content in CONTENTS for _ in range(7)]
    depths = list(range(7)) * 3
    batch = batch_of(world, states, depths, steps=4000)
    expected = np.array([world.components(s)[d] for s, d in zip(states, depths, strict=True)])
    assert np.allclose(latency(batch), expected[:, 0], rtol=0.03)
    assert np.allclose(cost(batch, world.prices), expected[:, 1], rtol=0.03)


def test_compute_charges_every_position():
    world = World()
    batch = batch_of(world, [State(4, "easy")], [3])
    expected = 0.2e-6 * (4 * 8 * 4 + 0.05 * 4 * 8 * 3)
    assert dollars(batch, compute_prices(0.05))[0] == pytest.approx(expected)


def test_engine_time_charges_busy_seconds():
    batch = batch_of(World(), [State(4, "easy")], [3])
    assert dollars(batch, engine_time_prices(3600.0))[0] == pytest.approx(batch.seconds[0])


def test_nothing_emitted_is_nan_without_a_warning():
    batch = batch_of(World(), [State(4, "easy")], [3])
    for name in ("emitted", "request_steps"):
        getattr(batch, name)[:] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(latency(batch)).all()
        assert np.isnan(cost(batch, compute_prices(0.05))).all()


@pytest.mark.parametrize(
    "values", [{"verified": -1.0}, {"verified": float("nan")}, {"drafted": 1.0}, {}]
)
def test_a_price_list_that_makes_no_sense_is_refused(values):
    with pytest.raises(ValueError, match="price"):
        Prices(**values)


def test_an_unknown_cost_model_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="compute, engine_time"):
        price_list("free", 0.1)
