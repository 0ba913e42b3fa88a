"""The planner: an approximation agent A runs ahead of a target agent T, which has the last word.

Lossless: what is committed is T's own action at every step, for the steps before it that were
committed. For that to be what T alone would have done, T is told of every step's action and
observation, and not of its own thoughts, which steps that A proposed do not have; and A's action
is taken for T's only where they match (``matching="exact"`` leaves nothing to judgement).

The idea is that of Interactive Speculative Planning (arXiv 2410.00079) and Dynamic Speculative
Planning (arXiv 2509.01920); the rolling window, which decides anew at every output, is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ...policies.plan.policy import PlanPolicy
from ...policies.spaces import check_speed
from .budget import Budget
from .calls import Seat
from .costs import ModelPrice
from .environment import Environments
from .journal import Watch
from .matching import Matcher, Matching
from .prices import price_for
from .protocol import Agent
from .run import Run
from .terms import Limits, Terms
from .trajectory import Trajectory


class Planner:
    """Runs tasks, any number at a time.

    Args:
        approximation: A: cheap and quick, proposes steps ahead.
        target: T: settles every step.
        tools: where actions are executed.
        policy: decides how many steps run ahead.
        prices: of the agents' models, by name; those of well-known models are known, and function
            agents may have their own.
        speed: the knob, in [0, 1]; may be turned at any time.
        matching: when A's action is T's.
        budget: concurrent calls allowed, shared by all runs that are given the same; without
            one, no limit.
        limits: what a run and its calls may take.
        describe: writes a task as text, for the policy.
        watch: told of everything as it happens; one that raises is told no more of that run.

    Raises:
        ValueError: the speed is out of range, a model has no price, or no such matching.
        TypeError: a price is no ``ModelPrice``.
    """

    def __init__(
        self,
        approximation: Agent,
        target: Agent,
        tools: Environments,
        policy: PlanPolicy,
        prices: Mapping[str, ModelPrice],
        *,
        speed: float = 0.5,
        matching: Matching = "normalised",
        budget: Budget | None = None,
        limits: Limits | None = None,
        describe: Callable[[Any], str] = str,
        watch: Watch | None = None,
    ) -> None:
        limits = limits or Limits()
        self._terms = Terms(
            proposer=Seat(
                "A",
                approximation,
                price_for(approximation, prices),
                limits.approximation_seconds,
            ),
            verifier=Seat("T", target, price_for(target, prices), limits.target_seconds),
            environments=tools,
            policy=policy,
            matcher=Matcher(matching),
            budget=budget or Budget(math.inf),
            limits=limits,
            describe=describe,
            watch=watch,
            speed=check_speed(speed),
        )

    @property
    def speed(self) -> float:
        """The knob, in [0, 1]; what is set holds from the next decision on."""
        return self._terms.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._terms.speed = check_speed(speed)

    async def run(self, task: Any) -> Trajectory:
        """Do a task.

        When it returns or raises, none of its calls is left running. To be cancelled like any
        coroutine.

        Args:
            task: what the agents are asked to do.

        Returns:
            What was done.

        Raises:
            PlanError: T failed too often at a step, or a tool raised; with the steps committed.
        """
        return await Run(self._terms, task).go()
