"""How far drafts survive, estimated from verifications alone: compiled.

What ``policies.survival.SurvivalEstimator``, ``inference.requests.RequestState`` and
``inference.drafts.Drafts`` do in a live engine, by the same rules in the same order: counts join
when an interval is verified, and the estimates move at the next observation. Why they are as they
are is told there.
"""

from __future__ import annotations

import math
from typing import Final

from ...policies.frailty import FRAILTY_PRIOR, FrailtyEstimator
from ...policies.spaces import CLASSES, MAX_DEPTH, Array
from ...policies.survival import SurvivalEstimator
from ...policies.transition import Floats
from ..history import EASY, EASY_FROM, ENOUGH, HARD, HISTORY, MIXED, MIXED_FROM
from .compiling import compiled
from .state import Record

MEMORY: Final = SurvivalEstimator.MEMORY
PRIOR: Final = SurvivalEstimator.PRIOR
START: Final = SurvivalEstimator.START
USUAL_MEMORY: Final = SurvivalEstimator.USUAL_MEMORY
USUAL_PRIOR: Final = SurvivalEstimator.USUAL_PRIOR
HOPE: Final = SurvivalEstimator.HOPE
ROUNDS: Final = SurvivalEstimator.ROUNDS
TINY: Final = SurvivalEstimator.TINY
FRAILTY_MEMORY: Final = FrailtyEstimator.MEMORY
FRAILTY_WEIGHT: Final = FrailtyEstimator.PRIOR
FRAILTY_START: Final = FrailtyEstimator.START
LEAST: Final = FrailtyEstimator.LEAST


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
    if request.tried == 0.0:
        read_history(estimate, request)
    for j in range(tried):
        estimate.new_tried[slot, j] += 1.0
        estimate.new_exposed[slot, j] += request.frailty
    for j in range(accepted):
        estimate.new_accepted[slot, j] += 1.0
    expected, deviation = estimate.expected[slot, tried], request.deviation
    estimate.new_deviation[slot] += deviation
    estimate.new_told[slot] += (tried - accepted - expected) * deviation
    estimate.new_informed[slot] += expected * deviation * deviation
    request.tried = request.tried * HISTORY + tried
    request.accepted = request.accepted * HISTORY + accepted
    request.expected = request.expected * HISTORY + expected
    if request.named < 0 and request.tried >= ENOUGH:
        rate = request.accepted / request.tried
        slot = EASY if rate >= EASY_FROM else MIXED if rate >= MIXED_FROM else HARD
        # Its history, measured by the class it joins.
        if slot != request.slot:
            request.expected *= estimate.expected[slot, tried] / expected
            request.slot = slot
    read_history(estimate, request)


@compiled
def read_history(estimate: Record, request: Record) -> None:
    """The deviation of a request's history and its frailty; due too while that is empty."""
    rejected = request.tried - request.accepted
    excess = (rejected - request.expected) / (FRAILTY_PRIOR + request.expected)
    request.deviation = excess - estimate.centre[request.slot]
    frailty = 1.0 + estimate.credibility[request.slot] * request.deviation
    request.frailty = max(frailty, LEAST)


@compiled
def learn_interval(estimate: Record) -> None:
    """All drafts of an interval are verified: add its counts; without any, all grows older."""
    _learn_usual(estimate)
    for c in range(CLASSES):
        _learn_histories(estimate, c)
        for j in range(MAX_DEPTH):
            estimate.tried[c, j] = estimate.tried[c, j] * MEMORY + estimate.new_tried[c, j]
            estimate.accepted[c, j] = estimate.accepted[c, j] * MEMORY + estimate.new_accepted[c, j]
            estimate.exposed[c, j] = estimate.exposed[c, j] * MEMORY + estimate.new_exposed[c, j]
            estimate.new_tried[c, j] = 0.0
            estimate.new_accepted[c, j] = 0.0
            estimate.new_exposed[c, j] = 0.0
    estimate.stale = True


@compiled
def _learn_usual(estimate: Record) -> None:
    """What is usual at the first position, from all classes."""
    tried = accepted = 0.0
    for c in range(CLASSES):
        tried += estimate.new_tried[c, 0]
        accepted += estimate.new_accepted[c, 0]
    if tried > 0.0:
        estimate.usual[0] = estimate.usual[0] * USUAL_MEMORY + tried
        estimate.usual[1] = estimate.usual[1] * USUAL_MEMORY + accepted


@compiled
def _learn_histories(estimate: Record, c: int) -> None:
    """What the histories of a class's requests told, as ``FrailtyEstimator.add``."""
    excess = estimate.new_deviation[c] + estimate.new_tried[c, 0] * estimate.centre[c]
    estimate.excess[c] = estimate.excess[c] * MEMORY + excess
    estimate.told[c] = estimate.told[c] * FRAILTY_MEMORY + estimate.new_told[c]
    estimate.informed[c] = estimate.informed[c] * FRAILTY_MEMORY + estimate.new_informed[c]
    estimate.new_deviation[c] = 0.0
    estimate.new_told[c] = 0.0
    estimate.new_informed[c] = 0.0


@compiled
def refresh(estimate: Record) -> None:
    """Bring the estimates up to date with the counts: due before they are observed."""
    if estimate.stale:
        _solve(estimate)
        estimate.stale = False


@compiled
def add_survival(
    estimate: Record,
    slot: int,
    frailty: float,
    weight: float,
    threshold: float,
    out: Array,
    best: Array,
    kept: Array,
) -> None:
    """Add a request's P(positions 1..j all accepted), times a weight, to ``out[j - 1]``.

    And what it may be at best to ``best[j - 1]``, and 1 to ``kept[j - 1]``; all from hope at
    the threshold on, as ``policies.kept`` has it.
    """
    alive = hope = weight
    for j in range(MAX_DEPTH):
        alive *= 1.0 - min(estimate.hazards[slot, j] * frailty, 1.0)
        hope *= 1.0 - min(estimate.hopeful[slot, j] * frailty, 1.0)
        if hope < weight * threshold:
            break
        out[j] += alive
        best[j] += hope
        kept[j] += 1.0


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
    usual = (estimate.usual[1] + USUAL_PRIOR * START) / (estimate.usual[0] + USUAL_PRIOR)
    before, scale = 1.0 - usual, 1.0
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
    """A class's acceptance and hazards by position, rejections expected, what histories tell."""
    frailty, expected = estimate.frailty[c], 0.0
    tried = accepted = later = 0.0
    for j in range(MAX_DEPTH):
        t, a = estimate.tried[c, j], estimate.accepted[c, j]
        behind = min(frailty * estimate.hazard[j], 1.0)
        estimate.acceptance[c, j] = (a + PRIOR * (1.0 - behind)) / (t + PRIOR)
        hazard = min((t - a + PRIOR * behind) / (estimate.exposed[c, j] + PRIOR), 1.0)
        estimate.hazards[c, j] = hazard
        error = math.sqrt(hazard * (1.0 - hazard) / (t + PRIOR + 1.0))
        estimate.hopeful[c, j] = max(hazard - HOPE * error, 0.0)
        expected += hazard
        estimate.expected[c, j + 1] = expected
        if j:
            tried += t
            accepted += a
            later += (1.0 - behind) / (MAX_DEPTH - 1)
    estimate.later[c] = (accepted + PRIOR * later) / (tried + PRIOR)
    estimate.centre[c] = estimate.excess[c] / (estimate.tried[c, 0] + FRAILTY_WEIGHT)
    told = FRAILTY_WEIGHT * FRAILTY_START + estimate.told[c]
    estimate.credibility[c] = max(told / (FRAILTY_WEIGHT + estimate.informed[c]), 0.0)
