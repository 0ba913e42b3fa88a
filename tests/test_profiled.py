"""Simulated engines and profiles, one from the other; traffic drawn at random."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from flyball.inference.profile import load_profile
from flyball.inference.simulator.engine import Simulator
from flyball.inference.simulator.generated import drawn_traffic
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.profiled import cost_model, profile_of, simulated
from flyball.policies.prices import compute_prices
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.step_time import StepTimeModel
from flyball.policies.structure import KNOTS, Structure
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import profile


def test_a_profile_of_a_simulated_engine_gives_that_engine(tmp_path) -> None:
    engine = preset("cpu")
    found = profile_of(engine.cost_model, engine.k_max, engine.parameter_ratio)
    found.save(tmp_path / "profile.json")
    again = simulated(load_profile(tmp_path / "profile.json"), max_num_seqs=16)
    assert (again.k_max, again.parameter_ratio) == (engine.k_max, engine.parameter_ratio)
    state = np.array([1, 3, 8, 16]), 900.0, np.array([1, 9, 8, 112]), np.array([0, 2, 0, 6]), 5.0
    assert np.allclose(again.cost_model.seconds(*state), engine.cost_model.seconds(*state))


@settings(max_examples=50, deadline=None)
@given(row=st.integers(0, KNOTS - 1), depth=st.integers(0, 6), context=st.floats(0, 4000))
def test_the_structure_of_a_profile_predicts_its_steps(row, depth, context) -> None:
    found = profile()
    batch = 2.0**row
    structure = Structure(6, found.vector, compute_prices(0.05), found.table)
    raw = DEPTH_SPACE.zeros()
    raw[DEPTH_SPACE.slice("kept_1", MAX_DEPTH)] = 1.0
    raw[DEPTH_SPACE.index("batch")], raw[DEPTH_SPACE.index("context")] = batch, context
    told = cost_model(found).seconds(batch, batch * context, batch * (1 + depth), depth, 0.0)
    assert structure.seconds(raw)[depth] == pytest.approx(float(told), rel=1e-4)


def test_the_table_is_what_is_corrected_by_until_steps_are_measured() -> None:
    table = np.ones((KNOTS, MAX_DEPTH + 1))
    table[2, 3] = 1.5
    model = StepTimeModel(table=table)
    assert np.allclose(model.grid, table, rtol=1e-5)
    assert not model.seen.any()
    features = np.tile([1.0, 4.0, 3.0, 12.0, 0.0, 400.0, 12.0], (200, 1))
    model.update_many(features, np.full(200, 0.02))
    assert model.grid[2, 3] != pytest.approx(1.5, rel=0.1), "measured steps outweigh it"
    assert features[0] @ model.coefficients * model.grid[2, 3] == pytest.approx(0.02, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_drawn_traffic_can_be_served(seed: int) -> None:
    engine = simulated(profile(), max_num_seqs=16)
    drawn = drawn_traffic(engine, np.random.default_rng(seed))
    assert drawn.cost_model is engine.cost_model
    for phase in drawn.workload.phases:
        assert phase.concurrency is None or 1 <= phase.concurrency <= engine.max_num_seqs
        assert sum(phase.mix.values()) == pytest.approx(1.0)
    simulator = Simulator(drawn, 2, seed)
    emitted = sum(simulator.step(np.array([0, 3])).outcomes[:, 5].sum() for _ in range(60))
    assert emitted > 0
    assert np.isfinite(simulator.step(np.array([0, 3])).observations).all()


def test_other_draws_are_other_traffic() -> None:
    engine = simulated(msgspec.structs.replace(profile(), parameter_ratio=0.1))
    assert engine.parameter_ratio == 0.1
    one, two, again = (drawn_traffic(engine, np.random.default_rng(s)).workload for s in (0, 1, 0))
    assert one == again != two
