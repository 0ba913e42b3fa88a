"""An interval of the governor in virtual time, compiled: the loop over steps and engines.

A step drafts to the depth in force and verifies what the step before drafted. What follows is
decided while a step runs, so an observation does not hold that step's own outcome. All as
``inference.governor`` does it around a live engine that keeps one step in the air, but for one
thing: there, the step that verifies an interval's last drafts is added to that interval once it
is known whether it drafts to the same depth. Here a decision's outcome is told before the next
decision is made, so such a step is added to the interval in which it runs. Over a run of
intervals of one depth the sums are the same.
"""

from __future__ import annotations

from typing import Final

from ...policies.transition import COLUMN, Floats
from .arrivals import await_work, begin
from .compiling import compiled
from .estimates import learn_interval, start_estimates
from .landing import land
from .observing import FLYBALL, observe
from .planning import plan_step
from .scheduling import schedule
from .state import Fleet, Record, World
from .traces import Integers

LENGTH: Final = 128.0  # of outputs, tokens, before any was seen
_OTHER: Final = 1.5  # as in inference.governor
_IDLE: Final = 0.5

_DEPTH: Final = COLUMN["depth"]
_SWITCHED: Final = COLUMN["switched"]


@compiled
def start(world: World, fleet: Fleet) -> None:
    """Bring engines, all zeros but for their seeds, to their first decision."""
    p = world.parameters[0]
    for e in range(len(fleet.engines)):
        engine, totals = fleet.engines[e], fleet.totals[e]
        order, waiting = fleet.order[e], fleet.waiting[e]
        for i in range(len(order)):
            order[i] = i
        engine.free_blocks = p.kv_blocks
        engine.depth = p.static_depth
        engine.drafted = -1
        engine.per_request = 1.0
        engine.length = LENGTH
        engine.worth = 1.0
        start_estimates(fleet.estimates[e])
        begin(world, engine)
        engine.done = not await_work(world, engine, waiting, totals)
        observe(
            world,
            engine,
            fleet.requests[e],
            order,
            fleet.estimates[e],
            fleet.speed[e],
            fleet.observations[e],
        )


@compiled
def advance(world: World, fleet: Fleet, depths: Integers) -> None:
    """Hold each engine at its depth for one interval; those that are done stay as they are."""
    for e in range(len(fleet.engines)):
        engine = fleet.engines[e]
        fleet.rows[e, :] = 0.0
        if not engine.done:
            _begin_interval(engine, depths[e], fleet.rows[e])
            while not _step(world, fleet, e):
                pass


@compiled
def _begin_interval(engine: Record, depth: int, row: Floats) -> None:
    row[_DEPTH] = depth
    row[_SWITCHED] = engine.drafted >= 0 and depth != engine.depth
    engine.depth = depth
    engine.held = depth
    engine.steps = 0


@compiled
def _step(world: World, fleet: Fleet, e: int) -> bool:
    """One engine step; whether the interval ends with it."""
    engine, requests, order = fleet.engines[e], fleet.requests[e], fleet.order[e]
    estimate, totals, waiting = fleet.estimates[e], fleet.totals[e], fleet.waiting[e]
    out, speed = fleet.observations[e], fleet.speed[e]
    goes_on = await_work(world, engine, waiting, totals)
    if engine.steps == 0:
        engine.began = engine.phase
    if not goes_on:
        engine.done = True
        observe(world, engine, requests, order, estimate, speed, out)
        return True
    engine.idled = engine.drafted >= 0 and engine.clock - engine.last_landing > _IDLE
    if world.parameters[0].planner == FLYBALL:
        engine.depth = engine.held
        plan_step(world, engine, requests, order, waiting, estimate, speed)
    schedule(world, engine, requests, order, waiting, totals)
    engine.steps += 1
    due = _is_due(world.parameters[0].interval, engine)
    if due:
        observe(world, engine, requests, order, estimate, speed, out)
    land(world, engine, requests, order, estimate, totals, fleet.rows[e], fleet.results[e])
    if engine.steps == 1:
        # The last drafts of the interval before are verified.
        learn_interval(estimate)
    engine.drafted = engine.depth
    return due


@compiled
def _is_due(interval: int, engine: Record) -> bool:
    batch, began = engine.running, engine.batch
    fits = batch <= _OTHER * began and began <= _OTHER * batch
    return bool(engine.steps >= interval or not fits or engine.idled)
