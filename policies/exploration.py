"""How often another depth than the best is tried, and which: what that may cost is bounded.

Inverse gap weighting (Abe and Long 1999; Foster and Rakhlin 2020, arXiv 2002.04926): a depth that
seems worse by ``gap`` is drawn with probability 1 / (A + g x gap), the best takes the rest. With A
depths the expected loss is then below A / g whatever the gaps are, so g = A / budget keeps it below
the budget. Near-equals are tried often, bad ideas rarely, and every probability is known, as
off-policy evaluation needs it.

A gap is believed as far as it is known. With ``doubt``, what a depth may yet turn out to be better
than its score, a gap counts for gap x gap / doubt: a depth of which little is known is tried soon,
which settles it. Where the doubt is no greater than the gap, the depth cannot be best and is not
tried at all. While there is doubt the expected loss may reach sqrt(budget x doubt) / 2.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .transition import Floats

_HALF_SEEN: Final = 2.0  # measurements after which the slack is half
_SLACK: Final = 0.5  # by how much a step may be quicker where none was measured


def chances(
    scores: npt.NDArray[Any],
    budget: float,
    epsilon: float = 0.0,
    hopes: npt.NDArray[Any] | None = None,
) -> Floats:
    """Probability of every depth.

    Args:
        scores: higher is better, shape (..., A).
        budget: expected loss of a decision that may be spent on exploration, in units of the
            scores; 0 always takes the best.
        epsilon: share of decisions drawn uniformly besides.
        hopes: the scores that the depths would have at best, by all that is still to be learned,
            none below its score; None where nothing is known of that.

    Returns:
        float64, shape (..., A), summing to 1 along the last axis.
    """
    count = scores.shape[-1]
    best = scores.argmax(-1)[..., None]
    out = np.zeros(scores.shape)
    if budget > 0.0:
        top = np.take_along_axis(scores, best, -1)
        gaps = (top - scores).astype(np.float64)
        if hopes is not None:
            gaps = np.where(hopes < top, np.inf, gaps**2 / np.maximum(hopes - scores, _TINY))
        out = 1.0 / (count + count / budget * gaps)
        np.put_along_axis(out, best, 0.0, -1)
    np.put_along_axis(out, best, 1.0 - out.sum(-1, keepdims=True), -1)
    mixed: Floats = (1.0 - epsilon) * out + epsilon / count
    return mixed


def chances_of_one(
    scores: list[float], hopes: list[float] | None, budget: float, epsilon: float
) -> list[float]:
    """The same for one decision, in plain floats."""
    count, top = len(scores), max(scores)
    best = scores.index(top)
    out = [0.0] * count
    if budget > 0.0:
        greed = count / budget
        if hopes is None:
            out = [1.0 / (count + greed * (top - score)) for score in scores]
        else:
            out = [
                1.0 / (count + greed * (top - score) ** 2 / max(hope - score, _TINY))
                if hope >= top
                else 0.0
                for score, hope in zip(scores, hopes, strict=True)
            ]
        out[best] = 0.0
        out[best] = 1.0 - sum(out)
    else:
        out[best] = 1.0
    return [(1.0 - epsilon) * chance + epsilon / count for chance in out]


def quickest(seen: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What a step may take at best, by what is expected of it, in (0, 1].

    Args:
        seen: how often the depth was measured: what acceptance it would have had is known from
            any deeper one, its step time is not.
    """
    return 1.0 - _SLACK * _HALF_SEEN / (seen + _HALF_SEEN)


def budget(decisions: int, start: float, floor: float, early: int) -> float:
    """Expected loss that exploration may cost a decision, off = 1.0.

    It falls from ``start`` with the root of the decisions made, the rate at which inverse gap
    weighting loses least, down to ``floor``, which stays: traffic changes, and so does what depths
    are worth.
    """
    fallen: float = start * (1.0 + decisions / early) ** -0.5
    return max(floor, fallen)


_TINY: Final = 1e-9
