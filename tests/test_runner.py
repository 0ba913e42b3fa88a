"""The fast path of a snapshot gives what the snapshot gives."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest
from flyball.policies.prices import compute_prices, engine_time_prices
from flyball.policies.runner import Runner
from flyball.policies.snapshot import VALUES, Meta, Snapshot, SnapshotError, analytic
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.step_time import PRIOR
from flyball.policies.structure import KNOTS
from flyball.policies.transition import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

STEP_TIME = PRIOR.astype(np.float32)


def random_snapshot(seed: int, k_max: int, **meta: object) -> Snapshot:
    rng = np.random.default_rng(seed)
    sizes = [DEPTH_SPACE.size, 24, 16, (k_max + 1) * VALUES]
    weights = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weights[f"layer{i}.weight"] = rng.normal(0, 0.3, (fan_out, fan_in)).astype(np.float32)
        weights[f"layer{i}.bias"] = rng.normal(0, 0.3, fan_out).astype(np.float32)
    prices = engine_time_prices() if seed % 2 else compute_prices(0.06)
    fields = {
        "number": 1,
        "k_max": k_max,
        "prices": prices,
        "epsilon": 0.0,
        "gamma": 0.25,
        "switch": 2e-3,
    }
    grid = rng.uniform(0.5, 2.0, (KNOTS, MAX_DEPTH + 1)).astype(np.float32)
    seen = rng.exponential(5.0, grid.shape).astype(np.float32)
    return Snapshot(Meta(**{**fields, **meta}), weights, STEP_TIME, grid, seen)  # type: ignore[arg-type]


def observations(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = DEPTH_SPACE.fields
    # Beyond the ranges on both sides, so that clipping is met too.
    # The depth in force is a whole number, the batch at least one.
    columns = [rng.uniform(f.low, f.high * (1.2 if f.high > 1 else 1), count) for f in fields]
    raw = np.stack(columns, 1).astype(np.float32)
    depth = DEPTH_SPACE.index("depth")
    raw[:, depth] = np.floor(raw[:, depth])
    return raw


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    k_max=st.integers(1, 8),
    linear=st.booleans(),
    gamma=st.sampled_from([0.0, 0.25, 0.9]),
)
def test_scores_equal_the_snapshots(seed: int, k_max: int, linear: bool, gamma: float) -> None:
    snapshot = random_snapshot(seed, k_max, linear=linear, gamma=gamma)
    runner = Runner(snapshot)
    raw = observations(seed, 5)
    expected = snapshot.scores(raw)
    found = [runner.scores([float(x) for x in row]) for row in raw]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), k_max=st.integers(1, 8), gamma=st.sampled_from([0.0, 0.25]))
def test_probabilities_equal_the_snapshots(seed: int, k_max: int, gamma: float) -> None:
    snapshot = random_snapshot(seed, k_max, gamma=gamma, budget=0.3)
    runner = Runner(snapshot)
    raw = observations(seed, 5)
    for row, expected in zip(raw, snapshot.probabilities(raw), strict=True):
        runner.act([float(x) for x in row], Random(0))
        found = [runner.probability(k) for k in range(k_max + 1)]
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("share", [{"epsilon": 0.4}, {"budget": 0.3}])
def test_propensities_are_the_frequencies(share: dict[str, float]) -> None:
    snapshot = random_snapshot(3, 4, **share)
    runner, rng = Runner(snapshot), Random(0)
    observation = [float(x) for x in observations(3, 1)[0]]
    drawn = [runner.act(observation, rng) for _ in range(20000)]
    for action in range(5):
        claimed = {p for a, p, _ in drawn if a == action}
        assert len(claimed) <= 1
        if not claimed:
            assert snapshot.probabilities(observations(3, 1))[0, action] < 1e-3
            continue
        assert np.mean([a == action for a, _, _ in drawn]) == pytest.approx(claimed.pop(), abs=0.02)
        expected = snapshot.probabilities(observations(3, 1))[0, action]
        assert np.isclose(next(iter({p for a, p, _ in drawn if a == action})), expected, rtol=1e-3)
    best = int(np.argmax(runner.scores(observation)))
    assert all((reason is Reason.EXPLORE) == (action != best) for action, _, reason in drawn)


def test_without_exploration_the_best_is_certain() -> None:
    runner = Runner(random_snapshot(3, 4, epsilon=1.0))
    observation = [float(x) for x in observations(3, 1)[0]]
    best = int(np.argmax(runner.scores(observation)))
    assert runner.act(observation, Random(0), explore=False) == (best, 1.0, Reason.POLICY)


def test_values_that_are_no_numbers_are_refused() -> None:
    snapshot = random_snapshot(1, 4)
    snapshot.weights["layer2.bias"][:] = np.nan
    with pytest.raises(SnapshotError, match="not finite"):
        Runner(snapshot).act([0.0] * DEPTH_SPACE.size, Random(0))


def test_the_analytic_policy_drafts_deep_when_drafts_survive_and_the_engine_is_idle() -> None:
    runner = Runner(analytic(1, 6, compute_prices(0.05), STEP_TIME, 0.0))
    seen = DEPTH_SPACE.zeros()
    seen[DEPTH_SPACE.index("batch")] = 1
    seen[DEPTH_SPACE.slice("kept_1", 8)] = 1.0

    def best(survival: float, speed: float) -> int:
        seen[DEPTH_SPACE.slice("survival_1", 8)] = survival ** np.arange(1, 9)
        seen[-1] = speed
        return runner.act([float(x) for x in seen], Random(0))[0]

    assert best(0.95, 1.0) == 6
    assert best(0.02, 1.0) == 0
    assert best(0.5, 0.0) == 0  # every rejected draft costs, none saves dollars
    assert best(0.95, 0.0) <= best(0.95, 0.5) <= best(0.95, 1.0)
