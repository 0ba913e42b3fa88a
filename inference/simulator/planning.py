"""flyball's plan of a simulated engine step, compiled.

As ``inference.step_planner`` makes it of a live one, by the same rules of ``policies``.
"""

from __future__ import annotations

import math

import numpy as np

from ...policies.admission import admission, first_due, first_within, prompt_tokens
from ...policies.allocation import allocate
from ...policies.slack import slack
from ...policies.spaces import MAX_DEPTH
from .compiling import compiled
from .state import Record, Records, World
from .steps import depth_factors, parts, prices
from .traces import Integers


@compiled
def plan_step(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    waiting: Records,
    estimate: Record,
    speed: float,
) -> None:
    """Order the queue, settle what is verified and drafted, and what prompts get."""
    p = world.parameters[0]
    pressure = _admission(world, engine, requests, order, waiting)
    engine.prompt_tokens = p.max_num_batched_tokens
    _allocate(world, engine, requests, order, estimate, speed, pressure)


@compiled
def _admission(
    world: World, engine: Record, requests: Records, order: Integers, waiting: Records
) -> float:
    second = parts(world, max(engine.decoding, 1), engine.context)[0]
    decoding = second * max(engine.length, 1.0)
    started, due = 0.0, math.inf
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed < request.goal:
            started += request.goal - request.computed
            slo = world.slos[request.slo]
            within = first_within(slo.ttft, slo.deadline, decoding)
            due = min(due, first_due(request.arrival, within, engine.clock))
    n = engine.queued
    queue = np.empty(n, waiting.dtype)
    rows = np.empty((n, 3))
    for q in range(n):
        queue[q] = waiting[(engine.head + q) % len(waiting)]
        slo = world.slos[queue[q].slo]
        rows[q, 0], rows[q, 2] = queue[q].arrival, queue[q].prompt
        rows[q, 1] = first_within(slo.ttft, slo.deadline, decoding)
    places = np.empty(n, np.int64)
    pressure = admission(
        rows,
        started,
        due,
        engine.prompt_speed,
        world.coefficients[4],
        engine.admissions,
        1e-3 * engine.step_ms,
        engine.clock,
        places,
    )
    for q in range(n):
        waiting[(engine.head + q) % len(waiting)] = queue[places[q]]
    return float(pressure)


@compiled
def _allocate(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    estimate: Record,
    speed: float,
    pressure: float,
) -> None:
    p = world.parameters[0]
    who = np.empty(engine.running, np.int64)
    n = context = 0
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed >= request.goal:
            who[n] = order[i]
            context += request.computed
            n += 1
    if n == 0:
        return
    pace, credit, missed = np.empty(n), np.empty(n), np.empty(n, np.int64)
    survival, hope, terms = np.empty((n, MAX_DEPTH)), np.empty((n, MAX_DEPTH)), np.empty((n, 7))
    drafts, lengths = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        request = requests[who[i]]
        slo = world.slos[request.slo]
        terms[i, 0], terms[i, 1], terms[i, 2] = slo.ttft, slo.tpot, slo.deadline
        terms[i, 3], terms[i, 4] = request.arrival, max(p.max_tokens, request.generated)
        terms[i, 5], terms[i, 6] = request.first, request.emitted
        drafts[i] = request.drafts
        alive = best = 1.0
        for j in range(MAX_DEPTH):
            alive *= 1.0 - min(estimate.hazards[request.slot, j] * request.frailty, 1.0)
            best *= 1.0 - min(estimate.hopeful[request.slot, j] * request.frailty, 1.0)
            survival[i, j], hope[i, j] = alive, best
    seconds, factors = parts(world, n, context), depth_factors(world, n)
    least = seconds[0] / len(factors)
    slack(terms, max(engine.length, 1.0), least, engine.clock, pace, credit, missed)
    engine.depth, engine.worth, step, limit = allocate(
        survival,
        hope,
        drafts,
        np.full(n, speed),
        pace,
        credit,
        seconds,
        factors,
        prices(world),
        engine.held,
        engine.worth,
        lengths,
    )
    for i in range(n):
        requests[who[i]].drafts = lengths[i]
    per_token, most = world.coefficients[4], p.max_num_batched_tokens
    engine.prompt_tokens = prompt_tokens(limit, step, per_token, pressure, most)
