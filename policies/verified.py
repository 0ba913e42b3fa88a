"""What an interval verified: counts by class and position, and how requests' histories bore out."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from .spaces import CLASSES, MAX_DEPTH
from .transition import Floats

_WIDTH: Final = MAX_DEPTH + 1

_Number = TypeVar("_Number", np.int64, np.float64)


class Verified:
    """Counts of verification, by class and position; counting one is a matter of six additions.

    Attributes:
        deviation: sum, over a class's verifications, of the deviation of the request's history
            (``frailty.FrailtyEstimator.of``); one per class.
        told: the same of what the deviation told: the rejections beyond those that the class
            expects of a request of frailty 1, times the deviation.
        informed: the same of the rejections expected times the deviation squared.
    """

    __slots__ = ("_accepted", "_exposed", "_tried", "deviation", "informed", "told")

    def __init__(self) -> None:
        # Verifications by class and by how far they got, 0..MAX_DEPTH; their frailties.
        self._tried = [0] * (CLASSES * _WIDTH)
        self._accepted = [0] * (CLASSES * _WIDTH)
        self._exposed = [0.0] * (CLASSES * _WIDTH)
        self.deviation = [0.0] * CLASSES
        self.told = [0.0] * CLASSES
        self.informed = [0.0] * CLASSES

    def add(
        self,
        slot: int,
        tried: int,
        accepted: int,
        frailty: float = 1.0,
        deviation: float = 0.0,
        expected: float = 0.0,
    ) -> None:
        """One request's drafts; the defaults are a request's of which nothing is known.

        Args:
            slot: its class.
            tried: positions tried.
            accepted: those accepted.
            frailty: the request's before this verification.
            deviation: the same of its history.
            expected: rejections that its class expects of the positions tried.
        """
        end = slot * _WIDTH + tried
        self._tried[end] += 1
        self._accepted[slot * _WIDTH + accepted] += 1
        self._exposed[end] += frailty
        self.deviation[slot] += deviation
        self.told[slot] += (tried - accepted - expected) * deviation
        self.informed[slot] += expected * deviation * deviation

    def table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions tried and accepted, each of shape (CLASSES, MAX_DEPTH)."""
        return _reached(np.array(self._tried)), _reached(np.array(self._accepted))

    def exposure(self) -> Floats:
        """Frailties of those that tried each position, summed; shape (CLASSES, MAX_DEPTH)."""
        return _reached(np.array(self._exposed))

    def positions(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions tried and accepted, of all classes together, each MAX_DEPTH long."""
        tried, accepted = self.table()
        return tuple(tried.sum(0).tolist()), tuple(accepted.sum(0).tolist())


def _reached(ends: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """How many got to each position or beyond, from how many ended at each."""
    table = ends.reshape(CLASSES, _WIDTH)
    reached: npt.NDArray[_Number] = table[:, :0:-1].cumsum(1)[:, ::-1]
    return reached
