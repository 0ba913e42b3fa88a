"""Which rows of a replay buffer to learn from: recent ones, and those that surprise.

After prioritised experience replay (Schaul et al. 2016, arXiv 1511.05952), with the emphasis on
recent experience of Wang and Ross 2019 (arXiv 1906.04009). Importance weights undo the preference
for surprise, which would bias what is learned; they do not undo the one for what is recent, as
traffic drifts and the past is worth less.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .transition import Floats

_EXPONENT: Final = 0.5  # of the surprise
_HALF_LIFE: Final = 4000.0  # rows after which the recent part of a row's weight is halved
_UNIFORM: Final = 0.3  # part of a row's weight that age does not touch
_RANGE: Final = (0.02, 1.0)  # of surprises, so that no row is lost sight of or drawn without end
_DRAWS: Final = 16  # until the distribution is computed anew


class Priorities:
    """How surprising each row of a ring was when it was last learned from.

    Args:
        size: rows of the ring.
    """

    def __init__(self, size: int) -> None:
        self._surprise: Floats = np.ones(size)
        self._bounds: Floats = np.zeros(0)
        self._drawn = _DRAWS

    def added(self, at: npt.NDArray[np.intp]) -> None:
        """New rows are as surprising as can be."""
        self._surprise[at] = _RANGE[1]

    def learned(self, at: npt.NDArray[np.intp], misses: npt.NDArray[Any]) -> None:
        """Rows were learned from, and missed by so much, off = 1.0."""
        self._surprise[at] = np.clip(np.nan_to_num(misses, nan=0.0), *_RANGE)

    def draw(
        self, count: int, size: int, newest: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.intp], Floats]:
        """Places of rows, with replacement, and their importance weights.

        Args:
            count: rows to draw.
            size: rows that the ring holds.
            newest: the place after the newest row.
            rng: decides.
        """
        if self._drawn >= _DRAWS or len(self._bounds) != size:
            self._compute(size, newest)
        self._drawn += 1
        found = np.searchsorted(self._bounds, rng.random(count) * self._bounds[-1], side="right")
        index = np.minimum(found, size - 1)
        weights = self._surprise[index] ** -_EXPONENT
        return index, weights / weights.mean()

    def _compute(self, size: int, newest: int) -> None:
        age = (newest - 1 - np.arange(size)) % size
        recent = _UNIFORM + (1.0 - _UNIFORM) * 0.5 ** (age / _HALF_LIFE)
        self._bounds = np.cumsum(recent * self._surprise[:size] ** _EXPONENT)
        self._drawn = 0
