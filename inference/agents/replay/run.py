"""Recorded tasks run by the planner that serves, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Final

from ....policies.plan.policy import PlanPolicy
from ..budget import Budget
from ..costs import ModelPrice
from ..planner import Planner
from ..protocol import Action
from ..trajectory import Trajectory
from .agents import ReplayedApproximation, ReplayedTarget
from .clock import run_virtual
from .environment import RecordedEnvironment
from .foresight import Foresight
from .recorded import RecordedTask

APPROXIMATION: Final = "recorded-approximation"
TARGET: Final = "recorded-target"
"""Names by which the tokens of recorded agents are priced."""

GPT_4_1_MINI: Final = ModelPrice(prompt=0.40, cached=0.10, completion=1.60)
"""Dollars per million tokens, as listed in April 2025."""

PRICES: Final[Mapping[str, ModelPrice]] = {APPROXIMATION: GPT_4_1_MINI, TARGET: GPT_4_1_MINI}
"""Both agents are one model that is prompted differently, as in the trace."""


def replay(
    tasks: Sequence[RecordedTask],
    policy: PlanPolicy,
    *,
    speed: float = 0.5,
    prices: Mapping[str, ModelPrice] = PRICES,
    concurrency: float = math.inf,
    at_once: int = 1,
    foresight: Foresight | None = None,
    whole: bool = False,
    blind: bool = False,
) -> list[Trajectory]:
    """Run tasks, in order, each as soon as there is a place for it.

    Args:
        tasks: what is run.
        policy: decides, and learns from one task to the next.
        speed: the knob, in [0, 1].
        prices: of ``APPROXIMATION`` and ``TARGET``.
        concurrency: calls that may run at a time, of all tasks.
        at_once: tasks that run at a time.
        foresight: what an oracle that decides asks.
        whole: whether cancelled calls are charged in full; see ``ReplayedTarget``.
        blind: whether plans run on after A's own ``TERMINATE``; see ``RecordedEnvironment``.

    Returns:
        What became of each, in the order of the tasks.

    Raises:
        ValueError: if an argument makes no sense.
    """
    if at_once < 1:
        raise ValueError(f"at least 1 task must run at a time, not {at_once}")
    planner = recorded_planner(
        policy,
        speed=speed,
        prices=prices,
        budget=Budget(concurrency),
        whole=whole,
        blind=blind,
    )
    return run_virtual(_replay(planner, tasks, at_once, foresight))


async def _replay(
    planner: Planner, tasks: Sequence[RecordedTask], at_once: int, foresight: Foresight | None
) -> list[Trajectory]:
    waiting = iter(enumerate(tasks))
    found: dict[int, Trajectory] = {}

    async def work() -> None:
        for number, task in waiting:
            if foresight is not None:
                foresight.start(task)
            found[number] = await planner.run(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(tasks))):
                group.create_task(work())
    except BaseExceptionGroup as errors:  # the others were cancelled because of the first
        raise errors.exceptions[0] from None
    return [found[number] for number in range(len(tasks))]


def recorded_planner(
    policy: PlanPolicy,
    *,
    speed: float = 0.5,
    prices: Mapping[str, ModelPrice] = PRICES,
    budget: Budget | None = None,
    whole: bool = False,
    blind: bool = False,
) -> Planner:
    """A planner of recorded tasks; for an event loop of any time."""
    return Planner(
        ReplayedApproximation(APPROXIMATION, whole, blind),
        ReplayedTarget(TARGET, whole, blind),
        RecordedEnvironment(blind),
        policy,
        prices,
        speed=speed,
        matching=_same_tool,
        budget=budget,
    )


def _same_tool(proposed: Action, wanted: Action) -> bool:
    """Recorded actions are names of tools; what a blind replay adds does not count."""
    return proposed.tool == wanted.tool
