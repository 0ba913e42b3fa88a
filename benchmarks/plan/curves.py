"""Latency and cost of settings, and what a family costs at a latency: its curve.

Both are over those of the target agent alone on the same tasks: sequential = (1, 1). What cannot
be reached by one setting can by drawing lots between two for every task, so a family's curve is
the lower hull of its points.
"""

from __future__ import annotations

import numpy as np

from ...policies.transition import Floats


def hull(points: Floats) -> Floats:
    """The lower left part of the convex hull: ever slower, ever cheaper.

    Args:
        points: latency and cost, shape (n, 2), n at least 1.

    Returns:
        Those that are on it, fastest first, shape (m, 2).
    """
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    kept: list[Floats] = []
    for point in ordered:
        if kept and point[1] >= kept[-1][1]:
            continue
        while len(kept) > 1 and _above(kept[-1], kept[-2], point):
            kept.pop()
        kept.append(point)
    return np.array(kept)


def _above(middle: Floats, left: Floats, right: Floats) -> bool:
    """Whether a point lies on or above the line between two others."""
    a, b = middle - left, right - left
    return bool(a[0] * b[1] - a[1] * b[0] <= 0.0)


def cost_at(curve: Floats, latency: float) -> float:
    """What a curve costs at a latency; its fastest point where it does not get that far.

    Args:
        curve: as ``hull`` gives it.
        latency: of sequential.
    """
    return float(np.interp(latency, curve[:, 0], curve[:, 1]))


def cheapest_of_the_fastest(points: Floats, within: float = 0.05) -> int:
    """The setting that one would choose for its latency.

    Args:
        points: latency and cost, shape (n, 2).
        within: share by which it may be slower than the fastest.

    Returns:
        The index of the cheapest of those.
    """
    near = points[:, 0] <= (1.0 + within) * points[:, 0].min()
    return int(np.where(near, points[:, 1], np.inf).argmin())
