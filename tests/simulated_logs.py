"""Policies in the simulator: what they log, and what they are truly worth there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from flyball.controller.evaluate import Logged, logged
from flyball.inference.guard import Guard
from flyball.inference.simulator.engine import Simulator, Step
from flyball.inference.simulator.settings import SimulatorSettings
from flyball.policies.prices import Prices, compute_prices, cost, latency
from flyball.policies.replay import Rows
from flyball.policies.runner import Runner
from flyball.policies.snapshot import VALUES, Meta, Snapshot
from flyball.policies.spaces import DEPTH_SPACE, Array
from flyball.policies.structure import Structure
from flyball.policies.transition import COLUMN, Floats, Reason

WARM = 50  # intervals until an engine is busy as it stays


@dataclass(frozen=True, eq=False)
class Bench:
    """An engine under some traffic, at one speed."""

    settings: SimulatorSettings
    speed: float = 0.7

    @property
    def prices(self) -> Prices:
        return compute_prices(self.settings.parameter_ratio)

    def snapshot(
        self, biases: Sequence[float] = (), epsilon: float = 0.0, budget: float = 0.0
    ) -> Snapshot:
        """The analytic policy with the true step times, its values off by so much per depth."""
        depths = self.settings.k_max + 1
        bias = np.zeros((depths, VALUES), np.float32)
        bias[: len(biases), :2] = np.array(biases, np.float32).reshape(-1, 1)
        weights = {
            "layer0.weight": np.zeros((depths * VALUES, DEPTH_SPACE.size), np.float32),
            "layer0.bias": bias.ravel(),
        }
        meta = Meta(1, depths - 1, self.prices, epsilon, 0.0, budget=budget)
        coefficients, _, _ = self.settings.cost_model.arrays
        return Snapshot(meta, weights, coefficients.astype(np.float32))

    def fixed(self, depth: int) -> Snapshot:
        """Always the same depth."""
        return self.snapshot([0.0] * depth + [-15.0])

    def logs(self, policy: Snapshot, runs: int, count: int, guarded: bool = False) -> list[Logged]:
        """What a runner of a snapshot logs in so many engines, a guard's reference arm mixed in."""
        simulator = self._simulator(runs, 1000)
        raw, parts = simulator.reset(), []
        engines = [_Engine(policy, self.settings, seed, guarded) for seed in range(runs)]
        for _ in range(WARM + count):
            chosen = [engine.act(row) for engine, row in zip(engines, raw, strict=True)]
            step = simulator.step(np.array([depth for depth, _, _ in chosen]))
            parts.append((raw, chosen, step))
            raw = step.observations
        return [self._logged(parts[WARM:], engine) for engine in range(runs)]

    def worth(self, policy: Snapshot, runs: int = 48, count: int = 400) -> float:
        """A snapshot's true value: of the losses per token where it decides everything itself."""
        seen, outcomes = [], []
        for raw, step in self._played(policy, runs, count):
            seen.append(raw)
            outcomes.append(step.outcomes)
        raw, rows = np.concatenate(seen), np.concatenate(outcomes)
        useful = _useful(rows)
        components = self.components(raw[useful], rows[useful])
        tokens = rows[useful, COLUMN["emitted"]] / rows[useful, COLUMN["request_steps"]]
        losses = components @ np.array([self.speed, 1.0 - self.speed])
        return -float((losses * tokens).sum() / tokens.sum())

    def components(self, raw: Array, rows: Floats) -> Floats:
        """Measured latency and cost, shape (n, 2), with what the engine's step times truly are."""
        coefficients, _, _ = self.settings.cost_model.arrays
        structure = Structure(self.settings.k_max, coefficients, self.prices)
        ratios = np.full(len(rows), self.settings.parameter_ratio)
        batch = structure.outcomes(raw, rows, ratios)
        return np.stack([latency(batch), cost(batch, self.prices)], axis=1)

    def _simulator(self, engines: int, seed: int) -> Simulator:
        simulator = Simulator(self.settings, engines, seed)
        simulator.speed[:] = self.speed
        return simulator

    def _played(self, policy: Snapshot, runs: int, count: int) -> Iterator[tuple[Array, Step]]:
        """Observations and what came of them, of engines that a snapshot governs alone."""
        simulator, rng = self._simulator(runs, 9000), np.random.default_rng(0)
        raw = simulator.reset()
        for number in range(WARM + count):
            chances = policy.probabilities(raw).cumsum(1)
            drawn = (chances < rng.random((runs, 1))).sum(1)
            step = simulator.step(np.minimum(drawn, self.settings.k_max))
            if number >= WARM:
                yield raw, step
            raw = step.observations

    def _logged(self, parts: list[tuple[Array, list, Step]], engine: int) -> Logged:
        raw = np.stack([seen[engine] for seen, _, _ in parts])
        following = np.stack([step.observations[engine] for _, _, step in parts])
        outcomes = np.stack([step.outcomes[engine] for _, _, step in parts])
        depths, propensities, reasons = zip(*(c[engine] for _, c, _ in parts), strict=True)
        n, actions = len(parts), np.array(depths, np.int64)
        rows = Rows(
            observations=raw,
            following=following,
            actions=actions,
            outcomes=outcomes.astype(np.float32),
            ratios=np.full(n, self.settings.parameter_ratio, np.float32),
            engines=np.zeros(n, np.int64),
            numbers=np.arange(n, dtype=np.int64),
            chosen=actions.astype(np.int8),
            propensities=np.array(propensities, np.float32),
            reasons=np.array(reasons, np.int8),
        )
        useful = _useful(outcomes)
        judged = self.components(raw[useful], outcomes[useful])
        judged = np.hstack([judged, np.full((len(judged), 1), np.nan)])
        return logged(rows.take(useful), judged, linear=True, certain=True)


class _Engine:
    """What decides in one engine."""

    def __init__(
        self, policy: Snapshot, settings: SimulatorSettings, seed: int, guarded: bool
    ) -> None:
        self.runner, self.rng = Runner(policy), Random(seed)
        self.guard = Guard(settings.static_depth, settings.k_max) if guarded else None

    def act(self, seen: Array) -> tuple[int, float, Reason]:
        observation = [float(x) for x in seen]
        if self.guard is None:
            return self.runner.act(observation, self.rng)
        choice = self.runner.act(observation, self.rng, self.guard.may_explore())
        static = self.runner.probability(self.guard.static_depth)
        return self.guard.mix(choice, self.runner.explored, static, self.rng)


def _useful(outcomes: Floats) -> np.ndarray:
    """Rows that measured anything, as the learner's intake takes them."""
    return (outcomes[:, COLUMN["emitted"]] > 0) & (outcomes[:, COLUMN["request_steps"]] > 0)
