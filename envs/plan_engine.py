"""What runs plans in ``flyball/Plan-v0``: recorded tasks, generated ones, or live agents."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..inference.agents.planner import Planner
from ..inference.agents.protocol import Usage
from ..inference.agents.replay.clock import run_virtual
from ..inference.agents.replay.generator import PlanGenerator
from ..inference.agents.replay.recorded import RecordedTask
from ..inference.agents.replay.run import GPT_4_1_MINI, recorded_planner
from ..inference.agents.replay.trace import read_plan_trace, recorded_tasks
from ..policies.plan.policy import PlanPolicy
from .stepping import Loop

_STREAM: Final = 1000  # generated tasks at a time


@dataclass(frozen=True, kw_only=True)
class LiveAgents:
    """Live agents, handed in.

    Attributes:
        planner: makes the planner that is to ask a policy.
        tasks: to be done in turn, again and again.
        step_seconds: of a step by the target agent alone, mean.
        step_dollars: the same, dollars.
    """

    planner: Callable[[PlanPolicy], Planner]
    tasks: Sequence[Any]
    step_seconds: float
    step_dollars: float

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("live agents need at least one task")
        if not (self.step_seconds > 0 and self.step_dollars > 0):
            raise ValueError("step_seconds and step_dollars must be above 0")


@dataclass(frozen=True)
class PlanEngine:
    """Where plans are run.

    Attributes:
        planner: makes one that asks a policy.
        tasks: the stream of a seed.
        loop: runs coroutines.
        step_seconds: of a step by the target agent alone, mean.
        step_dollars: the same, dollars.
    """

    planner: Callable[[PlanPolicy], Planner]
    tasks: Callable[[int], Iterator[Any]]
    loop: Loop
    step_seconds: float
    step_dollars: float


def plan_engine(
    engine: str | LiveAgents = "generator", trace: Path | str | None = None
) -> PlanEngine:
    """The engine of an environment.

    Args:
        engine: ``generator``, ``replay`` (of a trace), or live agents.
        trace: planning trace, for ``replay``.

    Raises:
        ValueError: if they make no sense.
        PlanTraceError, OSError: if the trace cannot be read.
    """
    if isinstance(engine, LiveAgents):
        live = engine
        return PlanEngine(
            live.planner,
            lambda _: itertools.cycle(live.tasks),
            asyncio.run,
            live.step_seconds,
            live.step_dollars,
        )
    if engine not in {"generator", "replay"}:
        raise ValueError(f"engine must be generator, replay or LiveAgents, not {engine!r}")
    if (engine == "replay") != (trace is not None):
        raise ValueError("a trace is needed by engine='replay', and by no other")
    if trace is None:
        return _recorded(_generated, PlanGenerator().tasks(_STREAM, 0))
    tasks = recorded_tasks(read_plan_trace(Path(trace)))
    return _recorded(lambda seed: _shuffled(tasks, seed), tasks)


def _recorded(
    stream: Callable[[int], Iterator[RecordedTask]], tasks: Sequence[RecordedTask]
) -> PlanEngine:
    turns = [step.target for task in tasks for step in task.steps]
    dollars = [GPT_4_1_MINI.dollars(Usage(sum(t.prompts), 0, sum(t.completions))) for t in turns]
    return PlanEngine(
        recorded_planner,
        stream,
        run_virtual,
        float(np.mean([turn.seconds for turn in turns])),
        float(np.mean(dollars)),
    )


def _generated(seed: int) -> Iterator[RecordedTask]:
    for i in itertools.count():
        yield from PlanGenerator().tasks(_STREAM, seed + i)


def _shuffled(tasks: Sequence[RecordedTask], seed: int) -> Iterator[RecordedTask]:
    rng = np.random.default_rng(seed)
    while True:
        yield from (tasks[i] for i in rng.permutation(len(tasks)))
