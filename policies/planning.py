"""One engine step's plan for requests that decode, in two compiled calls.

The rules are those of ``slack``, ``allocation`` and ``admission``. They are put together here as
every call from Python costs the engine some microseconds, and many more where the model's weights
have just pushed everything else out of the processor's caches.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .admission import prompt_tokens
from .allocation import Integers, allocate, costs, outlook
from .compiling import compiled
from .slack import MET, TERMS, slack
from .step_time import FEATURES
from .transition import Floats

ROW: Final = (*TERMS, "drafts", "speed", "slot", "frailty")
"""What a plan is made of, per request: its terms, drafts made for it, its speed, its class and the
multiplier on that class's hazards."""

_TERMS: Final = len(TERMS)
_DRAFTS: Final = ROW.index("drafts")
_SPEED: Final = ROW.index("speed")
_SLOT: Final = ROW.index("slot")
_FRAILTY: Final = ROW.index("frailty")
_REQUESTS: Final = FEATURES.index("requests")
_DEPTH: Final = FEATURES.index("depth")
_VERIFIED: Final = FEATURES.index("verified")
_PREFILL: Final = FEATURES.index("prefill")
_CONTEXT: Final = FEATURES.index("context")
_DRAFTED: Final = FEATURES.index("drafted")
_ANY: Final = 2**31  # prompt tokens: the engine holds to its own bound itself
_INSTANT: Final = 1e-9  # seconds per prompt token that is divided by


@compiled
def base_second(coefficients: Floats, batch: int, context: float) -> float:
    """Seconds of a step without drafts.

    Args:
        coefficients: of the step-time model, shape (7,).
        batch: requests that decode.
        context: mean cached tokens of one.
    """
    c = coefficients
    second: float = c[0] + batch * (c[_REQUESTS] + c[_CONTEXT] * context)
    return second


@compiled
def step_seconds(coefficients: Floats, batch: int, context: float) -> Floats:
    """Of a step without drafts, per pass of the drafter, per position verified: shape (3,).

    Args:
        coefficients: as ``base_second`` takes them, and all that follows.
        batch: requests that decode.
        context: mean cached tokens of one.
    """
    c = coefficients
    return np.array((base_second(c, batch, context), c[_DEPTH] + batch * c[_DRAFTED], c[_VERIFIED]))


@compiled
def thresholds(
    speeds: Floats,
    coefficients: Floats,
    context: float,
    factors: Floats,
    prices: Floats,
    depth: int,
    rate: float,
) -> Floats:
    """Hope from which on a position is verified, per request, shape (n,).

    Args:
        speeds: the requests' own, shape (n,), n at least 1.
        coefficients: as ``step_seconds`` takes them.
        context: the same.
        factors: as ``allocate`` takes them, and so all that follows.
        prices: dollars.
        depth: that is drafted.
        rate: as the last plan returned it.
    """
    n = len(speeds)
    seconds = step_seconds(coefficients, n, context)
    position, dollars, _ = costs(n, speeds.mean(), seconds, factors, prices, depth)
    worth: Floats = rate * (position + (1.0 - speeds) * dollars)
    return worth


@compiled
def prompt_second(coefficients: Floats) -> float:
    """Seconds per prompt token, which may be divided by.

    Args:
        coefficients: as ``step_seconds`` takes them.
    """
    second: float = max(coefficients[_PREFILL], _INSTANT)
    return second


@compiled
def chances_of(tables: Floats, rows: Floats) -> Floats:
    """Survival and hope of requests that one drafter drafts for, shape (2, n, D).

    Args:
        tables: of the drafter's ``SurvivalEstimator``, shape (2, CLASSES, D).
        rows: ``ROW`` of each, shape (n, 11).
    """
    return outlook(tables, rows[:, _SLOT].astype(np.int64), rows[:, _FRAILTY].copy())


@compiled
def divide(
    chances: Floats,
    rows: Floats,
    length: float,
    now: float,
    coefficients: Floats,
    context: float,
    factors: Floats,
    prices: Floats,
    depth: int,
    rate: float,
    pressure: float,
    out: Integers,
) -> tuple[int, float, int, float, bool]:
    """Plan a step.

    Args:
        chances: survival of the requests' drafts and hope of it, shape (2, n, D).
        rows: ``ROW`` of each, shape (n, 11).
        length: tokens that a request is expected to emit in all, at least 1.
        now: the time, by the clock of the terms.
        coefficients: as ``step_seconds`` takes them.
        context: the same.
        factors: as ``allocate`` takes them, and so the next three.
        prices: dollars.
        depth: that is to be drafted, by the policy.
        rate: as the last plan returned it; 1 at first.
        pressure: prompt tokens per second that are needed.
        out: written: drafts to verify, and which objective cannot be met any more as an index into
            ``slack.GIVEN_UP``; shape (2, n).

    Returns:
        The depth to draft in this step and the rate, as ``allocate`` has them. Most prompt tokens
        in it, negative where nobody minds. Mean seconds that those with objectives have over, 0
        without any. Whether any objective is given up.
    """
    n = len(rows)
    pace, credit, lengths = np.empty(n), np.empty(n), np.empty(n, np.int64)
    missed = out[1]
    parts = step_seconds(coefficients, n, context)
    # At best all drafts of the deepest step are accepted.
    slack(rows[:, :_TERMS], length, parts[0] / len(factors), now, pace, credit, missed)
    depth, rate, seconds, limit = allocate(
        chances[0],
        chances[1],
        rows[:, _DRAFTS].astype(np.int64),
        rows[:, _SPEED].copy(),
        pace,
        credit,
        parts,
        factors,
        prices,
        depth,
        rate,
        lengths,
    )
    over, bound, given_up = 0.0, 0, False
    for i in range(n):
        out[0, i] = lengths[i]
        given_up |= missed[i] != MET
        if pace[i] < np.inf:
            over += credit[i]
            bound += 1
    tokens = -1
    if limit < np.inf:
        tokens = prompt_tokens(limit, seconds, prompt_second(coefficients), pressure, _ANY)
    return depth, rate, tokens, over / max(bound, 1), given_up
