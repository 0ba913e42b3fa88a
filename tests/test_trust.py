"""The learned correction has to earn its place."""

from __future__ import annotations

import numpy as np
from factories import State, World
from flyball.policies.trust import Trust
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vector_dqn import make, rows_of


def judged(rng: np.random.Generator, slope: float, noise: float) -> Trust:
    trust = Trust()
    for _ in range(60):
        depths = rng.integers(0, 4, 50)
        corrected = rng.normal(0.0, 0.05, 50)
        missed = slope * corrected + rng.normal(0.0, noise, 50)
        trust.add(depths, missed, corrected, np.ones(50))
    return trust


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(0.3, 1.0), seed=st.integers(0, 100))
def test_the_factor_is_what_the_correction_is_worth(slope: float, seed: int) -> None:
    factors = judged(np.random.default_rng(seed), slope, 0.05).factors
    assert np.abs(factors[:4] - slope).max() < 0.25


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(-2.0, 0.0), seed=st.integers(0, 100))
def test_a_correction_that_is_noise_or_worse_is_not_trusted(slope: float, seed: int) -> None:
    factors = judged(np.random.default_rng(seed), slope, 0.02).factors
    assert factors.max() < 0.15


def test_nothing_is_trusted_before_it_was_tested() -> None:
    assert (Trust().factors == 0.0).all()


def test_a_correction_is_trusted_where_the_structure_is_wrong() -> None:
    world = World(cliff=32, noise=0.1)
    model = make(world, rows=0, gamma=0.0)
    for _ in range(15):
        rows = rows_of(world.transitions(60, [State(16, "hard"), State(12, "mixed")]))
        model.test_on(rows)
        model.replay_buffer.append(rows)
        model.train(40)
    assert model.trust.factors[:7].mean() > 0.4


def test_trust_scales_what_is_published() -> None:
    model = make(World())
    model.train(30)
    whole = model.exported()
    last = f"layer{len(whole) // 2 - 1}"
    half = model.exported(np.full(9, 0.5))
    for part in ("weight", "bias"):
        ours = half[f"{last}.{part}"].reshape(7, 3, -1)
        full = whole[f"{last}.{part}"].reshape(7, 3, -1)
        assert np.allclose(ours[:, :2], 0.5 * full[:, :2])
        assert np.array_equal(ours[:, 2], full[:, 2])
    assert np.array_equal(half["layer0.weight"], whole["layer0.weight"])
