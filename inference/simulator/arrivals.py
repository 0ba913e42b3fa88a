"""When requests arrive, and what they are: compiled."""

from __future__ import annotations

import math

from ...policies.spaces import MAX_DEPTH
from .compiling import DRIFT, GAP, OBJECTIVE, REQUEST, compiled, draw_key, gamma, normal, uniform
from .state import Record, Records, World

_FAR = 2**32  # requests of one visit to a phase are numbered below it


@compiled
def begin(world: World, engine: Record) -> None:
    """Start the clock, with the first phase."""
    engine.phase = -1
    engine.phase_end = 0.0
    engine.segment = -1
    engine.next_arrival = math.inf
    if len(world.arrivals):
        engine.next_arrival = world.arrivals[0]
    _next_phase(world, engine)


@compiled
def await_work(world: World, engine: Record, waiting: Records, totals: Record) -> bool:
    """Let arrive what has arrived; an idle engine sleeps until something does.

    Returns:
        False if the simulation is over.
    """
    horizon = world.parameters[0].horizon
    _arrive(world, engine, waiting, totals)
    while engine.running + engine.preempted + engine.queued == 0:
        then = min(engine.next_arrival, engine.phase_end)
        over = len(world.arrivals) > 0 and engine.next_arrival == math.inf
        if over or not then < horizon or then == math.inf:
            return False
        engine.clock = then
        _arrive(world, engine, waiting, totals)
    return bool(engine.clock < horizon)


@compiled
def _arrive(world: World, engine: Record, waiting: Records, totals: Record) -> None:
    horizon = world.parameters[0].horizon
    while True:
        # Nothing arrives beyond the end, however far the last step of an arm reaches.
        end = min(engine.phase_end, horizon)
        if engine.next_arrival <= engine.clock and engine.next_arrival < end:
            if engine.queued == len(waiting):
                return  # it waits outside, and with it all that follows
            _push(world, engine, waiting, engine.next_arrival, totals)
            _follow(world, engine, totals)
        elif engine.phase_end <= engine.clock and engine.phase_end < horizon:
            _next_phase(world, engine)
        else:
            break
    _keep_under_way(world, engine, waiting, totals)


@compiled
def _keep_under_way(world: World, engine: Record, waiting: Records, totals: Record) -> None:
    """In a closed loop, the next request comes as one ends."""
    under_way = engine.running + engine.preempted + engine.queued
    missing = world.phases[engine.phase].concurrency - under_way
    if engine.clock < world.parameters[0].horizon:
        for _ in range(min(missing, len(waiting) - engine.queued)):
            _push(world, engine, waiting, engine.clock, totals)


@compiled
def _next_phase(world: World, engine: Record) -> None:
    engine.phase = (engine.phase + 1) % len(world.phases)
    engine.visit += 1
    engine.number = 0
    start = engine.phase_end
    engine.phase_end = start + world.phases[engine.phase].seconds
    if len(world.arrivals) == 0:
        engine.next_arrival = start + _gap(world, engine)


@compiled
def _follow(world: World, engine: Record, totals: Record) -> None:
    """Find out when the next request arrives."""
    if len(world.arrivals) == 0:
        engine.next_arrival += _gap(world, engine)
    elif totals.arrived < len(world.arrivals):
        engine.next_arrival = world.arrivals[totals.arrived]
    else:
        engine.next_arrival = math.inf


@compiled
def _gap(world: World, engine: Record) -> float:
    """Seconds to the next arrival, of the phase's rate and coefficient of variation."""
    phase = world.phases[engine.phase]
    if phase.rate == 0.0:
        return math.inf
    engine.gaps += 1
    if phase.cv == 0.0:
        return float(1.0 / phase.rate)
    key = draw_key(engine.seed, GAP, engine.gaps)
    if phase.cv == 1.0:
        return float(-math.log(uniform(key, 0)) / phase.rate)
    return float(gamma(key, 1.0 / phase.cv**2) / phase.rate)


@compiled
def _push(world: World, engine: Record, waiting: Records, at: float, totals: Record) -> None:
    """A request arrives: its class, its lengths and its luck follow from its number alone."""
    p = world.parameters[0]
    number = engine.visit * _FAR + engine.number
    key = draw_key(engine.seed, REQUEST, number)
    one = waiting[(engine.head + engine.queued) % len(waiting)]
    one.number = number
    one.arrival = at
    one.kind = _kind(world.phases[engine.phase].mix, len(world.kinds), uniform(key, 0))
    kind = world.kinds[one.kind]
    if len(world.arrivals):
        prompt, generated = world.context[totals.arrived], world.generated[totals.arrived]
    else:
        prompt, generated = (
            _length(kind.prompt, normal(key, 1)),
            _length(kind.output, normal(key, 2)),
        )
    one.prompt = min(max(prompt, 1), p.max_model_len - 1)
    one.generated = min(max(generated, 1), p.max_model_len - one.prompt)
    _drift(world, engine, at)
    one.offset = engine.drift[one.kind] + kind.effect * normal(key, 3)
    one.slo = _slo(world.slos, uniform(draw_key(engine.seed, OBJECTIVE, number), 0))
    engine.queued += 1
    engine.number += 1
    engine.arrivals += 1
    totals.arrived += 1


@compiled
def _slo(slos: Records, draw: float) -> int:
    for i in range(len(slos) - 1):
        if draw < slos[i].share:
            return i
    return len(slos) - 1


@compiled
def _kind(mix: Record, count: int, draw: float) -> int:
    for kind in range(count - 1):
        if draw < mix[kind]:
            return kind
    return count - 1


@compiled
def _length(log: Record, draw: float) -> int:
    return int(min(math.exp(log[0] + log[1] * draw), 1e9) + 0.5)


@compiled
def _drift(world: World, engine: Record, at: float) -> None:
    """Move the classes' offsets on to what they are at a time."""
    p = world.parameters[0]
    if p.drift_sigma == 0.0:
        return
    memory = p.drift_memory
    now = int(at / p.drift_every)
    while engine.segment < now:
        engine.segment += 1
        key = draw_key(engine.seed, DRIFT, engine.segment)
        # The first is drawn from where all later ones are: the process is stationary.
        kept = 0.0 if engine.segment == 0 else memory
        for kind in range(len(world.kinds)):
            fresh = math.sqrt(1.0 - kept * kept) * p.drift_sigma * normal(key, kind)
            engine.drift[kind] = kept * engine.drift[kind] + fresh


@compiled
def set_acceptance(request: Record, kind: Record, offset: float) -> None:
    """P(position j accepted | all before it were) of one request."""
    for j in range(MAX_DEPTH):
        request.acceptance[j] = 1.0 / (1.0 + math.exp(-kind.logits[j] - offset))
