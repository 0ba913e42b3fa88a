"""What a guard is told, what it says of itself, and what it keeps of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from .losses import Yardstick


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Options of the guard.

    Attributes:
        share: of decisions taken at the static depth, in (0, 0.5].
        explore: greatest share of recent decisions that may explore, after the first 200.
        explore_early: the same before.
        tolerance: by how much the governed arm's J may exceed the reference's.
        level: chance of ever falling back, per time of watching, where it does not.
        dwell: seconds of the first fallback; doubled at each relapse.
        longest: seconds of the longest; after as long a time without one, dwells start anew.

    Raises:
        ValueError: naming the option and its bounds.
    """

    share: float = 0.04
    explore: float = 0.15
    explore_early: float = 0.5
    tolerance: float = 0.01
    level: float = 0.01
    dwell: float = 30.0
    longest: float = 600.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 0.5:
            raise ValueError(f"share must be in (0, 0.5], not {self.share}")
        for name in ("explore", "explore_early", "tolerance"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], not {getattr(self, name)}")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level must be in (0, 1), not {self.level}")
        if not 0.0 < self.dwell <= self.longest < float("inf"):
            raise ValueError(f"dwell must be in (0, longest], not {self.dwell}")


class GuardState(msgspec.Struct, frozen=True):
    """What a guard says of itself.

    Attributes:
        state: watching, fallen back, or off.
        reason: why it last fell back, in numbers; "" if it never did.
        falls: how often it did.
        seconds_left: until it tries again.
        ratio: the governed arm's J over the reference's, lately; None while not known.
        low: lower end of its 95 % interval (normal; what decides is the evidence).
        high: upper end.
        evidence: an e-value; at one over the level it falls back.
        explored: share of recent decisions that explored.
    """

    state: str = "off"
    reason: str = ""
    falls: int = 0
    seconds_left: float = 0.0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: float = 0.0
    explored: float = 0.0


class Stake(NamedTuple):
    """What is known of a decision when it is made, for when its outcome comes.

    Attributes:
        watch: number of the watch it belongs to; 0 for none.
        batch: requests.
        measure: by which its loss is measured; None while the scale is not known.
        odds: chance of the reference arm over that of the governed one.
    """

    watch: int
    batch: float
    measure: Yardstick | None
    odds: float
