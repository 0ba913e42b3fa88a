"""How far drafts survive where not all of them are verified.

A step's plan verifies a position of a request only if it may survive likely enough to be worth its
costs (``allocation``). What a batch is expected to emit and to verify is then made of the positions
that are kept. Compiled, as it is part of every decision.
"""

from __future__ import annotations

import numpy as np

from .compiling import compiled
from .transition import Floats


@compiled
def kept_means(outlook: Floats, thresholds: Floats) -> Floats:
    """Survival, hope and the share kept by position: means over requests, shape (3, D).

    What a position may be worth at best decides, so that what is little known is looked at. A
    position that is not kept counts as one that does not survive: it brings no token.

    Args:
        outlook: survival and hope of at least one request, as ``SurvivalEstimator.outlook`` gives
            them, shape (2, n, D).
        thresholds: hope from which on a position is kept, shape (n,); 0 keeps them all.
    """
    _, n, depths = outlook.shape
    means: Floats = np.zeros((3, depths))
    for i in range(n):
        for j in range(depths):
            if outlook[1, i, j] >= thresholds[i]:
                means[0, j] += outlook[0, i, j]
                means[1, j] += outlook[1, i, j]
                means[2, j] += 1.0
    means /= n
    return means
