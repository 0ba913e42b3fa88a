"""What a change while an engine serves costs: the knob turned, the reward swapped.

Both happen halfway through the traffic of simulated engines; what counts is the half that follows,
in which those that are compared meet the same requests.

Figures, with ``_low`` and ``_high``: percentile bootstrap over the phases of that half.
    knob_turn_ratio: J at speed 1 of a learner whose knob stood at 0 until then, over that of one
        whose knob stood at 1 from the start, with the same seeds; 1 is no loss.
    knob_turn_intervals: decisions from the turn until the first under the new speed, the slowest
        engine's; 1 is the next one.
    reward_swap_ratio: mean reward per interval of a learner that served under latency-cost and was
        then given the reward ``goodput``, over that of one that had it from the start. From then
        on both only decide: no new data, no exploration. 1 is no loss, more is better.
    reward_swap_seconds: of one core, from the swap until the new policy, the slowest learner's.
Without bounds is another, for what the swap was good for:
    reward_kept_ratio: the same of a learner whose reward was not swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, cast

import numpy as np

from ...envs.reward_inputs import RewardInputs
from ...envs.rewards import evaluate, load_reward
from ...inference.simulator.engine import Simulator, Step
from ...inference.simulator.settings import SimulatorSettings
from ...policies.policy import Policy
from ...policies.prices import compute_prices
from ...policies.spaces import SPEED_INDEX, Array
from ...policies.structure import Structure
from ...policies.transition import COLUMN, Floats
from .figures import OFF, OURS, ratio
from .simulated import Maker, profiled
from .tally import Arm, Tally, collect, sums

REWARD: Final = "goodput"
"""What the reward is swapped to: under it deeper drafts are best than at the speed before."""

_SPEED: Final = 0.5  # of the knob, where the reward is swapped

_EMITTED: Final = COLUMN["emitted"]

Before = Callable[[Floats], None]
"""Called with every engine's clock before an interval begins."""


class Swapped(Protocol):
    """What is asked of a learned policy here."""

    frozen: bool

    def use_reward(self, spec: str) -> list[float]:
        """Swap the reward; core seconds until the new policy, by engine."""


@dataclass(frozen=True)
class Changes:
    """Learners on one scenario that changes halfway.

    Attributes:
        settings: engine and traffic, with a horizon.
        make: makes policies.
        seeds: of the traffic.
    """

    settings: SimulatorSettings
    make: Maker
    seeds: Sequence[int]

    def knob(self) -> tuple[Tally, int]:
        """Arms ``off``, ``KEPT`` and ``TURNED``, and the intervals until the turn counts."""
        parts: dict[tuple[Arm, tuple[int, str]], Floats] = {}
        slowest = 0
        for arm, name, speed in ((OFF, OFF.policy, 1.0), (KEPT, OURS, 1.0), (TURNED, OURS, 0.0)):
            simulator = self._simulator(speed)
            policy = self._policy(name)
            turn = _Turn(simulator, self._half)
            for began, raw, step in self._intervals(simulator, policy, turn):
                turn.see(raw)
                values = sums(step.outcomes, self._structure.prices)
                for i in np.flatnonzero(began >= self._half):
                    unit = self.seeds[i], f"phase {step.phase[i] + 1}"
                    parts[arm, unit] = parts.get((arm, unit), 0.0) + values[i]
            _close(policy)
            slowest = max(slowest, int(turn.waited.max()))
        return collect(parts), slowest

    def reward(self) -> tuple[Mapping[str, Floats], float]:
        """Mean reward in every phase after the swap, by policy; core seconds that it took."""
        found, seconds = {}, 0.0
        for name in ("scratch", "swapped", "kept"):
            simulator = self._simulator(_SPEED)
            policy = self._policy(OURS)
            learner = cast(Swapped, policy)
            if name == "scratch":
                learner.use_reward(REWARD)
            freeze = _Freeze(self._half, learner, swap=name == "swapped")
            totals: dict[tuple[int, int], list[float]] = {}
            for began, raw, step in self._intervals(simulator, policy, freeze):
                if not learner.frozen:
                    continue
                rewards = self._rewards(raw, step)
                for i in np.flatnonzero((began >= self._half) & np.isfinite(rewards)):
                    totals.setdefault((i, int(step.phase[i])), []).append(float(rewards[i]))
            _close(policy)
            seconds = max(seconds, freeze.seconds)
            found[name] = {unit: float(np.mean(values)) for unit, values in totals.items()}
        units = sorted(set.intersection(*(set(of) for of in found.values())))
        return {name: np.array([of[u] for u in units]) for name, of in found.items()}, seconds

    @property
    def _half(self) -> float:
        return self.settings.horizon / 2.0

    def _simulator(self, speed: float) -> Simulator:
        simulator = Simulator(self.settings, len(self.seeds), list(self.seeds))
        simulator.speed[:] = speed
        return simulator

    def _policy(self, name: str) -> Policy:
        return self.make(name, self._structure, len(self.seeds), self.seeds[0])

    @cached_property
    def _structure(self) -> Structure:
        return profiled(self.settings, compute_prices(self.settings.parameter_ratio))

    def _intervals(
        self, simulator: Simulator, policy: Policy, before: Before
    ) -> Iterator[tuple[Floats, Array, Step]]:
        """When every interval began, what was seen then, and what came of it."""
        raw, clock = simulator.reset(), np.zeros(simulator.engines)
        done = np.zeros(simulator.engines, bool)
        while not done.all():
            before(clock)
            actions = policy.act(raw).actions
            step = simulator.step(actions)
            policy.learn(raw, actions, step.outcomes)
            yield clock, raw, step
            raw, clock, done = step.observations, step.clock, step.done

    def _rewards(self, raw: Array, step: Step) -> Floats:
        """Of an interval of every engine; NaN where it emitted nothing."""
        found = np.full(len(raw), np.nan)
        some = np.flatnonzero(step.outcomes[:, _EMITTED] > 0)
        if len(some):
            ratios = np.full(len(some), self.settings.parameter_ratio)
            batch = self._structure.outcomes(raw[some], step.outcomes[some], ratios)
            inputs = RewardInputs.of(batch, self._structure.prices, _SPEED)
            found[some] = evaluate(load_reward(REWARD), inputs)
        return found


def change_figures(found: Sequence[Changes], seed: int) -> dict[str, float]:
    """Every figure, the scenarios' phases together."""
    turned, kept, waits = [], [], []
    rewards: dict[str, list[Floats]] = {}
    took = 0.0
    for changes in found:
        tally, waited = changes.knob()
        tally = tally.complete()
        turned.append(tally.objective(TURNED, OFF, 1.0))
        kept.append(tally.objective(KEPT, OFF, 1.0))
        waits.append(waited)
        means, seconds = changes.reward()
        took = max(took, seconds)
        for name, values in means.items():
            rewards.setdefault(name, []).append(values)
    means = {name: np.concatenate(values) for name, values in rewards.items()}
    knob = ratio(np.concatenate(turned), np.concatenate(kept), seed)
    return {
        **knob.figures("knob_turn_ratio"),
        "knob_turn_intervals": float(max(waits)),
        **ratio(means["swapped"], means["scratch"], seed).figures("reward_swap_ratio"),
        "reward_swap_seconds": took,
        "reward_kept_ratio": float(means["kept"].mean() / means["scratch"].mean()),
    }


KEPT: Final = Arm("learned", 1.0)
TURNED: Final = Arm("turned", 1.0)


class _Turn:
    """Turns the knob of every engine to 1 once its clock has come to a time."""

    def __init__(self, simulator: Simulator, at: float) -> None:
        self.waited = np.zeros(simulator.engines, int)
        self._simulator, self._at = simulator, at
        self._turned = np.zeros(simulator.engines, bool)

    def __call__(self, clock: Floats) -> None:
        self._turned |= clock >= self._at
        self._simulator.speed[self._turned] = 1.0

    def see(self, raw: Array) -> None:
        """Count the decisions that were still made under another speed."""
        self.waited += self._turned & (raw[:, SPEED_INDEX] != 1.0)


class _Freeze:
    """Stops learning once all clocks have come to a time; the reward may be swapped then."""

    def __init__(self, at: float, learner: Swapped, swap: bool) -> None:
        self.seconds = 0.0
        self._at, self._learner, self._swap = at, learner, swap

    def __call__(self, clock: Floats) -> None:
        if self._learner.frozen or clock.min() < self._at:
            return
        if self._swap:
            self.seconds = max(self._learner.use_reward(REWARD))
        self._learner.frozen = True


def _close(policy: Policy) -> None:
    close = getattr(policy, "close", None)
    if close is not None:
        close()
