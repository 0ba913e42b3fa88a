"""How much time requests have left to their objectives, compiled.

A request that has its first token earns ``tpot`` seconds with every token that follows, and spends
the time that passes: what it has over is its credit. Its mean time per output token is within its
objective if the credit is not below zero when it ends, so before that it may be spent, or owed. A
deadline asks for a pace: the seconds left, over the tokens that are expected to come. It is given
up once that many would come too late at the best of paces.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from .compiling import compiled
from .slo import OBJECTIVES
from .transition import Floats

Integers = npt.NDArray[np.int64]

MET: Final = 0
TTFT: Final = 1
TPOT: Final = 2
DEADLINE: Final = 3
GIVEN_UP: Final = ("", *OBJECTIVES)
"""Name of the objective that cannot be met any more, by the numbers above; "" for none."""

RECOVERY: Final = 0.1
"""Share of a token's time that a request in debt can be expected to regain with each one."""

HORIZON: Final = 2.0
"""Steps in which a debt is to be paid back."""


TERMS: Final = (*OBJECTIVES, "arrived", "most", "first", "emitted")
"""What is known of a request: its objectives, seconds, infinite for none; when it arrived; the most
tokens that it may emit; when its first token came, anything before that; its tokens so far."""


@compiled
def slack(
    terms: Floats,
    length: float,
    least: float,
    now: float,
    pace: Floats,
    credit: Floats,
    missed: Integers,
) -> None:
    """Tell what running requests may spend.

    Args:
        terms: ``TERMS`` of each, shape (n, 7).
        length: tokens that one is expected to emit in all, at least 1.
        least: seconds that a token takes at best.
        now: the time, by the clock of the terms.
        pace: written: seconds that a token may take, infinite without an objective; shape (n,).
        credit: written: seconds over, those below zero owed; shape (n,).
        missed: written: which objective cannot be met any more, index into ``GIVEN_UP``.
    """
    for i in range(len(terms)):
        pace[i], credit[i], missed[i] = _one(terms[i], length, least, now)


@compiled
def _one(terms: Floats, length: float, least: float, now: float) -> tuple[float, float, int]:
    ttft, tpot, deadline, arrived, most, first, emitted = terms
    started = emitted > 0.0
    if ttft < (first if started else now) - arrived:
        return math.inf, 0.0, TTFT
    left = arrived + deadline - now
    coming = max(min(length, most) - emitted, 1.0)
    if left < coming * least or left <= 0.0:
        return math.inf, 0.0, DEADLINE
    if not started:
        return math.inf, 0.0, MET
    pace, credit = math.inf, 0.0
    if tpot < math.inf:
        pace = tpot
        credit = first + tpot * (emitted - 1.0) - now
        if credit < -RECOVERY * tpot * length:
            return math.inf, 0.0, TPOT
    if left / coming < pace:
        pace, credit = left / coming, min(credit, 0.0)
    return pace, credit, MET


@compiled
def allowed(pace: float, credit: float, tokens: float) -> float:
    """Seconds that a step may take for a request.

    Args:
        pace: seconds that a token may take.
        credit: seconds over.
        tokens: that the step is expected to give it.
    """
    if pace == math.inf:
        return math.inf
    return pace * tokens + (credit if credit > 0.0 else credit / HORIZON)
