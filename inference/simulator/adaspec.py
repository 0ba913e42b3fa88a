"""AdaSpec's drafting (2025, arXiv 2503.05096), compiled.

As in its released code: drafts are made token by token while predicted efficiency, expected tokens
over expected seconds, rises, at most eight; what of them is verified is told in
``policies.adaspec``. With its branch for objectives, what would take longer than one constant is
not drafted.

Told exactly what it profiles at start-up, the seconds of a step, and confidences that are true.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...policies.adaspec import verify
from ...policies.spaces import MAX_DEPTH
from .compiling import compiled, uniform
from .confidence import confidence
from .settings import PLANNERS
from .state import Record, Records, World
from .steps import depth_factors, expected_seconds, parts
from .traces import Integers

_WITH_SLO: Final = PLANNERS.index("adaspec-slo")
_START: Final = 0.7  # confidence in a first draft before there was any
_RATE: Final = 0.1  # of its moving average, per step


@compiled
def draft(world: World, engine: Record, requests: Records, order: Integers) -> None:
    """Draft for the next step, and settle what it will verify."""
    p = world.parameters[0]
    slots, context = _decoding(engine, requests, order)
    batch = len(slots)
    engine.depth = 0
    if batch == 0:
        return
    if engine.confidence == 0.0:
        engine.confidence = _START
    limit = _limit(world) if p.planner == _WITH_SLO else math.inf
    alive = np.ones(batch)  # cumulative confidence
    gained = np.zeros((batch, MAX_DEPTH))
    best = batch / expected_seconds(world, batch, context, batch, 0)
    expected = float(batch)
    for k in range(min(p.k_max, MAX_DEPTH)):
        seconds = expected_seconds(world, batch, context, batch * (k + 2), k + 1)
        if k == 0 and (batch * (1.0 + engine.confidence) / seconds <= best or seconds > limit):
            break
        engine.depth = k + 1
        first = 0.0
        for b in range(batch):
            q = _confidence(requests[slots[b]], k)
            first += q
            alive[b] *= q
            gained[b, k] = alive[b]
        expected += alive.sum()
        if k == 0:
            engine.confidence += _RATE * (first / batch - engine.confidence)
        efficiency = expected / seconds
        if efficiency <= best or seconds > limit:
            break  # this token was drafted to find out
        best = efficiency
    lengths = np.empty(batch, np.int64)
    factor = depth_factors(world, batch)[engine.depth]
    verify(gained, engine.depth, parts(world, batch, context), factor, limit, lengths)
    for b in range(batch):
        requests[slots[b]].drafts = lengths[b]


@compiled
def _decoding(engine: Record, requests: Records, order: Integers) -> tuple[Integers, int]:
    """Slots of those that will decode in the next step, and their context."""
    slots = np.empty(engine.running, np.int64)
    count = context = 0
    for i in range(engine.running):
        request = requests[order[i]]
        request.drafts = 0
        if request.computed >= request.goal and request.emitted < request.generated:
            slots[count] = order[i]
            count += 1
            context += request.computed
    return slots[:count], context


@compiled
def _confidence(request: Record, k: int) -> float:
    place = request.emitted + k
    p = request.acceptance[k]
    accepted = uniform(request.key, place) < p
    return confidence(request.key, place, p, accepted, request.sensitivity)


@compiled
def _limit(world: World) -> float:
    """The strictest objective per output token: AdaSpec has one for all."""
    least = math.inf
    for i in range(len(world.slos)):
        least = min(least, world.slos[i].tpot)
    return least
