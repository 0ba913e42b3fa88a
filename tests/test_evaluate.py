"""Snapshots judged by decisions that were logged, and the gate that does so."""

from __future__ import annotations

import numpy as np
import pytest
from factories import COEFFICIENTS, State, World
from flyball.controller.evaluate import Logged, compare, evaluate, logged, usable
from flyball.controller.gate import FAR, FEWEST, MARGIN, no_worse
from flyball.controller.intake import outcome_rows, to_rows
from flyball.policies.columns import concatenate
from flyball.policies.prices import cost, latency
from flyball.policies.replay import Rows
from flyball.policies.snapshot import VALUES, Meta, Snapshot
from flyball.policies.spaces import DEPTH_SPACE, SPEED_INDEX
from flyball.policies.structure import Structure
from flyball.policies.transition import OutcomeBatch, Reason

STATES = (State(1, "easy"), State(8, "mixed"), State(16, "hard"))


def snapshot(world: World, depth: int | None = None, epsilon: float = 0.1) -> Snapshot:
    """The analytic policy, or one that insists on a depth."""
    outputs = (world.k_max + 1) * VALUES
    bias = np.zeros(outputs, np.float32)
    if depth is not None:
        bias[VALUES * depth : VALUES * depth + 2] = -15.0
    weights = {"layer0.weight": np.zeros((outputs, DEPTH_SPACE.size), np.float32)}
    weights["layer0.bias"] = bias
    meta = Meta(1, world.k_max, world.prices, epsilon, 0.0)
    return Snapshot(meta, weights, np.array(COEFFICIENTS, np.float32))


def measured(world: World, count: int = 600) -> tuple[Rows, np.ndarray]:
    """Rows at depths drawn uniformly, and what they were worth."""
    transitions = world.transitions(count, STATES)
    rows = to_rows(transitions, outcome_rows(transitions), 0, world.parameter_ratio)
    off = Structure(6, COEFFICIENTS, world.prices).decode_seconds(rows.observations)[..., 0]
    batch = OutcomeBatch.from_rows(
        rows.outcomes.astype(np.float64), off.astype(np.float64), rows.ratios.astype(np.float64)
    )
    judged = np.stack([latency(batch), cost(batch, world.prices), np.full(len(rows), np.nan)], 1)
    return rows, judged


def truth(world: World, policy: Snapshot, rows: Rows, speed: float) -> float:
    """The policy's true ratio of losses to tokens over the states of some rows."""
    raw = rows.observations.copy()
    raw[:, SPEED_INDEX] = speed
    chances = policy.probabilities(raw)
    states = {state.batch: state for state in STATES}
    losses = tokens = 0.0
    for seen, row in zip(raw, chances, strict=True):
        state = states[int(seen[DEPTH_SPACE.index("batch")])]
        survival = np.concatenate([[1.0], world.survival(state.content)[: world.k_max]])
        emitted = survival.cumsum()
        l, c = world.components(state).T  # noqa: E741
        losses += float((row * emitted * (speed * l + (1 - speed) * c)).sum())
        tokens += float((row * emitted).sum())
    return -losses / tokens


@pytest.mark.parametrize("cliff", [0, 32])
@pytest.mark.parametrize("depth", [None, 0, 6])
def test_intervals_cover_what_the_world_says(cliff: int, depth: int | None) -> None:
    # With a cliff the model is wrong above 32 positions, and must be put right by the rows.
    covered = {"ips": 0, "snips": 0, "dr": 0}
    runs = 20
    for seed in range(runs):
        world = World(cliff=cliff, rng=np.random.default_rng(seed))
        rows, judged = measured(world, 400)
        policy = snapshot(world, depth)
        true = truth(world, policy, rows, 0.7)
        for name, found in evaluate(policy, logged(rows, judged, True), speed=0.7).items():
            covered[name] += found.low <= true <= found.high
    assert all(count >= 0.8 * runs for count in covered.values()), covered


def test_doubly_robust_is_narrower_where_the_structure_is_right() -> None:
    world = World()
    found = evaluate(snapshot(world), logged(*measured(world), True), 1.0)
    width = {name: estimate.high - estimate.low for name, estimate in found.items()}
    assert width["dr"] < 0.5 * width["ips"]


def test_the_speed_decides_which_is_better() -> None:
    world = World()
    data = logged(*measured(world), True)
    deep, off = snapshot(world, 6), snapshot(world, 0)
    assert compare(deep, off, data, 0.0).difference.high < 0.0
    only_easy = data.rows.observations[:, DEPTH_SPACE.index("batch")] == 1
    easy = Logged(data.rows.take(only_easy), data.components[only_easy])
    assert compare(deep, off, easy, 1.0).difference.low > 0.0


def test_chances_are_what_a_runner_draws() -> None:
    world = World()
    policy, raw = snapshot(world, epsilon=0.3), measured(world, 50)[0].observations
    chances = policy.probabilities(raw)
    assert np.allclose(chances.sum(1), 1.0)
    assert np.array_equal(chances.argmax(1), policy.scores(raw).argmax(1))
    assert set(np.round(np.unique(chances), 6)) == {round(0.3 / 7, 6), round(0.7 + 0.3 / 7, 6)}


class TestWhatIsLeftOut:
    def rows(self, reason: Reason, applied: int = 3, propensity: float = 0.5) -> Rows:
        world = World()
        transition = world.transition(State(), 3, drawn=(propensity, reason))
        rows = to_rows([transition], outcome_rows([transition]), 0, 0.05)
        rows.actions[:] = applied
        return rows

    @pytest.mark.parametrize("reason", list(Reason))
    def test_what_was_not_drawn(self, reason: Reason) -> None:
        drawn = reason in (Reason.POLICY, Reason.EXPLORE, Reason.REFERENCE)
        assert usable(self.rows(reason)).tolist() == [drawn]

    def test_what_was_not_applied_was_certain_or_is_not_known(self) -> None:
        assert not usable(self.rows(Reason.POLICY, applied=2)).any()
        assert not usable(self.rows(Reason.POLICY, propensity=1.0)).any()
        assert not usable(self.rows(Reason.POLICY, propensity=float("nan"))).any()

    def test_such_rows_change_nothing(self) -> None:
        world = World()
        rows, judged = measured(world, 200)
        more = concatenate([rows, *[self.rows(Reason.PINNED)] * 50])
        judgement = np.vstack([judged, np.full((50, 3), 9.0)])
        policy = snapshot(world)
        one = evaluate(policy, logged(rows, judged, True))
        assert evaluate(policy, logged(more, judgement, True)) == one

    def test_a_reward_that_failed(self) -> None:
        rows, judged = measured(World(), 50)
        judged[:, 2] = np.where(np.arange(50) < 20, np.nan, -1.0)
        assert len(logged(rows, judged, linear=False)) == 30
        assert len(logged(rows, judged, linear=True)) == 50


class TestGate:
    def test_refuses_a_candidate_that_is_much_worse_and_says_by_how_much(self) -> None:
        world = World()
        compared = compare(snapshot(world, 6), snapshot(world), logged(*measured(world), True), 0.0)
        reason = no_worse(compared)(snapshot(world), np.zeros((0, 0), np.float32))
        assert reason is not None
        assert f"by {-compared.difference.value:.3f}" in reason
        assert "doubly robust" in reason
        assert f"{compared.difference.ess:.0f} effective" in reason

    def test_passes_an_equal_one(self) -> None:
        world = World()
        for seed in range(5):
            world = World(rng=np.random.default_rng(seed))
            data = logged(*measured(world, 400), True)
            compared = compare(snapshot(world), snapshot(world), data)
            assert compared.difference.value == 0.0
            assert no_worse(compared)(snapshot(world), np.zeros((0, 0), np.float32)) is None

    def test_on_few_rows_only_what_is_far_worse_is_refused(self) -> None:
        world, nothing = World(), np.zeros((0, 0), np.float32)
        data = logged(*measured(world, 100), True)
        better, off, deep = snapshot(world, 1), snapshot(world, 0), snapshot(world, 6)
        for candidate, current, speed, far in ((deep, off, 0.0, True), (off, better, 0.8, False)):
            compared = compare(candidate, current, data, speed)
            assert compared.difference.ess < FEWEST
            assert compared.difference.high < -MARGIN
            assert (compared.difference.high < -FAR) == far
            assert (no_worse(compared)(candidate, nothing) is not None) == far
        assert no_worse(None)(deep, nothing) is None

    def test_where_the_policy_was_certain_the_structure_speaks_for_another(self) -> None:
        world = World()
        rows, judged = measured(world, 300)
        certain = rows.take(rows.actions == 0)
        certain.propensities[:] = 1.0
        judged = judged[rows.actions == 0]
        assert not len(logged(certain, judged, True))
        data = logged(certain, judged, True, certain=True)
        deep, off = snapshot(world, 6, epsilon=0.0), snapshot(world, 0, epsilon=0.0)
        compared = compare(deep, off, data, 0.0)
        assert (len(data), compared.difference.ess) == (len(certain), 0.0)
        assert compared.current.value == pytest.approx(-1.0, abs=0.01)
        assert no_worse(compared)(deep, np.zeros((0, 0), np.float32)) is not None
        assert no_worse(compare(off, off, data, 0.0))(off, np.zeros((0, 0), np.float32)) is None
