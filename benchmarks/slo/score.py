"""What became of requests: who got what was promised, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...policies.slo import Slo
from ...policies.transition import Floats


@dataclass(frozen=True)
class Served:
    """The requests of one run.

    Attributes:
        slo: index of each one's class, shape (n,).
        ttft: seconds from arrival to the first token, infinite for none, shape (n,).
        tpot: seconds per output token after the first, shape (n,).
        end: seconds from arrival to the last token, shape (n,).
        tokens: of each, shape (n,).
        span: seconds from the first arrival to the last token of all.
        offered: seconds in which they arrived.
    """

    slo: npt.NDArray[np.int64]
    ttft: Floats
    tpot: Floats
    end: Floats
    tokens: npt.NDArray[np.int64]
    span: float
    offered: float


@dataclass(frozen=True)
class Score:
    """What a run is worth.

    Attributes:
        attained: share of each class that got all that it was promised; a request without
            objectives, that it ended.
        ttft: share of each class that got its first token in time.
        tpot: share of each class that kept its time per output token.
        goodput: requests with objectives that attained them all, per second of arrivals.
        tokens_per_second: of all.
        percentiles: by class: p50 and p99 of TTFT, TPOT and the whole, seconds.
    """

    attained: tuple[float, ...]
    ttft: tuple[float, ...]
    tpot: tuple[float, ...]
    goodput: float
    tokens_per_second: float
    percentiles: tuple[dict[str, float], ...]


def score(served: Served, slos: Sequence[Slo]) -> Score:
    """Hold what was served to what was promised.

    Raises:
        ValueError: if a class has no request.
    """
    first, pace, both, seconds = [], [], [], []
    good = 0
    for i, slo in enumerate(slos):
        own = served.slo == i
        if not own.any():
            raise ValueError(f"no request of class {slo.name!r} was served: take more seconds")
        quick, steady = served.ttft[own] <= slo.ttft, served.tpot[own] <= slo.tpot
        kept = quick & steady & (served.end[own] <= slo.deadline) & np.isfinite(served.end[own])
        good += int(kept.sum()) if slo.bound else 0
        first.append(float(quick.mean()))
        pace.append(float(steady.mean()))
        both.append(float(kept.mean()))
        seconds.append(_percentiles(served, own))
    return Score(
        attained=tuple(both),
        ttft=tuple(first),
        tpot=tuple(pace),
        goodput=good / served.offered,
        tokens_per_second=float(served.tokens.sum()) / served.span,
        percentiles=tuple(seconds),
    )


def _percentiles(served: Served, own: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Of those that ended."""
    own = own & np.isfinite(served.end)
    found: dict[str, float] = {}
    for name, values in (("ttft", served.ttft), ("tpot", served.tpot), ("end", served.end)):
        for p in (50, 99):
            found[f"{name}_p{p}"] = float(np.percentile(values[own], p)) if own.any() else 0.0
    return found


def described(scores: Sequence[Score], slos: Sequence[Slo]) -> dict[str, Any]:
    """Means over runs, for a result's arms."""

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    return {
        "goodput": mean([s.goodput for s in scores]),
        "tokens_per_second": mean([s.tokens_per_second for s in scores]),
        "classes": {
            slo.name: {
                "attained": mean([s.attained[i] for s in scores]),
                "ttft": mean([s.ttft[i] for s in scores]),
                "tpot": mean([s.tpot[i] for s in scores]),
                **{
                    k: mean([s.percentiles[i][k] for s in scores]) for k in scores[0].percentiles[i]
                },
            }
            for i, slo in enumerate(slos)
        },
    }
