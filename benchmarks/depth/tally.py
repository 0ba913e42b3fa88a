"""What every arm used and gave in every unit of a run, and what that is worth.

A unit is one phase of one seed, in which all arms met the same requests: what is compared is
therefore paired by unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ...policies.prices import Prices, dollars
from ...policies.transition import Floats, OutcomeBatch

SUMS: Final = ("request_seconds", "emitted", "dollars", "seconds", "switches", "intervals")
"""What is summed over the intervals of a unit."""

_RS, _EMITTED, _DOLLARS, _SECONDS, _SWITCHES, _ = range(len(SUMS))


@dataclass(frozen=True, order=True)
class Arm:
    """One way to set the depth.

    Attributes:
        policy: as ``make_policy`` takes it, ``fixed?depth=K``, or ``learned``.
        speed: the knob; None where it makes no difference.
    """

    policy: str
    speed: float | None = None

    @property
    def name(self) -> str:
        """Such as ``goodput`` or ``learned at 0.5``."""
        return self.policy if self.speed is None else f"{self.policy} at {self.speed:g}"


def fixed_depths(k_max: int) -> list[str]:
    """The policies of every depth from 1 on."""
    return [f"fixed?depth={k}" for k in range(1, k_max + 1)]


def sums(outcomes: Floats, prices: Prices) -> Floats:
    """What each outcome row, shape (n, ROW_SIZE), adds: shape (n, len(SUMS))."""
    nothing = np.zeros(len(outcomes))
    batch = OutcomeBatch.from_rows(outcomes, nothing, nothing)
    columns = [
        batch.request_seconds,
        batch.emitted,
        dollars(batch, prices),
        batch.seconds,
        batch.switched,
        batch.steps > 0,
    ]
    return np.stack(columns, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Tally:
    """Sums of every arm in every unit.

    Attributes:
        arms: what was compared.
        units: (seed, phase) of every unit.
        sums: shape (arms, units, len(SUMS)).
    """

    arms: Sequence[Arm]
    units: Sequence[tuple[int, str]]
    sums: Floats

    def of(self, arm: Arm) -> Floats:
        """An arm's sums, shape (units, len(SUMS)).

        Raises:
            KeyError: if it was not measured.
        """
        if arm not in self.arms:
            raise KeyError(f"no arm {arm.name!r}; there are {[a.name for a in self.arms]}")
        mine: Floats = self.sums[list(self.arms).index(arm)]
        return mine

    def policies(self) -> list[str]:
        """Names of the policies, in the order of the arms."""
        return list(dict.fromkeys(arm.policy for arm in self.arms))

    def arm(self, policy: str, speed: float) -> Arm:
        """A policy's arm at a speed: the same one for all where the speed makes no difference."""
        arm = Arm(policy, speed)
        return arm if arm in self.arms else Arm(policy)

    def components(self, arm: Arm, off: Arm) -> Floats:
        """Latency and cost in every unit, off = 1.0: shape (units, 2)."""
        ours, base = self.of(arm), self.of(off)
        latency = ours[:, _RS] / ours[:, _EMITTED] / (base[:, _RS] / base[:, _EMITTED])
        cost = ours[:, _DOLLARS] / ours[:, _EMITTED] / (base[:, _DOLLARS] / base[:, _EMITTED])
        return np.stack([latency, cost], axis=1)

    def objective(self, arm: Arm, off: Arm, speed: float) -> Floats:
        """J = speed x latency + (1 - speed) x cost in every unit: shape (units,)."""
        latency, cost = self.components(arm, off).T
        value: Floats = speed * latency + (1.0 - speed) * cost
        return value

    def switches_per_minute(self, arm: Arm) -> float:
        """Changes of depth per minute in which the engine was busy."""
        mine = self.of(arm).sum(0)
        return float(mine[_SWITCHES] / max(mine[_SECONDS], 1e-9) * 60.0)

    def complete(self) -> Tally:
        """The units in which every arm emitted something."""
        kept = np.flatnonzero((self.sums[:, :, _EMITTED] > 0).all(0))
        return Tally(self.arms, [self.units[i] for i in kept], self.sums[:, kept])


def collect(parts: Mapping[tuple[Arm, tuple[int, str]], Floats]) -> Tally:
    """A tally from the sums of each arm and unit; what is missing counts as nothing."""
    arms = list(dict.fromkeys(arm for arm, _ in parts))
    units = list(dict.fromkeys(unit for _, unit in parts))
    table: npt.NDArray[np.float64] = np.zeros((len(arms), len(units), len(SUMS)))
    for (arm, unit), values in parts.items():
        table[arms.index(arm), units.index(unit)] += values
    return Tally(arms, units, table)
