"""Who is compared in ``flyball bench slo``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ...inference.reports import LEARNED


class Arm(NamedTuple):
    """Who serves.

    Attributes:
        name: in results.
        policy: of the catalogue, for the depth; ``learned``, live, for the learner's snapshots.
        planner: of a simulated engine's single steps. Live, the governor plans them: our way
            for the snapshots, as the policy verifies for one that does, not at all for others.
    """

    name: str
    policy: str
    planner: str = "uniform"


OURS: Final = "flyball"
OFF: Final = "off"
ADASPEC: Final = "adaspec"
ADASPEC_SLO: Final = "adaspec-slo"

_FIXED: Final = tuple(Arm(f"fixed-{k}", f"fixed?depth={k}") for k in (1, 3, 5, 7))

SIMULATED: Final = (
    Arm(OFF, "off"),
    *_FIXED,
    Arm("smartspec", "goodput"),
    Arm(ADASPEC, "off", "adaspec"),
    Arm(ADASPEC_SLO, "off", "adaspec-slo"),
    Arm(OURS, "analytic", "flyball"),
)
"""Ours draws on no learner here: survival is learned while it serves, step times are told to all.
AdaSpec's planners set their depths themselves."""


def live_arms(tpot: float, quick: bool = False) -> Sequence[Arm]:
    """Those on a live engine; AdaSpec's one constant is the tight objective per output token.

    Args:
        tpot: that objective, seconds.
        quick: only off, AdaSpec and ours.
    """
    off, adaspec, ours = Arm(OFF, "off"), Arm(ADASPEC, "adaspec"), Arm(OURS, LEARNED)
    if quick:
        return (off, adaspec, ours)
    return (off, *_FIXED, Arm("smartspec", "goodput"), adaspec, strict(tpot), ours)


def strict(tpot: float) -> Arm:
    """AdaSpec with its SLO branch on, live; its constant is the objective, seconds per token."""
    return Arm(ADASPEC_SLO, f"adaspec?slo_ms={1e3 * tpot:.3f}")


LEARNING: Final = (OURS, "smartspec")
"""Live arms that take in what came of their own decisions."""
