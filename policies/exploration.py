"""How often another depth than the best is tried, and which: what that may cost is bounded.

Inverse gap weighting (Abe and Long 1999; Foster and Rakhlin 2020, arXiv 2002.04926): a depth that
seems worse by ``gap`` is drawn with probability 1 / (A + g x gap), the best takes the rest. With A
depths the expected loss is then below A / g whatever the gaps are, so g = A / budget keeps it below
the budget. Near-equals are tried often, bad ideas rarely, and every probability is known, as
off-policy evaluation needs it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .transition import Floats

# Coverage up to which exploration stays at its start.
_HALF: Final = 0.5


def chances(scores: npt.NDArray[Any], budget: float, epsilon: float = 0.0) -> Floats:
    """Probability of every depth.

    Args:
        scores: higher is better, shape (..., A).
        budget: expected loss of a decision that may be spent on exploration, in units of the
            scores; 0 always takes the best.
        epsilon: share of decisions drawn uniformly besides.

    Returns:
        float64, shape (..., A), summing to 1 along the last axis.
    """
    count = scores.shape[-1]
    best = scores.argmax(-1)[..., None]
    out = np.zeros(scores.shape)
    if budget > 0.0:
        gaps = np.take_along_axis(scores, best, -1) - scores
        out = 1.0 / (count + count / budget * gaps.astype(np.float64))
        np.put_along_axis(out, best, 0.0, -1)
    np.put_along_axis(out, best, 1.0 - out.sum(-1, keepdims=True), -1)
    mixed: Floats = (1.0 - epsilon) * out + epsilon / count
    return mixed


def chances_of_one(scores: list[float], best: int, budget: float, epsilon: float) -> list[float]:
    """The same for one decision, in plain floats."""
    count = len(scores)
    out = [0.0] * count
    if budget > 0.0:
        top, greed = scores[best], count / budget
        out = [1.0 / (count + greed * (top - score)) for score in scores]
        out[best] = 0.0
    out[best] = 1.0 - sum(out)
    return [(1.0 - epsilon) * chance + epsilon / count for chance in out]


def coverage(counts: Floats, visits: int) -> float:
    """Share of the wanted visits that were made; visits beyond the wanted ones do not count.

    Args:
        counts: intervals that tell of every depth, shape (k_max + 1,).
        visits: wanted at every depth.
    """
    return float(np.minimum(counts / visits, 1.0).mean())


def budget(counts: Floats, visits: int, start: float, floor: float) -> float:
    """Expected loss that exploration may cost a decision, off = 1.0.

    It falls from ``start`` with what is left to visit, and at least with the root of the decisions
    made (the rate at which inverse gap weighting loses least), down to ``floor``: a depth that
    is known to be bad by what is known of others need not be visited often. The floor stays, as
    traffic changes and so does what depths are worth.
    """
    missing = 1.0 - coverage(counts, visits)
    age = (1.0 + float(counts.max()) / visits) ** -0.5
    return max(floor, start * min(1.0, missing / (1.0 - _HALF)) * age)
