"""What ``flyball bench plan`` compares: families of policies, each a curve of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIXED: Final = "fixed"
WINDOW: Final = "window"
DSP: Final = "dsp"
OURS: Final = "ours"
JUDGE: Final = "judge"
ORACLE: Final = "oracle"

OFF: Final = "fixed:0"
FIXED_6: Final = "fixed:6,barrier=true"

SPEEDS: Final = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0)
_EVERY: Final = 10  # finished runs between two times of DSP's learning, which takes it seconds
_QUICK_SPEEDS: Final = (0.0, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0)
_BOUND_SPEEDS: Final = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Arm:
    """A policy at one setting.

    Attributes:
        family: whose curve it is a point of.
        spec: of the policy, as ``make_plan_policy`` takes it.
        speed: the knob.
    """

    family: str
    spec: str
    speed: float = 0.5

    @property
    def name(self) -> str:
        """Of the arm, for people."""
        turned = self.family in {OURS, JUDGE, ORACLE}
        return f"{self.spec}@{self.speed:g}" if turned else self.spec


def arms(quick: bool, ours: str = "survival") -> tuple[Arm, ...]:
    """All of them; the first is the target agent alone.

    Args:
        quick: fewer settings.
        ours: the policy whose knob is turned.
    """
    steps = (2, 4, 6) if quick else range(1, 9)
    speeds = _QUICK_SPEEDS if quick else SPEEDS
    return (
        Arm(FIXED, OFF),
        *(Arm(FIXED, f"fixed:{k},barrier=true") for k in steps),
        *(Arm(WINDOW, f"fixed:{k}") for k in steps),
        *(Arm(DSP, f"dsp:tau={tau:g},beta={beta},every={_EVERY}") for tau, beta in _dsp(quick)),
        *(Arm(OURS, ours, speed) for speed in speeds),
        *(Arm(name, name, speed) for name in (JUDGE, ORACLE) for speed in _BOUND_SPEEDS),
    )


def _dsp(quick: bool) -> tuple[tuple[float, int], ...]:
    """Settings of DSP: expectiles, and offsets of the mean."""
    if quick:
        return (0.5, 0), (0.5, 2)
    taus = (0.5, 0.9, 0.99)
    return (*((tau, 0) for tau in taus), *((0.5, beta) for beta in (1, 2, 3, 4)))
