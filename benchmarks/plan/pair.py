"""A target agent and an approximation agent of the tool world, each served by its own engine.

The target agent writes a thought, then an action; the approximation agent an action alone. Both
decode greedily in float32, so that a request's answer does not depend on those served with it. On
a machine with two cores or more, each engine's model runs on cores of its own: two engines that
share cores wait for each other's threads.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ...inference.agents.costs import ModelPrice
from ...inference.agents.endpoint import Endpoint
from ...inference.agents.journal import Watch
from ...inference.agents.openai import OpenAIAgent
from ...inference.agents.planner import Planner
from ...inference.agents.terms import Limits
from ...inference.agents.world import Task
from ...inference.agents.world_environment import WorldEnvironments
from ...inference.agents.world_styles import MentionStyle, RecallStyle
from ...inference.models.family import parameters
from ...inference.vllm.server import EngineProcess
from ...policies.plan.policy import PlanPolicy
from ..engines import Models, free_ports, running

TARGET_PRICE: Final = ModelPrice(1.0, 0.25, 4.0)
"""Of the target model, in dollars per million tokens; the draft model's is in the ratio of their
parameters."""

LIMITS: Final = Limits(steps=12, retries=0)
"""Greedy decoding gives the same answer again: there is no use in asking twice."""

_TOKENS: Final = {"thought": 200, "act": 96}  # of an answer
_REQUESTS: Final = 16  # that an engine runs at a time
_BLOCK: Final = 32  # tokens that are cached together; vLLM's kernels for CPUs take multiples


@dataclass(frozen=True)
class AgentPair:
    """Two served agents.

    Attributes:
        target: engine of the target model.
        draft: engine of the draft model.
    """

    target: EngineProcess
    draft: EngineProcess
    prices: Mapping[str, ModelPrice] = field(default_factory=dict)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connected]:
        """Connections to both, for the event loop that runs."""
        target, draft = (Endpoint(f"{engine.url}/v1") for engine in (self.target, self.draft))
        async with target, draft:
            yield Connected(self, target, draft)


@dataclass(frozen=True)
class Connected:
    """Two served agents, with connections to them.

    Attributes:
        pair: the agents.
        target: endpoint of the target agent.
        draft: endpoint of the approximation agent.
    """

    pair: AgentPair
    target: Endpoint
    draft: Endpoint

    def planner(
        self, policy: PlanPolicy, speed: float = 0.5, salt: str = "", watch: Watch | None = None
    ) -> Planner:
        """A planner of both.

        Args:
            policy: decides how many steps run ahead.
            speed: the knob.
            salt: prompts are cached among planners of the same salt alone, which vLLM wants to
                have no @, slash or backslash; "" for all without one.
            watch: told of everything as it happens.
        """
        fields = {"cache_salt": salt} if salt else {}
        return Planner(
            OpenAIAgent(
                self.pair.draft.model,
                self.draft,
                MentionStyle(),
                max_tokens=_TOKENS["act"],
                fields=fields,
            ),
            OpenAIAgent(
                self.pair.target.model,
                self.target,
                RecallStyle(),
                max_tokens=_TOKENS["thought"],
                logprobs=False,
                fields=fields,
            ),
            WorldEnvironments(),
            policy,
            self.pair.prices,
            speed=speed,
            matching="exact",
            limits=LIMITS,
            describe=goal,
            watch=watch,
        )


def goal(task: Task) -> str:
    """A task as text."""
    return task.goal


def agent_pair(
    found: Models, folder: Path, cores: frozenset[int] | None = None, extra: Sequence[str] = ()
) -> AgentPair:
    """Engines of both models, not started.

    Args:
        found: target and draft.
        folder: for their logs.
        cores: processors for both; by default all that this process may use.
        extra: further arguments to vLLM.
    """
    port = free_ports(2)
    for_target, for_draft = split(cores or frozenset(os.sched_getaffinity(0)))
    engines = [
        EngineProcess(
            model,
            None,
            port + i,
            scheduler=None,
            cores=its_cores,
            dtype="float32",
            max_requests=_REQUESTS,
            extra=["--block-size", str(_BLOCK), "--enable-prompt-tokens-details", *extra],
            log=folder / f"{name}.log",
        )
        for i, (name, model, its_cores) in enumerate(
            (("target", found.target, for_target), ("draft", found.draft, for_draft))
        )
    ]
    target, draft = engines
    return AgentPair(target, draft, prices_of(found, engines))


@contextmanager
def served(pair: AgentPair, seconds: float = 600.0) -> Iterator[AgentPair]:
    """Start both engines at the same time, wait for them, and stop them whatever happens.

    Raises:
        EngineError: if one of them does not start.
    """
    with running([pair.target, pair.draft], seconds):
        yield pair


def split(cores: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Processors for the target's model and for the draft's: the draft needs one.

    Both get the only one where there is but one.
    """
    ordered = sorted(cores)
    if len(ordered) == 1:
        return cores, cores
    return frozenset(ordered[:-1]), frozenset(ordered[-1:])


def prices_of(found: Models, engines: Sequence[EngineProcess]) -> dict[str, ModelPrice]:
    """Prices by model: the draft's in the ratio of parameters.

    Raises:
        ValueError: a folder has no weights, or both models have the same name.
    """
    target, draft = (engine.model for engine in engines)
    if target == draft:
        raise ValueError(f"both models are called {target}; rename one's folder")
    ratio = parameters(found.draft) / parameters(found.target)
    price = TARGET_PRICE
    cheap = ModelPrice(ratio * price.prompt, ratio * price.cached, ratio * price.completion)
    return {target: price, draft: cheap}
