"""flyball's plan of one engine step, compiled."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...policies.spaces import MAX_DEPTH
from .compiling import compiled


@compiled
def plan_step(world, engine, requests, order, waiting, estimate):
    p = world.parameters[0]
    need = order_waiting(world, engine, requests, order, waiting)
    allocate(world, engine, requests, order, waiting, estimate, need)


@compiled
def order_waiting(world, engine, requests, order, waiting):
    """Order the queue; the prompt tokens per second that all on time need."""
    x = world.parameters[0].x
    c = world.coefficients
    started = 0.0
    need = 0.0
    now = engine.clock
    for i in range(engine.running):
        request = requests[order[i]]
        if request.computed < request.goal:
            started += request.goal - request.computed
            due = request.arrival + world.slos[request.slo].ttft
            if due == math.inf or due < now:
                due = request.arrival + x[6]
            left = due - now
            if left > 0.02 and request.emitted == 0:
                need = max(need, started / left)
    n = engine.queued
    if n == 0:
        return need
    keys = np.empty(n)
    arr = np.empty(n)
    ring = np.empty(n, waiting.dtype)
    late = np.zeros(n, np.bool_)
    free = np.zeros(n, np.bool_)
    for q in range(n):
        ring[q] = waiting[(engine.head + q) % len(waiting)]
        arr[q] = ring[q].arrival
        keys[q] = ring[q].arrival + world.slos[ring[q].slo].ttft
        if keys[q] == math.inf or keys[q] < now:
            free[q] = True
            keys[q] = ring[q].arrival + x[6]
    by = np.argsort(keys)
    # Moore and Hodgson: in the order of due times; where one is late, the longest so far gives way.
    speed = c[4] * x[4]
    t = now + speed * started
    for k in range(n):
        q = by[k]
        t += speed * ring[q].prompt
        while t > keys[q]:
            worst = -1
            size = -1.0
            for y in range(k + 1):
                r = by[y]
                w = ring[r].prompt + (1e9 if free[r] else 0.0)
                if not late[r] and w > size:
                    worst = r
                    size = w
            late[worst] = True
            t -= speed * ring[worst].prompt
            if worst == q:
                break
    place = 0
    total = started
    oldest = np.argmin(arr)
    first = -1
    if engine.admissions >= x[7] and now - arr[oldest] > x[6]:
        first = oldest
        waiting[engine.head] = ring[first]
        place = 1
    for k in range(n):
        q = by[k]
        if not late[q]:
            total += ring[q].prompt
            left = keys[q] - now
            if left > 0.02:
                need = max(need, total / left)
            if q != first:
                waiting[(engine.head + place) % len(waiting)] = ring[q]
                place += 1
    for q in np.argsort(arr):
        if late[q] and q != first:
            waiting[(engine.head + place) % len(waiting)] = ring[q]
            place += 1
    return need


@compiled
def allocate(world, engine, requests, order, waiting, estimate, pressure):
    p = world.parameters[0]
    c = world.coefficients
    now = engine.clock
    B = 0
    ctx = 0
    n = engine.running
    S = np.empty((n, MAX_DEPTH))
    who = np.empty(n, np.int64)
    for i in range(n):
        request = requests[order[i]]
        if request.computed < request.goal:
            continue
        alive = 1.0
        for j in range(MAX_DEPTH):
            alive *= 1.0 - min(estimate.hazards[request.slot, j] * request.frailty, 1.0)
            S[B, j] = alive
        ctx += request.computed
        who[B] = order[i]
        B += 1
    engine.prompt_tokens = p.max_num_batched_tokens
    if B == 0:
        return
    K = engine.depth
    base = c[0] + c[1] * B + c[5] * ctx
    rate = engine.worth
    A = float(B)
    V = 0
    for b in range(B):
        for k in range(K):
            if S[b, k] < rate * c[3]:
                break
            A += S[b, k]
            V += 1
    rate = A / (base + c[2] * K + c[3] * V)
    engine.worth = rate
    Tdec = base + c[2] * K + c[3] * V
    urgent = 0
    credit = np.empty(B)
    tau = np.empty(B)
    for b in range(B):
        request = requests[who[b]]
        slo = world.slos[request.slo]
        tau[b] = slo.tpot
        credit[b] = math.inf
        if tau[b] < math.inf and request.first - request.arrival <= slo.ttft:
            credit[b] = request.first + tau[b] * (request.emitted - 1) - now
            if credit[b] < -tau[b] * p.x[5]:
                credit[b] = math.inf
            elif credit[b] < p.x[2] * Tdec:
                urgent += 1
    limit = math.inf
    T = Tdec
    K2 = 0
    if urgent:
        for k in range(p.k_max):
            gain = 0.0
            for b in range(B):
                if credit[b] < p.x[2] * Tdec:
                    gain += max(tau[b] * S[b, k] - urgent * c[3], 0.0)
            if gain < p.x[0] * urgent * c[2]:
                break
            K2 = k + 1
    T = base + c[2] * max(K, K2)
    for b in range(B):
        request = requests[who[b]]
        least = rate * c[3]
        if credit[b] < p.x[2] * Tdec:
            least = min(least, p.x[0] * urgent * c[3] / tau[b])
        k = 0
        got = 1.0
        while k < request.drafts and S[b, k] >= least:
            got += S[b, k]
            k += 1
        request.drafts = k
        T += c[3] * k
        if credit[b] < math.inf:
            left = tau[b] * got + (credit[b] if credit[b] > 0 else credit[b] / p.x[1])
            limit = min(limit, left)
    engine.depth = max(K, K2)
    if limit < math.inf:
        prompts = (limit - T) / c[4]
        # tokens that the on-time ones need of a step: share of time f = pressure * c4 <= 1
        f = min(pressure * c[4], 0.9)
        needed = f / (1.0 - f) * T / c[4]
        prompts = max(prompts, needed)
        engine.prompt_tokens = int(min(max(prompts, p.x[3]), p.max_num_batched_tokens))
