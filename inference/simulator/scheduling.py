"""Continuous batching as vLLM does it, compiled: chunked prompts, KV blocks, preemption.

``order`` lists an engine's slots: those running, in the order of their admission; then free ones;
at the end those preempted, the next to resume foremost. Preempted requests go before all that
wait, so the two together never outnumber the slots.
"""

from __future__ import annotations

from typing import Final

from ...policies.admission import is_patient
from .arrivals import set_acceptance
from .compiling import ACCEPTANCE, compiled, draw_key
from .settings import PLANNERS
from .state import Record, Records, World
from .traces import Integers

FLYBALL: Final = PLANNERS.index("flyball")


@compiled
def schedule(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    waiting: Records,
    totals: Record,
) -> None:
    """Give requests their tokens of the next step: first those running, then those that wait."""
    p = world.parameters[0]
    budget = p.max_num_batched_tokens
    prompts = engine.prompt_tokens if p.planner == FLYBALL else budget
    preemptions = totals.preemptions
    i = 0
    while i < engine.running:
        request = requests[order[i]]
        decodes = request.computed >= request.goal
        tokens = min(_wanted(request), budget if decodes else min(budget, prompts))
        if _grow(engine, p, request, tokens):
            request.tokens = tokens
            budget -= tokens
            prompts -= 0 if decodes else tokens
            i += 1
        else:
            # The one admitted last makes room, be it this one.
            _preempt(engine, requests, order)
            totals.preemptions += 1
    budget = min(budget, prompts)
    while totals.preemptions == preemptions and budget > 0 and engine.running < p.max_num_seqs:
        tokens = _admit(world, engine, requests, order, waiting, budget)
        if tokens == 0:
            break
        budget -= tokens
    _tally(engine, p, requests, order)


@compiled
def _wanted(request: Record) -> int:
    """Tokens a request can use: what is left of its prompt, or its last token and its drafts."""
    if request.computed < request.goal:
        return int(request.goal - request.computed)
    return int(1 + request.drafts)


@compiled
def _grow(engine: Record, p: Record, request: Record, tokens: int) -> bool:
    """Give a request the blocks for so many more tokens, if there are as many."""
    blocks = (request.computed + tokens + p.block_size - 1) // p.block_size
    more = blocks - request.blocks
    if more > engine.free_blocks:
        return False
    if more > 0:
        engine.free_blocks -= more
        request.blocks = blocks
    return True


@compiled
def release(engine: Record, request: Record) -> None:
    """Take a request's blocks."""
    engine.free_blocks += request.blocks
    request.blocks = 0


@compiled
def _preempt(engine: Record, requests: Records, order: Integers) -> None:
    """Stop the request admitted last; what it has computed will be computed anew."""
    engine.running -= 1
    engine.preempted += 1
    _swap(order, engine.running, len(order) - engine.preempted)
    request = requests[order[len(order) - engine.preempted]]
    release(engine, request)
    request.goal = request.prompt + request.emitted
    request.computed = 0
    request.drafts = 0


@compiled
def _swap(order: Integers, i: int, j: int) -> None:
    order[i], order[j] = order[j], order[i]


@compiled
def _admit(
    world: World,
    engine: Record,
    requests: Records,
    order: Integers,
    waiting: Records,
    budget: int,
) -> int:
    """Admit whoever is next: the tokens it got, 0 if there is nobody or no room."""
    p = world.parameters[0]
    if engine.preempted:
        place = len(order) - engine.preempted
        request = requests[order[place]]
        tokens = min(_wanted(request), budget)
        if not _grow(engine, p, request, tokens):
            return 0
        engine.preempted -= 1
        _swap(order, engine.running, place)
    else:
        if engine.queued == 0:
            return 0
        one = waiting[engine.head]
        tokens = min(one.prompt, budget)
        if (tokens + p.block_size - 1) // p.block_size > engine.free_blocks:
            return 0
        request = requests[order[engine.running]]
        _seat(world, engine, request, one)
        _grow(engine, p, request, tokens)
        engine.head = (engine.head + 1) % len(waiting)
        engine.queued -= 1
        patient = is_patient(one.arrival, engine.clock)
        engine.admissions = 0 if patient else engine.admissions + 1
    request.tokens = tokens
    engine.running += 1
    return int(tokens)


@compiled
def _seat(world: World, engine: Record, request: Record, one: Record) -> None:
    """Put a request that waited into a slot."""
    kind = world.kinds[one.kind]
    request.key = draw_key(engine.seed, ACCEPTANCE, one.number)
    request.named = kind.slot
    request.slot = max(kind.slot, 0)
    request.slo = one.slo
    request.arrival = one.arrival
    request.first = 0.0
    request.generated = one.generated
    request.emitted = 0
    request.prompt = one.prompt
    request.goal = one.prompt
    request.computed = 0
    request.blocks = 0
    request.drafts = 0
    request.tried = 0.0
    request.accepted = 0.0
    request.expected = 0.0
    request.deviation = 0.0
    request.frailty = 1.0
    request.sensitivity = kind.sensitivity
    set_acceptance(request, kind, one.offset)


@compiled
def _tally(engine: Record, p: Record, requests: Records, order: Integers) -> None:
    """What the step holds: requests that decode, and prompts."""
    engine.decoding = 0
    engine.verified = 0
    engine.prefill = 0
    engine.context = 0
    engine.remaining = 0
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed < request.goal:
            engine.prefill += request.tokens
        elif request.tokens > 0:
            engine.decoding += 1
            engine.verified += request.tokens
            engine.context += request.computed
            most = max(p.max_tokens, request.generated)
            engine.remaining += most + request.prompt - request.computed
