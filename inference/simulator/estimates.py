"""How far drafts survive, estimated from verifications alone: compiled.

What ``policies.survival.SurvivalEstimator``, ``inference.requests.RequestState`` and
``inference.drafts.Drafts`` do in a live engine, by the same rules in the same order: counts join
when an interval is verified, and the estimates move at the next observation. Why they are as they
are is told there.
"""

from __future__ import annotations

from typing import Final

from ...policies.spaces import CLASSES, MAX_DEPTH, Array
from ...policies.survival import FRAILTY_PRIOR, SurvivalEstimator
from ...policies.transition import Floats
from ..requests import EASY, EASY_FROM, ENOUGH, HARD, HISTORY, MIXED, MIXED_FROM
from .compiling import compiled
from .state import Record

MEMORY: Final = SurvivalEstimator.MEMORY
PRIOR: Final = SurvivalEstimator.PRIOR
START: Final = SurvivalEstimator.START
ROUNDS: Final = SurvivalEstimator.ROUNDS
TINY: Final = SurvivalEstimator.TINY


@compiled
def start_estimates(estimate: Record) -> None:
    """What is believed before anything was verified; the record is all zeros."""
    for c in range(CLASSES):
        estimate.frailty[c] = 1.0
    _solve(estimate)


@compiled
def learn_verification(estimate: Record, request: Record, drafts: int, accepted: int) -> None:
    """Count one request's drafts, at least one; what follows a rejection says nothing."""
    tried = min(accepted + 1, drafts)
    slot = request.slot
    for j in range(tried):
        estimate.new_tried[slot, j] += 1.0
    for j in range(accepted):
        estimate.new_accepted[slot, j] += 1.0
    request.tried = request.tried * HISTORY + tried
    request.accepted = request.accepted * HISTORY + accepted
    request.expected = request.expected * HISTORY + estimate.expected[slot, tried]
    if request.named < 0 and request.tried >= ENOUGH:
        rate = request.accepted / request.tried
        slot = EASY if rate >= EASY_FROM else MIXED if rate >= MIXED_FROM else HARD
        # Its history, measured by the class it joins.
        if slot != request.slot:
            expected = estimate.expected
            request.expected *= expected[slot, tried] / expected[request.slot, tried]
            request.slot = slot
    rejected = request.tried - request.accepted
    request.frailty = (FRAILTY_PRIOR + rejected) / (FRAILTY_PRIOR + request.expected)


@compiled
def learn_interval(estimate: Record) -> None:
    """All drafts of an interval are verified: add its counts, if there were any."""
    any_tried = 0.0
    for c in range(CLASSES):
        any_tried += estimate.new_tried[c, 0]
    if any_tried == 0.0:
        return
    for c in range(CLASSES):
        for j in range(MAX_DEPTH):
            estimate.tried[c, j] = estimate.tried[c, j] * MEMORY + estimate.new_tried[c, j]
            estimate.accepted[c, j] = estimate.accepted[c, j] * MEMORY + estimate.new_accepted[c, j]
            estimate.new_tried[c, j] = 0.0
            estimate.new_accepted[c, j] = 0.0
    estimate.stale = True


@compiled
def refresh(estimate: Record) -> None:
    """Bring the estimates up to date with the counts: due before they are observed."""
    if estimate.stale:
        _solve(estimate)
        estimate.stale = False


@compiled
def add_survival(estimate: Record, slot: int, frailty: float, weight: float, out: Array) -> None:
    """Add a request's P(positions 1..j all accepted), times a weight, to ``out[j - 1]``."""
    alive = weight
    for j in range(MAX_DEPTH):
        alive *= 1.0 - min((1.0 - estimate.acceptance[slot, j]) * frailty, 1.0)
        out[j] += alive


@compiled
def _solve(estimate: Record) -> None:
    """The estimates from the counts."""
    _chain(estimate, False, estimate.position)
    for j in range(MAX_DEPTH):
        estimate.position[j] = 1.0 - estimate.position[j]
    for _ in range(ROUNDS):
        _chain(estimate, True, estimate.hazard)
        for c in range(CLASSES):
            estimate.frailty[c] = _frailty(estimate, c)
    for c in range(CLASSES):
        _solve_class(estimate, c)


@compiled
def _chain(estimate: Record, frail: bool, out: Floats) -> None:
    """Hazards of all classes together, each position's pulled to that of the one before it.

    Positions tried count once or, as exposure, as many times as their class is frail, but so
    that at the first position the two are the same.
    """
    before, scale = 1.0 - START, 1.0
    for j in range(MAX_DEPTH):
        tried = rejected = exposure = 0.0
        for c in range(CLASSES):
            t = estimate.tried[c, j]
            tried += t
            rejected += t - estimate.accepted[c, j]
            exposure += t * estimate.frailty[c] if frail else t
        if j == 0:
            scale = tried / max(exposure, TINY) if frail else 1.0
        before = min((rejected + PRIOR * before) / (exposure * scale + PRIOR), 1.0)
        out[j] = before


@compiled
def _frailty(estimate: Record, c: int) -> float:
    """How many times as often as others a class sees drafts rejected, posterior mean."""
    rejected = expected = 0.0
    for j in range(MAX_DEPTH):
        rejected += estimate.tried[c, j] - estimate.accepted[c, j]
        expected += estimate.tried[c, j] * estimate.hazard[j]
    return float((FRAILTY_PRIOR + rejected) / (FRAILTY_PRIOR + expected))


@compiled
def _solve_class(estimate: Record, c: int) -> None:
    """A class's acceptance by position, that of its later ones together, rejections expected."""
    frailty, expected = estimate.frailty[c], 0.0
    tried = accepted = later = 0.0
    for j in range(MAX_DEPTH):
        t, a = estimate.tried[c, j], estimate.accepted[c, j]
        prior = 1.0 - min(frailty * estimate.hazard[j], 1.0)
        acceptance = (a + PRIOR * prior) / (t + PRIOR)
        estimate.acceptance[c, j] = acceptance
        expected += 1.0 - acceptance
        estimate.expected[c, j + 1] = expected
        if j:
            tried += t
            accepted += a
            later += prior / (MAX_DEPTH - 1)
    estimate.later[c] = (accepted + PRIOR * later) / (tried + PRIOR)
