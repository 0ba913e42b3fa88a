"""How far drafts survive where not all of them are verified.

A step's plan verifies a position of a request only if it may survive likely enough to be worth its
costs (``allocation``). What a batch is expected to emit and to verify is then made of the positions
that are kept.
"""

from __future__ import annotations

import numpy as np

from .spaces import MAX_DEPTH
from .transition import Floats


def kept_means(outlook: Floats, thresholds: Floats | float) -> Floats:
    """Survival, hope and the share kept by position: means over requests, shape (3, MAX_DEPTH).

    What a position may be worth at best decides, so that what is little known is looked at. A
    position that is not kept counts as one that does not survive: it brings no token.

    Args:
        outlook: survival and hope of at least one request, as ``SurvivalEstimator.outlook`` gives
            them, shape (2, n, MAX_DEPTH).
        thresholds: hope from which on a position is kept, shape (n,) or one for all; 0 keeps
            them all.
    """
    kept = outlook[1] >= np.reshape(thresholds, (-1, 1))
    seen = outlook if kept.all() else outlook * kept
    means: Floats = np.empty((3, MAX_DEPTH))
    # Plain sums: in a decision, what ``mean`` does around them would take longer than they do.
    means[:2] = np.add.reduce(seen, 1)
    means[2] = np.add.reduce(kept, 0)
    means /= outlook.shape[1]
    return means
