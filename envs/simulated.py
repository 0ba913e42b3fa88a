"""The depth decision of a simulated engine as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from ..inference.simulator.engine import Simulator, Step
from ..inference.simulator.presets import preset
from ..inference.simulator.settings import SimulatorSettings
from ..policies.prices import Prices, compute_prices
from ..policies.spaces import DEPTH_SPACE, Array, check_depth, check_speed
from ..policies.transition import COLUMN, Decision, Reason, outcome_of
from .measuring import measure
from .rewards import load_reward


class SimulatedDepthEnv(gymnasium.Env[Array, np.int64]):
    """One simulated engine's depth, set for one interval per step, in virtual time.

    Observation, action, reward and ``info`` are those of ``DepthEnv``; ``off_seconds`` is the
    truth, not an estimate. A step lasts until an interval has measured something, so a long
    prompt alone in the engine takes several. An episode is truncated after ``episode``
    intervals, or with ``info["reason"] == "end"`` when the traffic has ended; every reset begins
    anew, and the same seed gives the same traffic.

    Args:
        simulator: settings, or the name of a preset.
        reward: built-in name, entry point, or ``pkg.module:Class``.
        speed: for the reward and the observation; None for 0.5.
        episode: intervals per episode.
        prices: what things cost; by default the compute cost model.

    Raises:
        RewardError: if the reward cannot be used.
        ValueError: if an argument makes no sense.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        simulator: SimulatorSettings | str = "cpu",
        reward: str = "latency-cost",
        speed: float | None = None,
        episode: int = 64,
        prices: Prices | None = None,
    ) -> None:
        if episode < 1:
            raise ValueError("episode must be at least 1 interval")
        settings = preset(simulator) if isinstance(simulator, str) else simulator
        self.reward = load_reward(reward)
        self.speed = 0.5 if speed is None else check_speed(speed)
        self.episode = episode
        self.engine = settings.name
        self.k_max = settings.k_max
        self._ratio = settings.parameter_ratio
        self._prices = prices or compute_prices(settings.parameter_ratio)
        self._simulator = Simulator(settings)
        self._simulator.speed[:] = self.speed
        self._steps = self._decisions = 0
        self._raw = DEPTH_SPACE.zeros()
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (DEPTH_SPACE.size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(self.k_max + 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin anew: with this seed, or else with traffic not seen before."""
        super().reset(seed=seed, options=options)
        self._steps = self._decisions = 0
        self._raw = self._simulator.reset(int(self.np_random.integers(2**31)))[0]
        return DEPTH_SPACE.normalise(self._raw), {"engine": self.engine}

    def step(self, action: np.int64 | int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold a depth for one interval and return what was measured."""
        depth = check_depth(action, self.k_max)
        self._steps += 1
        step = self._interval(depth)
        info: dict[str, Any] = {"engine": self.engine, "depth": depth}
        reward = float(self.reward.on_error)
        outcome = outcome_of(step.outcomes[0])
        if outcome.steps:
            reward, measured = measure(
                self.reward,
                self._decision(depth, float(step.clock[0])),
                outcome,
                off_seconds=float(self._simulator.off_seconds(step.outcomes)[0]),
                parameter_ratio=self._ratio,
                prices=self._prices,
                speed=self.speed,
            )
            info |= measured
        if step.done[0]:
            info["reason"] = "end"
        self._raw = step.observations[0]
        over = self._steps >= self.episode or bool(step.done[0])
        return DEPTH_SPACE.normalise(self._raw), reward, False, over, info

    def _interval(self, depth: int) -> Step:
        """The first interval that measured something, or the last."""
        while True:
            step = self._simulator.step(np.array([depth]))
            if step.outcomes[0, _STEPS] or step.done[0]:
                return step

    def _decision(self, depth: int, at: float) -> Decision:
        self._decisions += 1
        return Decision(
            number=self._decisions,
            at=at,
            observation=self._raw.astype("<f4").tobytes(),
            action=depth,
            applied=depth,
            propensity=1.0,
            version=0,
            speed=self.speed,
            reason=Reason.PINNED,
            pin=self._decisions,
        )


_STEPS = COLUMN["steps"]
