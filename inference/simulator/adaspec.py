"""AdaSpec's drafting and verification (2025, arXiv 2503.05096), compiled.

As in its released code: drafts are made token by token while predicted efficiency, expected tokens
over expected seconds, rises, at most eight; then requests with the least cumulative confidence are
emptied one after the other where a batch of the next smaller CUDA graph is more efficient. Its
branch for objectives, commented out in the release, skips what takes longer than one constant.

Told exactly what it profiles at start-up, the seconds of a step, and confidences that are true.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...policies.spaces import MAX_DEPTH
from ...policies.transition import Floats
from .compiling import compiled, uniform
from .confidence import confidence
from .settings import PLANNERS
from .state import Record, Records, World
from .steps import expected_seconds
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
    gained = np.zeros((MAX_DEPTH, batch))
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
            gained[k, b] = alive[b]
        expected += alive.sum()
        if k == 0:
            engine.confidence += _RATE * (first / batch - engine.confidence)
        efficiency = expected / seconds
        if efficiency <= best or seconds > limit:
            break  # this token was drafted to find out
        best = efficiency
    _verify(world, engine, requests, slots, gained, context, limit)


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


@compiled
def _verify(
    world: World,
    engine: Record,
    requests: Records,
    slots: Integers,
    gained: Floats,
    context: int,
    limit: float,
) -> None:
    """Empty the least confident requests as long as that is more efficient."""
    batch, depth = len(slots), engine.depth
    total = batch * (1 + depth)
    tokens = float(batch)
    for b in range(batch):
        requests[slots[b]].drafts = depth
        for k in range(depth):
            tokens += gained[k, b]
    if depth == 0:
        return
    by = np.argsort(gained[depth - 1])
    seconds = expected_seconds(world, batch, context, total, depth)
    best = 0.0 if seconds > limit else tokens / seconds
    emptied = chosen = 0
    size = total
    while emptied < batch:
        size = _smaller(size)
        while emptied < batch and total > size:
            for k in range(depth):
                tokens -= gained[k, by[emptied]]
            total -= depth
            emptied += 1
        seconds = expected_seconds(world, batch, context, total, depth)
        if total <= size and seconds <= limit and tokens / seconds > best:
            best = tokens / seconds
            chosen = emptied
        if size <= batch:
            break
    for b in range(chosen):
        requests[slots[by[b]]].drafts = 0


@compiled
def _smaller(size: int) -> int:
    """The next smaller batch that CUDA graphs are made for: 1, 2, 4, then multiples of 8."""
    if size > 8:
        return (size - 1) // 8 * 8
    return 4 if size > 4 else size // 2
