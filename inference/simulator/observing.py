"""What a decision sees, compiled: as ``inference.governor`` and ``inference.meters`` have it."""

from __future__ import annotations

import math
from typing import Final

from ...policies.allocation import costs
from ...policies.spaces import CLASSES, DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from .compiling import compiled
from .estimates import add_survival, read_history, refresh
from .settings import PLANNERS
from .state import Record, Records, World
from .steps import depth_factors, parts, prices
from .traces import Integers

FLYBALL: Final = PLANNERS.index("flyball")

_BATCH: Final = DEPTH_SPACE.index("batch")
_WAITING: Final = DEPTH_SPACE.index("waiting")
_KV_USAGE: Final = DEPTH_SPACE.index("kv_usage")
_CONTEXT: Final = DEPTH_SPACE.index("context")
_PREFILL: Final = DEPTH_SPACE.index("prefill")
_YIELD: Final = DEPTH_SPACE.index("yield")
_ARRIVALS: Final = DEPTH_SPACE.index("arrivals")
_STEP_MS: Final = DEPTH_SPACE.index("step_ms")
_REMAINING: Final = DEPTH_SPACE.index("remaining")
_DEPTH: Final = DEPTH_SPACE.index("depth")
_ACCEPTANCE: Final = DEPTH_SPACE.index("acceptance_1")
_SURVIVAL: Final = DEPTH_SPACE.index("survival_1")
_HOPE: Final = DEPTH_SPACE.index("hope_1")
_KEPT: Final = DEPTH_SPACE.index("kept_1")
_SHARE: Final = DEPTH_SPACE.index("share_0")
_FIRST: Final = DEPTH_SPACE.index("first_0")
_LATER: Final = DEPTH_SPACE.index("later_0")
_SPEED: Final = SPEED_INDEX

_RATE: Final = 0.1  # of the moving averages, per step


@compiled
def observe(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    estimate: Record,
    speed: float,
    out: Array,
) -> None:
    """Write an observation, and remember the batch it was made with."""
    p = world.parameters[0]
    queued = engine.queued + engine.preempted
    engine.batch = engine.running if engine.running else min(queued, p.max_num_seqs)
    _read_arrivals(engine)
    decoding = max(engine.decoding, 1)
    out[_BATCH] = engine.batch
    out[_WAITING] = queued
    out[_KV_USAGE] = 1.0 - engine.free_blocks / p.kv_blocks
    out[_CONTEXT] = engine.context / decoding
    out[_PREFILL] = engine.prefill_average
    out[_YIELD] = engine.per_request
    out[_ARRIVALS] = engine.rate
    out[_STEP_MS] = engine.step_ms
    out[_REMAINING] = engine.remaining / decoding
    out[_DEPTH] = engine.depth
    out[_SPEED] = speed
    refresh(estimate)
    _observe_acceptance(estimate, out)
    _observe_requests(engine, requests, order, estimate, threshold(world, engine, speed), out)


@compiled
def threshold(world: World, engine: Record, speed: float) -> float:
    """Hope from which on a draft's position is verified, as ``policies.allocation`` has it.

    0 where nobody plans what is verified. Requests behind their objectives, which pay no dollars,
    are taken as the others.
    """
    n = engine.decoding
    if world.parameters[0].planner != FLYBALL or n == 0:
        return 0.0
    seconds, factors = parts(world, n, engine.context), depth_factors(world, n)
    position, dollars, _ = costs(n, speed, seconds, factors, prices(world), engine.held)
    return float(engine.worth * (position + (1.0 - speed) * dollars))


@compiled
def _read_arrivals(engine: Record) -> None:
    elapsed = engine.clock - engine.since
    if elapsed > 0.05:
        weight = 1.0 - math.exp(-min(elapsed, 60.0) / 5.0)
        engine.rate += weight * (engine.arrivals / elapsed - engine.rate)
        engine.arrivals = 0
        engine.since = engine.clock


@compiled
def _observe_acceptance(estimate: Record, out: Array) -> None:
    for j in range(MAX_DEPTH):
        out[_ACCEPTANCE + j] = estimate.position[j]
    for c in range(CLASSES):
        out[_FIRST + c] = estimate.acceptance[c, 0]
        out[_LATER + c] = estimate.later[c]


@compiled
def _observe_requests(
    engine: Record,
    requests: Records,
    order: Integers,
    estimate: Record,
    least: float,
    out: Array,
) -> None:
    """Shares of the classes, and for the requests that decode the survival of drafts.

    Of those that are verified: from a least hope on.
    """
    survival = out[_SURVIVAL : _SURVIVAL + MAX_DEPTH]
    hope = out[_HOPE : _HOPE + MAX_DEPTH]
    survival[:] = 0.0
    hope[:] = 0.0
    kept = out[_KEPT : _KEPT + MAX_DEPTH]
    kept[:] = 0.0
    out[_SHARE : _SHARE + CLASSES] = 0.0
    if engine.decoding == 0:
        out[_SHARE] = 1.0
        add_survival(estimate, 0, 1.0, 1.0, least, survival, hope, kept)
        return
    weight = 1.0 / engine.decoding
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed >= request.goal and request.tokens > 0:
            out[_SHARE + request.slot] += weight
            if request.tried == 0.0:
                read_history(estimate, request)
            slot, frailty = request.slot, request.frailty
            add_survival(estimate, slot, frailty, weight, least, survival, hope, kept)
    for j in range(MAX_DEPTH):  # counts so far, so that all are exactly 1
        kept[j] *= weight


@compiled
def meter_step(engine: Record, seconds: float, emitted: int) -> None:
    """Move the averages by one engine step."""
    engine.step_ms += _RATE * (min(1e3 * seconds, 1e3) - engine.step_ms)
    engine.prefill_average += _RATE * (engine.prefill - engine.prefill_average)
    if engine.prefill:
        engine.prompt_speed += _RATE * (engine.prefill / seconds - engine.prompt_speed)
    if engine.decoding:
        engine.per_request += _RATE * (emitted / engine.decoding - engine.per_request)
