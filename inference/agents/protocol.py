"""What a planner asks of agents: one call, one proposed action.

An approximation agent A and a target agent T are both an ``Agent``; they differ in price, speed
and judgement alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Usage:
    """Tokens of calls, as providers charge for them.

    Attributes:
        prompt: prompt tokens, the cached ones among them.
        cached: prompt tokens that were read from a cache.
        completion: tokens generated.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def add(self, other: Usage) -> None:
        """Add another's tokens to these."""
        self.prompt += other.prompt
        self.cached += other.cached
        self.completion += other.completion


@dataclass(slots=True)
class Call:
    """One call of an agent, kept up to date by the agent while it runs.

    A call that is cancelled is charged for what its usage says at that moment, so an agent that
    streams counts tokens as they come.

    Attributes:
        usage: tokens so far.
        retries: attempts that failed before the present one.
        first: seconds from its start to the first token; NaN before.
    """

    usage: Usage = field(default_factory=Usage)
    retries: int = 0
    first: float = math.nan


@dataclass(frozen=True, slots=True)
class Action:
    """A call of one tool.

    Attributes:
        tool: its name.
        arguments: JSON values by name.
    """

    tool: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        """Return it as one line of text: the tool's name, a space, a JSON object."""
        return f"{self.tool} {json.dumps(dict(self.arguments), ensure_ascii=False)}"


class ActionError(ValueError):
    """An action that cannot be understood, with what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one call of an agent gave.

    Attributes:
        action: what it wants done.
        thought: what it wrote before that.
        logprob: mean natural log-probability of the action's tokens; NaN where not known.
    """

    action: Action
    thought: str = ""
    logprob: float = math.nan


@dataclass(frozen=True, slots=True)
class Step:
    """A turn together with what its action was answered."""

    turn: Turn
    observation: str

    @property
    def thought(self) -> str:
        """What was written before the action."""
        return self.turn.thought

    @property
    def action(self) -> Action:
        """What was done."""
        return self.turn.action


class Agent(Protocol):
    """Anything that says what to do next."""

    @property
    def model(self) -> str:
        """Name of the model behind it, by which its tokens are priced."""
        ...

    async def act(self, task: Any, steps: Sequence[Step], call: Call) -> Turn:
        """Say what to do after the steps so far.

        May be cancelled at any time; whatever serves the call is told then.

        Args:
            task: what is to be done, as the user gave it.
            steps: those before, oldest first; perhaps not all of them settled.
            call: to be kept up to date.

        Raises:
            AgentError: whatever went wrong, with what would be right.
        """
        ...


class AgentError(RuntimeError):
    """An agent's call that failed, or gave nothing that can be used."""
