"""How far drafts survive, estimated from verifications alone: compiled.

The estimates that observations hold: decayed counts by class and position, each pulled by a few
pseudo-counts, a class's position towards that position of all traffic, and that towards the
position before. On top, what a request's own history tells: rejections are Poisson with a rate
that is the estimated one times a factor of the request's own, which is Gamma distributed around
1; its posterior mean multiplies the request's chance of rejection.
"""

from __future__ import annotations

from typing import Final

from ...policies.spaces import CLASSES, MAX_DEPTH
from ...policies.survival import FRAILTY_PRIOR, SurvivalEstimator
from .compiling import compiled
from .state import Record

MEMORY: Final = SurvivalEstimator.MEMORY
PRIOR: Final = SurvivalEstimator.PRIOR
START: Final = SurvivalEstimator.START

HISTORY: Final = 0.9  # a request's own evidence halves in about seven verifications
STRENGTH: Final = FRAILTY_PRIOR  # rejections that the belief in an average request is worth

_ENOUGH: Final = 6.0  # drafted positions after which a request's behaviour is told
_HARD: Final = 1
_MIXED: Final = 2
_EASY: Final = 3


@compiled
def start_estimates(estimate: Record) -> None:
    """What is believed before anything was verified; the record is all zeros."""
    for j in range(MAX_DEPTH):
        estimate.position[j] = START
    for c in range(CLASSES):
        estimate.later[c] = START
        for j in range(MAX_DEPTH):
            estimate.table[c, j] = START


@compiled
def learn_verification(estimate: Record, request: Record, drafts: int, accepted: int) -> None:
    """Count one request's drafts, at least one; what follows a rejection says nothing."""
    tried = min(accepted + 1, drafts)
    slot = request.slot
    expected = 0.0
    for j in range(tried):
        estimate.new_tried[slot, j] += 1.0
        expected += 1.0 - estimate.table[slot, j]
    for j in range(accepted):
        estimate.new_accepted[slot, j] += 1.0
    request.tried = request.tried * HISTORY + tried
    request.accepted = request.accepted * HISTORY + accepted
    request.rejected = request.rejected * HISTORY + (tried - accepted)
    request.expected = request.expected * HISTORY + expected
    if request.named < 0 and request.tried >= _ENOUGH:
        rate = request.accepted / request.tried
        request.slot = _EASY if rate >= 0.85 else _MIXED if rate >= 0.6 else _HARD


@compiled
def learn_interval(estimate: Record) -> None:
    """All drafts of an interval are verified: move the estimates, if there were any."""
    any_tried = 0.0
    for c in range(CLASSES):
        any_tried += estimate.new_tried[c, 0]
    if any_tried == 0.0:
        return
    before = START
    for j in range(MAX_DEPTH):
        tried = accepted = 0.0
        for c in range(CLASSES):
            estimate.tried[c, j] = estimate.tried[c, j] * MEMORY + estimate.new_tried[c, j]
            estimate.accepted[c, j] = estimate.accepted[c, j] * MEMORY + estimate.new_accepted[c, j]
            estimate.new_tried[c, j] = 0.0
            estimate.new_accepted[c, j] = 0.0
            tried += estimate.tried[c, j]
            accepted += estimate.accepted[c, j]
        before = (accepted + PRIOR * before) / (tried + PRIOR)
        estimate.position[j] = before
    _derive(estimate)


@compiled
def _derive(estimate: Record) -> None:
    """The table by class and position, and the later positions of each class taken together."""
    tried = accepted = 0.0
    for c in range(CLASSES):
        for j in range(1, MAX_DEPTH):
            tried += estimate.tried[c, j]
            accepted += estimate.accepted[c, j]
    deeper = (accepted + PRIOR * estimate.position[0]) / (tried + PRIOR)
    for c in range(CLASSES):
        tried = accepted = 0.0
        for j in range(MAX_DEPTH):
            t, a = estimate.tried[c, j], estimate.accepted[c, j]
            estimate.table[c, j] = (a + PRIOR * estimate.position[j]) / (t + PRIOR)
            if j:
                tried += t
                accepted += a
        estimate.later[c] = (accepted + PRIOR * deeper) / (tried + PRIOR)


@compiled
def factor(request: Record) -> float:
    """How many times as often as its class a request sees drafts rejected, posterior mean."""
    return float((STRENGTH + request.rejected) / (STRENGTH + request.expected))
