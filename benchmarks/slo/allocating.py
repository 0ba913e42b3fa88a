"""How long it takes to plan a step: what of 64 requests is verified, and what prompts get.

And, where as many wait, in which order they are admitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...inference.requests import RequestState
from ...inference.step_plan import Plan
from ...inference.step_planner import StepPlanner
from ...policies.prices import compute_prices
from ...policies.slo import Slo
from ...policies.step_time import PRIOR
from ...policies.structure import Structure
from ...policies.survival import SurvivalEstimator

_REQUESTS: Final = 64
_PLANS: Final = 5000
_QUEUED_PLANS: Final = 300
_STEP: Final = 0.01  # seconds between plans with a queue, which is not ordered more often than pays
_SLO: Final = Slo(1.0, 0.05, 30.0)


@dataclass
class _Queue:
    """Requests that decode, each with an objective of every kind, and those that wait."""

    decoding: list[RequestState]
    drafted: list[int]
    prefilling: list[RequestState] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    waiting: list[RequestState] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)


def allocate_us(seed: int) -> dict[str, float]:
    """Figures of the microseconds that a plan for 64 requests takes, by the clock and in work."""
    rng = np.random.default_rng(seed)
    queue = _Queue([_state(rng) for _ in range(_REQUESTS)], [5] * _REQUESTS)
    plan = _planned(queue)
    took = []
    for _ in range(_PLANS):
        started, worked = time.perf_counter_ns(), time.thread_time_ns()
        plan()
        worked = time.thread_time_ns() - worked
        took.append((time.perf_counter_ns() - started, worked))
    found = np.percentile(took, (50, 99), axis=0) / 1e3
    figures = {
        f"allocate_{kind}us_p{p}": float(found[i, j])
        for j, kind in enumerate(("", "cpu_"))
        for i, p in enumerate((50, 99))
    }
    return {**figures, "plan_queue_us_p99": _with_a_queue(queue, rng)}


def _with_a_queue(queue: _Queue, rng: np.random.Generator) -> float:
    """The 99th percentile with 64 requests waiting, of which one leaves and one comes each step."""
    plan = _planned(queue)
    took = []
    for step in range(_REQUESTS + _QUEUED_PLANS):
        slo = Slo(float(rng.uniform(0.5, 30.0)), 0.05, 60.0)
        queue.waiting.append(RequestState(None, None, slo))
        queue.prompts.append(int(rng.integers(1, 4000)))
        if step < _REQUESTS:
            continue
        del queue.waiting[0], queue.prompts[0]
        time.sleep(_STEP)
        started = time.perf_counter_ns()
        plan()
        took.append(time.perf_counter_ns() - started)
    return float(np.percentile(took, 99)) / 1e3


def _planned(queue: _Queue) -> Callable[[], Plan]:
    """Plans a queue's next step, by a planner that nothing is known to."""
    planner = StepPlanner(SurvivalEstimator())
    planner.hurried = True
    structure = Structure(6, PRIOR, compute_prices(0.05))
    return lambda: planner.plan(5, queue, structure, 0.5, 400.0, cut=True)


def _state(rng: np.random.Generator) -> RequestState:
    state = RequestState(None, None, _SLO)
    state.slot = int(rng.integers(4))
    state.tried, state.frailty = 5.0, float(rng.uniform(0.3, 2.0))
    state.emit(int(rng.integers(1, 100)), time.perf_counter())
    return state
