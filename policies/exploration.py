"""How often a random depth is tried: much while depths are unknown, little for ever after."""

from __future__ import annotations

from typing import Final

import numpy as np

from .transition import Floats

# Coverage up to which exploration stays at its start.
_HALF: Final = 0.5


def coverage(counts: Floats, visits: int) -> float:
    """Share of the wanted visits that were made; visits beyond the wanted ones do not count.

    Args:
        counts: intervals at every depth, shape (k_max + 1,).
        visits: wanted at every depth.
    """
    return float(np.minimum(counts / visits, 1.0).mean())


def epsilon(counts: Floats, visits: int, start: float, floor: float) -> float:
    """Share of decisions to draw uniformly.

    ``start`` until half of the wanted visits were made, so that a depth the policy would never
    choose is tried as well; then it falls with what is left, to ``floor`` when every depth has
    its visits. The floor stays, as traffic changes and so does what depths are worth.
    """
    missing = 1.0 - coverage(counts, visits)
    return floor + (start - floor) * min(1.0, missing / (1.0 - _HALF))
