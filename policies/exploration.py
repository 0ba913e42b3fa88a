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

_LEAST_BELIEF: Final = 0.2
_HALF_SEEN: Final = 2.0  # measurements after which belief is half way


def chances(
    scores: npt.NDArray[Any],
    budget: float,
    epsilon: float = 0.0,
    hopes: npt.NDArray[Any] | None = None,
    known: npt.NDArray[Any] | None = None,
) -> Floats:
    """Probability of every depth.

    Args:
        scores: higher is better, shape (..., A).
        budget: expected loss of a decision that may be spent on exploration, in units of the
            scores; 0 always takes the best.
        epsilon: share of decisions drawn uniformly besides.
        hopes: the scores that the depths would have at best, whatever is still to be learned;
            one whose hope is below the best score is not worth a try, and gets none.
        known: how far the gaps are to be believed, in (0, 1]: see ``belief``.

    Returns:
        float64, shape (..., A), summing to 1 along the last axis.
    """
    count = scores.shape[-1]
    best = scores.argmax(-1)[..., None]
    out = np.zeros(scores.shape)
    if budget > 0.0:
        top = np.take_along_axis(scores, best, -1)
        gaps = (top - scores).astype(np.float64)
        if known is not None:
            gaps *= known
        out = 1.0 / (count + count / budget * gaps)
        if hopes is not None:
            out[hopes < top] = 0.0
        np.put_along_axis(out, best, 0.0, -1)
    np.put_along_axis(out, best, 1.0 - out.sum(-1, keepdims=True), -1)
    mixed: Floats = (1.0 - epsilon) * out + epsilon / count
    return mixed


def chances_of_one(
    scores: list[float],
    hopes: list[float] | None,
    known: list[float],
    budget: float,
    epsilon: float,
) -> list[float]:
    """The same for one decision, in plain floats."""
    count, top = len(scores), max(scores)
    best = scores.index(top)
    out = [0.0] * count
    if budget > 0.0:
        greed = count / budget
        out = [
            1.0 / (count + greed * (top - score) * share)
            for score, share in zip(scores, known, strict=True)
        ]
        if hopes is not None:
            out = [p if hope >= top else 0.0 for p, hope in zip(out, hopes, strict=True)]
        out[best] = 0.0
    out[best] = 1.0 - sum(out)
    return [(1.0 - epsilon) * chance + epsilon / count for chance in out]


def belief(seen: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How far a gap is to be believed where a depth was measured so many times, in (0, 1].

    What acceptance a depth would have had is known from any deeper one, its step time is not.
    """
    return _LEAST_BELIEF + (1.0 - _LEAST_BELIEF) * seen / (seen + _HALF_SEEN)


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
    return max(floor, start * min(1.0, missing / (1.0 - _HALF)) * float(age))
