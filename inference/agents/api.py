"""Plans for users: one coroutine that runs a task with two agents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...policies.plan.policy import PlanPolicy
from ...policies.plan.state import PlanState
from .budget import Budget
from .costs import ModelPrice
from .environment import Environments, Tool, Tools
from .function import FunctionAgent
from .function_tools import tools as as_tools
from .journal import Watch
from .matching import Matching
from .planner import Planner
from .prices import price_of
from .protocol import Agent
from .terms import Limits
from .trajectory import Trajectory


async def plan(
    task: Any,
    *,
    approximation: Agent,
    target: Agent,
    tools: Environments | Iterable[Callable[..., Any] | Tool],
    speed: float = 0.5,
    policy: PlanPolicy | None = None,
    prices: Mapping[str, ModelPrice] | None = None,
    matching: Matching = "normalised",
    budget: Budget | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
) -> Trajectory:
    """Do a task: a cheap agent runs ahead, the target agent settles every step.

    Runs inside any asyncio program; many plans may run at a time, and one that is cancelled leaves
    no call running. What is done is what the target agent alone would do at temperature 0; see
    ``Planner`` for what that takes. A planner that is kept (``Planner``) does the same, and its
    speed can be turned while it runs.

    ::

        import asyncio
        import flyball


        @flyball.pure
        def population(city: str) -> int:
            "Inhabitants of a city."
            return {"Oslo": 717_710, "Bergen": 291_940}[city]


        async def main():
            async with flyball.Endpoint(
                "https://api.openai.com/v1", key_variable="OPENAI_API_KEY"
            ) as openai:
                style = flyball.ToolCalls([population])
                done = await flyball.plan(
                    "How many people live in Oslo and Bergen together?",
                    approximation=flyball.OpenAIAgent("gpt-4.1-nano", openai, style),
                    target=flyball.OpenAIAgent("gpt-4.1", openai, style),
                    tools=[population],
                    speed=0.8,
                )
            print(done.steps[-1].observation, done.seconds, done.ledger.dollars)


        asyncio.run(main())

    Args:
        task: what is to be done; text, or what the agents understand.
        approximation: the cheap agent, which proposes steps ahead.
        target: the agent whose word counts.
        tools: functions declared ``pure`` or ``effectful``; ``finish(answer)`` is added where none
            of them is declared ``final``. Or whatever else executes actions.
        speed: the knob, in [0, 1]: 0 = cheapest, 1 = fastest.
        policy: decides how many steps run ahead. Without one, the survival rule does: what it
            learns of a pair of models is kept in this process, and serves all their plans.
        prices: of models, by name, before those of the price table.
        matching: when the approximation agent's action is the target's: ``normalised`` (equal JSON
            values), ``exact``, or a function of both.
        budget: of concurrent calls, shared by all plans that are given the same.
        limits: of steps, seconds and repeated calls.
        watch: told of everything as it happens: the run's number and the event.

    Returns:
        The steps, their times, and what every call cost.

    Raises:
        PlanError: the target agent failed too often at a step, or a tool raised; the steps
            committed by then are in its ``trajectory``.
        TypeError: if a function is none that can be a tool.
        ValueError: the speed is out of range; or a model has no price, with those that have.
    """
    agents = (approximation, target)
    planner = Planner(
        approximation,
        target,
        tools if not isinstance(tools, Iterable) else Tools(as_tools(tools)),
        policy or await _learned(approximation.model, target.model),
        {agent.model: _price(agent, prices) for agent in agents},
        speed=speed,
        matching=matching,
        budget=budget,
        limits=limits,
        describe=lambda one: str(getattr(one, "goal", one)),
        watch=watch,
    )
    return await planner.run(task)


def _price(agent: Agent, prices: Mapping[str, ModelPrice] | None) -> ModelPrice:
    """The price of an agent's model: as given, as the agent has it, or as the table does."""
    own = agent.price if isinstance(agent, FunctionAgent) else None
    if own is not None and agent.model not in (prices or {}):
        return own
    return price_of(agent.model, prices)


class _Policies(threading.local):
    """What was learned, by models; event loops in other threads learn for themselves."""

    def __init__(self) -> None:
        self.by_models: dict[tuple[str, str], PlanPolicy] = {}


_policies = _Policies()


async def _learned(approximation: str, target: str) -> PlanPolicy:
    """The survival rule with what it has learned of two models."""
    models = approximation, target
    if models not in _policies.by_models:
        policy = await asyncio.to_thread(_rule)
        _policies.by_models.setdefault(models, policy)
    return _policies.by_models[models]


def _rule() -> PlanPolicy:
    """The survival rule, ready: compiling it for the first time would hold up an event loop."""
    from ...policies.plan.rule import Survival

    Survival().decide(PlanState(""))
    return Survival()
