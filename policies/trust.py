"""How far the learned correction is to be trusted: as far as it told what was not yet learned from.

Every new outcome is predicted before it is learned from (Dawid 1984, "prequential"). With r what
the structure missed of it and c what the correction says it would miss, the factor that makes the
mean of (r - factor x c)^2 least is sum(r c) / sum(c^2): 1 for a correction that is right, 0 for
one that is noise. It is what stacking (Wolpert 1992) would give the correction as its weight. So
the learned part has to earn its place, depth by depth, and loses it when it is wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from .spaces import MAX_DEPTH
from .transition import Floats

_MEMORY: Final = 0.9995  # per outcome
_PRIOR: Final = 0.02  # what no trust weighs as much as: a sum of squared corrections
_SHARED: Final = 0.02  # the same, of what is known of all depths together
_MISS: Final = 0.5  # an outcome is not missed by more than that, off = 1.0


class Trust:
    """Decayed sums by depth: products of miss and correction, and squares of the correction."""

    def __init__(self) -> None:
        self.sums: Floats = np.zeros((2, MAX_DEPTH + 1))

    def add(
        self, depths: npt.NDArray[np.integer], missed: Floats, corrected: Floats, weights: Floats
    ) -> None:
        """Outcomes that were not learned from yet.

        Args:
            depths: of each, shape (n,).
            missed: what was measured less what the structure said, shape (n,).
            corrected: what the correction says of that, shape (n,).
            weights: shape (n,), 1 on average.
        """
        missed = np.clip(missed, -_MISS, _MISS)
        self.sums *= _MEMORY ** len(depths)
        np.add.at(self.sums[0], depths, weights * missed * corrected)
        np.add.at(self.sums[1], depths, weights * corrected**2)

    @property
    def factors(self) -> Floats:
        """For every depth, in [0, 1], shape (MAX_DEPTH + 1,)."""
        products, squares = self.sums
        shared = float(np.clip(products.sum() / (squares.sum() + _PRIOR), 0.0, 1.0))
        factors: Floats = np.clip((products + _SHARED * shared) / (squares + _SHARED), 0.0, 1.0)
        return factors
