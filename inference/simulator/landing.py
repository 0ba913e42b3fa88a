"""The end of an engine step, compiled: how long it took, what was accepted, who is finished."""

from __future__ import annotations

import math
from typing import Final

from ...policies.transition import ACCEPTED, CHECKED, COLUMN, TRIED, Floats
from .adaspec import draft
from .compiling import NOISE, compiled, draw_key, normal, uniform
from .estimates import learn_verification
from .observing import meter_step
from .scheduling import release
from .settings import PLANNERS
from .state import Record, Records, World
from .steps import expected_seconds
from .traces import Integers

ADASPEC: Final = PLANNERS.index("adaspec")

_RATE: Final = 0.05  # of the moving average of lengths, per request that ends

_SECONDS: Final = COLUMN["seconds"]
_STEPS: Final = COLUMN["steps"]
_REQUEST_SECONDS: Final = COLUMN["request_seconds"]
_REQUEST_STEPS: Final = COLUMN["request_steps"]
_EMITTED: Final = COLUMN["emitted"]
_DRAFTED: Final = COLUMN["drafted"]
_VERIFIED: Final = COLUMN["verified"]
_PREFILL: Final = COLUMN["prefill"]
_CONTEXT: Final = COLUMN["context"]
_FINISHED: Final = COLUMN["finished"]
_CHECKED: Final[int] = CHECKED.start
_TRIED: Final[int] = TRIED.start
_ACCEPTED: Final[int] = ACCEPTED.start


@compiled
def land(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    estimate: Record,
    totals: Record,
    row: Floats,
    results: Records,
) -> None:
    """Let the step that was scheduled take its time and have its effect."""
    # A step that drafts to another depth than it verifies is the doing of two decisions.
    counted = engine.drafted == engine.depth and engine.decoding > 0
    emitted_before, finished_before = totals.emitted, totals.finished
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed < request.goal:
            _prefilled(request, totals)
        elif request.tokens > 0:
            _decoded(request, estimate, totals, counted, row)
    if world.parameters[0].planner >= ADASPEC:
        draft(world, engine, requests, order)
    else:
        for i in range(engine.running):
            request = requests[order[i]]
            if request.tokens > 0:
                request.drafts = engine.depth
    seconds = _seconds(world, engine)
    engine.clock += seconds
    engine.last_landing = engine.clock
    _first_tokens(engine, requests, order, totals)
    _leave(engine, requests, order, totals, results)
    emitted, finished = totals.emitted - emitted_before, totals.finished - finished_before
    meter_step(engine, seconds, emitted)
    _total(engine, totals, seconds)
    if counted:
        _count(engine, row, seconds, emitted, finished)


@compiled
def _seconds(world: World, engine: Record) -> float:
    """What the step took: what is expected, times the noise."""
    e = engine
    seconds = expected_seconds(world, e.decoding, e.context, e.verified, e.depth, e.prefill)
    sigma = world.parameters[0].noise
    engine.launches += 1
    if sigma > 0.0:
        draw = normal(draw_key(engine.seed, NOISE, engine.launches), 0)
        seconds *= math.exp(sigma * draw - 0.5 * sigma * sigma)
    return float(seconds)


@compiled
def _prefilled(request: Record, totals: Record) -> None:
    """A chunk of a prompt is done; with the last one comes a token."""
    request.computed += request.tokens
    if request.computed < request.goal or request.tokens == 0:
        return
    request.emitted += 1
    totals.prompted += 1


@compiled
def _first_tokens(engine: Record, requests: Records, order: Integers, totals: Record) -> None:
    """Note when requests got their first token."""
    for i in range(engine.running):
        request = requests[order[i]]
        if request.emitted > 0 and request.first == 0.0:
            request.first = engine.clock
            totals.started += 1
            totals.first_token_seconds += engine.clock - request.arrival


@compiled
def _decoded(request: Record, estimate: Record, totals: Record, counted: bool, row: Floats) -> None:
    """A request's drafts are verified: those accepted and one more token reach it."""
    drafts = request.tokens - 1
    accepted = count_accepted(request, drafts)
    if drafts > 0:
        learn_verification(estimate, request, drafts, accepted)
        if counted:
            for j in range(drafts):
                row[_CHECKED + j] += 1.0
            for j in range(min(accepted + 1, drafts)):
                row[_TRIED + j] += 1.0
            for j in range(accepted):
                row[_ACCEPTED + j] += 1.0
    emitted = min(accepted + 1, request.generated - request.emitted)
    request.emitted += emitted
    request.computed += emitted
    totals.emitted += emitted


@compiled
def count_accepted(request: Record, drafts: int) -> int:
    """Drafts accepted: each by a draw that belongs to its place in the output, whoever asks."""
    for j in range(drafts):
        if uniform(request.key, request.emitted + j) >= request.acceptance[j]:
            return j
    return drafts


@compiled
def _leave(
    engine: Record, requests: Records, order: Integers, totals: Record, results: Records
) -> None:
    """Let finished requests go; the others stay in their order."""
    kept = 0
    for i in range(engine.running):
        slot = order[i]
        request = requests[slot]
        if request.emitted >= request.generated:
            release(engine, request)
            if totals.finished < len(results):
                _record(results[totals.finished], engine, request)
            totals.finished += 1
            engine.length += _RATE * (request.generated - engine.length)
            totals.finished_tokens += request.generated
            totals.end_to_end_seconds += engine.clock - request.arrival
        else:
            order[i] = order[kept]
            order[kept] = slot
            kept += 1
    engine.running = kept


@compiled
def _record(result: Record, engine: Record, request: Record) -> None:
    result.slo = request.slo
    result.arrival = request.arrival
    result.first = request.first
    result.end = engine.clock
    result.prompt = request.prompt
    result.tokens = request.generated


@compiled
def _total(engine: Record, totals: Record, seconds: float) -> None:
    totals.seconds += seconds
    totals.steps += 1
    totals.request_seconds += seconds * engine.decoding
    totals.request_steps += engine.decoding
    totals.drafted += engine.depth * engine.decoding
    totals.verified += engine.verified
    totals.prefill += engine.prefill


@compiled
def _count(engine: Record, row: Floats, seconds: float, emitted: int, finished: int) -> None:
    row[_SECONDS] += seconds
    row[_STEPS] += 1
    row[_REQUEST_SECONDS] += seconds * engine.decoding
    row[_REQUEST_STEPS] += engine.decoding
    row[_EMITTED] += emitted
    row[_DRAFTED] += engine.depth * engine.decoding
    row[_VERIFIED] += engine.verified
    row[_PREFILL] += engine.prefill
    row[_CONTEXT] += engine.context
    row[_FINISHED] += finished
