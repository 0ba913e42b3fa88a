"""What a request's own history tells of its drafts to come, beyond what its class tells.

A request's frailty multiplies its class's hazards (the frailty of survival analysis: Vaupel,
Manton and Stallard 1979, Demography 16). Rejections in its history over those expected of it would
be the frailty of a request known for long, but misleads about one known for ten drafts:

- a request that behaves hard is counted in the hard class for the very rejections in its history:
  they come twice, and what follows is nearer to the class than what went before;
- a rejection ends a draft, and so what is expected of it: short histories overstate on average;
- where requests hardly differ, a history is noise.

So what histories are worth is measured class by class, by how well deviations from the class's mean
history foretold the next rejections: linear credibility (Buehlmann 1967, ASTIN Bulletin 4), its
factor a weighted regression through the origin, which makes the frailty's mean 1 and falls to 0
where histories tell nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from .spaces import CLASSES
from .transition import Floats
from .verified import Verified

FRAILTY_PRIOR: Final = 2.0
"""Strength of a frailty's prior: as much as a history with this many rejections expected.

Of 0.5 to 8, 2 predicted the embedded models' own drafts best (Brier score, held-out prompts)."""


class FrailtyEstimator:
    """How much the history of a class's requests foretells, for all classes.

    Attributes:
        centre: mean excess of rejections in the histories of a class's requests; one per class.
        credibility: change of the frailty per change of that excess; one per class.
    """

    MEMORY: Final = 0.995
    """Weight of the past of the credibilities, per interval in which something was verified: they
    are properties of the traffic that move slowly, and take thousands of verifications to see."""

    PRIOR: Final = 4.0
    """Strength of the prior of a mean excess, in verifications, and of a credibility, in rejections
    expected times squared deviation: that of a standard deviation of a half."""

    START: Final = 0.5
    """Credibility before anything was verified."""

    LEAST: Final = 0.1
    """Least frailty."""

    def __init__(self) -> None:
        self.centre: list[float] = [0.0] * CLASSES
        self.credibility: list[float] = [self.START] * CLASSES
        self._excess: Floats = np.zeros(CLASSES)
        self._told: Floats = np.zeros(CLASSES)
        self._informed: Floats = np.zeros(CLASSES)

    def of(self, slot: int, rejected: float, expected: float) -> tuple[float, float]:
        """The deviation of a request's history, and the frailty that follows.

        Args:
            slot: its class.
            rejected: drafts rejected in its history.
            expected: the rejections that its class expects of a request of frailty 1.

        Returns:
            The excess of rejections, relative to those expected and the prior's, beyond the class's
            mean excess; the multiplier on the class's hazards.
        """
        excess = (rejected - expected) / (FRAILTY_PRIOR + expected)
        deviation = excess - self.centre[slot]
        return deviation, max(1.0 + self.credibility[slot] * deviation, self.LEAST)

    def add(self, new: Verified, verifications: npt.NDArray[np.int64], memory: float) -> None:
        """Take what one interval verified. Estimates stay as they are until ``solve``.

        Args:
            new: what it verified.
            verifications: how many by class, shape (CLASSES,).
            memory: weight of the past of what moves with the classes' hazards.
        """
        excess = np.array(new.deviation) + verifications * np.array(self.centre)
        self._excess = self._excess * memory + excess
        self._told = self._told * self.MEMORY + new.told
        self._informed = self._informed * self.MEMORY + new.informed

    def solve(self, verifications: Floats) -> None:
        """The estimates from the sums; ``verifications`` by class, decayed, shape (CLASSES,)."""
        self.centre = (self._excess / (verifications + self.PRIOR)).tolist()
        slope = (self.PRIOR * self.START + self._told) / (self.PRIOR + self._informed)
        self.credibility = np.maximum(slope, 0.0).tolist()
