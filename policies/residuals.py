"""What a linear step-time model leaves over: by batch size and depth, and for a change of depth."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .spaces import MAX_DEPTH, Array
from .structure import KNOTS, knots
from .transition import Floats

_CAP: Final = 100.0  # rows that a cell remembers
_PRIOR: Final = 6.0  # rows that what was known before weighs as much as, in a cell
_SWITCHES: Final = 20.0  # changes of depth that "they cost nothing" weighs as much as


class ResidualGrid:
    """Mean logarithm of measured over predicted seconds, by batch size and depth.

    Step times bend where kernels change their tiling or memory gives way to arithmetic; a handful
    of coefficients cannot follow that, a table of corrections can. A row counts for the two batch
    sizes it lies between, by nearness.

    Args:
        table: factors before anything was measured, shape (KNOTS, MAX_DEPTH + 1), such as a
            profile's; None for ones.
    """

    def __init__(self, table: npt.ArrayLike | None = None) -> None:
        self.sums: Floats = np.zeros((2, KNOTS, MAX_DEPTH + 1))  # of logarithms, of weights
        if table is not None:
            self.sums[0] = _PRIOR * np.log(np.asarray(table, np.float64))

    def add(self, batch: Floats, depth: npt.NDArray[np.intp], ratio: Floats) -> None:
        """Rows: batch sizes, depths, and measured over predicted seconds, shape (n,)."""
        low, share = knots(batch)
        logs = np.log(ratio)
        for row, weight in ((low, 1.0 - share), (low + 1, share)):
            np.add.at(self.sums[0], (row, depth), weight * logs)
            np.add.at(self.sums[1], (row, depth), weight)
        self.sums *= _CAP / np.maximum(self.sums[1], _CAP)

    @property
    def factors(self) -> Array:
        """What predictions are to be multiplied by, float32, shape (KNOTS, MAX_DEPTH + 1)."""
        factors: Array = np.exp(self.sums[0] / (self.sums[1] + _PRIOR)).astype(np.float32)
        return factors

    def at(self, batch: Floats, depth: npt.NDArray[np.intp]) -> Floats:
        """The factors of some rows, shape (n,)."""
        low, share = knots(batch)
        table = self.factors
        factors: Floats = table[low, depth] * (1.0 - share) + table[low + 1, depth] * share
        return factors

    def clear(self) -> None:
        """Forget everything."""
        self.sums[:] = 0.0


class SwitchCost:
    """Seconds that a change of depth costs: what intervals after one take longer than the rest.

    Attributes:
        sums: of excess seconds and of intervals, without and with a change: shape (2, 2).
    """

    def __init__(self) -> None:
        self.sums: Floats = np.zeros((2, 2))

    def add(self, switched: npt.NDArray[Any], excess: Floats, forgetting: float) -> None:
        """Intervals: whether their depth was new, and measured less predicted seconds."""
        self.sums *= forgetting ** len(excess)
        for i, mine in enumerate((switched == 0, switched != 0)):
            self.sums[i] += excess[mine].sum(), mine.sum()

    @property
    def seconds(self) -> float:
        """Per change; drawn to nought while few were seen, and never below it."""
        (stay, stays), (change, changes) = self.sums
        mean = change / (changes + _SWITCHES) - stay / max(stays, 1.0) * changes / (
            changes + _SWITCHES
        )
        return max(float(mean), 0.0)
