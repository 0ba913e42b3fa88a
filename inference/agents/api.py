"""Plans for users: one coroutine that runs a task with two agents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ...policies.plan.policy import PlanPolicy
from ...policies.plan.state import PlanState
from ..address import Address
from .budget import Budget
from .costs import ModelPrice
from .environment import Environments, Tool, Tools
from .following import Following, controller_address
from .function_tools import tools as as_tools
from .journal import Watch
from .matching import Matching
from .planner import Planner
from .protocol import Agent
from .terms import Limits
from .trajectory import Trajectory


async def plan(
    task: Any,
    *,
    approximation: Agent,
    target: Agent,
    tools: Environments | Iterable[Callable[..., Any] | Tool],
    speed: float | None = None,
    policy: PlanPolicy | None = None,
    controller: str | None = None,
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
        speed: the knob, in [0, 1]: 0 = cheapest, 1 = fastest. Without one, the controller's
            holds, turned at any time; 0.5 where there is no controller.
        policy: decides how many steps run ahead. Without one, the survival rule does: what it
            learns of a pair of models is kept in this process, and serves all their plans.
        controller: ``tcp://HOST:PORT`` of a running one to follow: its knob, modes, pins, policies
            and snapshots hold, and it learns from every plan; ``flyball status`` shows it. By
            default what the environment variable FLYBALL_CONTROLLER names, unless there is a
            ``policy``; "" for none. The link is closed when the process ends. A controller that
            is not there, or goes, holds up nothing.
        prices: of models, by name, before those that function agents have and those of the price
            table.
        matching: when the approximation agent's action is the target's: ``normalised`` (equal JSON
            values), ``exact``, or a function of both.
        budget: of concurrent calls, shared by all plans that are given the same.
        limits: of steps, seconds and repeated calls.
        watch: told of everything as it happens: the run's number and the event. What it raises is
            logged, and it is told no more of that run.

    Returns:
        The steps, their times, and what every call cost.

    Raises:
        PlanError: the target agent failed too often at a step, or a tool raised; the steps
            committed by then are in its ``trajectory``.
        TypeError: if a function is none that can be a tool, or a price no ``ModelPrice``.
        ValueError: the speed is out of range; a model has no price, with those that have; the
            controller's address is none, or must not be reached without keys; or there is both a
            policy and a controller.
    """
    agents = (approximation, target)
    address = _address(controller, policy)
    planner = Planner(
        approximation,
        target,
        tools if not isinstance(tools, Iterable) else Tools(as_tools(tools)),
        policy or await _decider(agents, address, speed is not None),
        prices or {},
        speed=_SPEED if speed is None else speed,
        matching=matching,
        budget=budget,
        limits=limits,
        describe=lambda one: str(getattr(one, "goal", one)),
        watch=watch,
    )
    return await planner.run(task)


def _address(controller: str | None, policy: PlanPolicy | None) -> Address | None:
    """The controller to follow, if any."""
    if policy is None:
        return controller_address(controller)
    if controller:
        raise ValueError(
            "give a policy or a controller, not both; a controller is told of another policy by "
            "`flyball policy use SPEC --engine NAME`"
        )
    return None


async def _decider(
    agents: tuple[Agent, Agent], address: Address | None, own_speed: bool
) -> PlanPolicy:
    """Who decides for two agents: what is learned in this process, or as a controller orders."""
    approximation, target = (agent.model for agent in agents)
    if address is None:
        return await _learned(approximation, target)
    await asyncio.to_thread(_rule)
    return _following.governor(approximation, target, address, own_speed)


class _Policies(threading.local):
    """What was learned, by models; event loops in other threads learn for themselves."""

    def __init__(self) -> None:
        self.by_models: dict[tuple[str, str], PlanPolicy] = {}


_policies = _Policies()
_following = Following()
_SPEED: Final = 0.5


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
