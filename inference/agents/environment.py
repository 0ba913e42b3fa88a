"""What executes actions: tools that only look, which may run ahead, and tools that change things.

A pure tool's answer depends on its arguments and on the effects before it alone, so it can be
asked for a step that may never come to pass. An effectful one waits until its step is settled.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .protocol import Action, ActionError

Answer = str | Awaitable[str]
"""An observation, or what gives it in time."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What executing an action means.

    Attributes:
        effectful: whether it has side effects.
        final: whether the task ends with it.
    """

    effectful: bool = False
    final: bool = False


class Environment(Protocol):
    """Where the actions of one run are executed."""

    def check(self, action: Action) -> Nature:
        """Say what an action is, without executing it.

        Raises:
            ActionError: no such tool, or not its arguments; with what would be right.
        """
        ...

    def execute(self, action: Action) -> Answer:
        """Execute an action that was checked, and say what is observed.

        Trouble that an agent can do something about is an observation, too. An exception ends
        the run, as does an answer that is no text.
        """
        ...


class Environments(Protocol):
    """Where actions are executed, for any task."""

    def open(self, task: Any) -> Environment:
        """Return what executes the actions of one run of the task."""
        ...


@dataclass(frozen=True)
class Tool:
    """A function that agents can call.

    Attributes:
        name: what an action calls it.
        run: takes the arguments by name; gives the observation, now or (``async``) in time. It
            runs in the event loop: a slow one should be ``async``.
        effectful: whether it has side effects; such a one never runs before its step is settled.
        final: whether the task ends with it.
        check: raises ``ActionError`` unless the arguments are right; without one, they are if
            the function's signature takes them.
        about: for agents, what it does.
        parameters: for agents, the JSON schema of its arguments; empty where there is none.
    """

    name: str
    run: Callable[..., Answer]
    effectful: bool = False
    final: bool = False
    check: Callable[[Mapping[str, Any]], None] | None = None
    about: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def verify(self, arguments: Mapping[str, Any]) -> None:
        """Raise ``ActionError`` unless these are arguments of this tool."""
        if self.check is not None:
            self.check(arguments)
            return
        signature = inspect.signature(self.run)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ActionError(f"{self.name} takes {signature}: {error}") from error


class Tools:
    """An environment, the same for all tasks, of tools that keep no state by task.

    Args:
        tools: all of them.

    Raises:
        ValueError: two have the same name.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self.tools:
                raise ValueError(f"two tools are called {tool.name}")
            self.tools[tool.name] = tool

    def open(self, task: Any) -> Tools:  # noqa: ARG002 - the same for all
        """Return itself; see ``Environments``."""
        return self

    def check(self, action: Action) -> Nature:
        """See ``Environment``."""
        tool = self.tools.get(action.tool)
        if tool is None:
            raise ActionError(f"no tool {action.tool}; there are {', '.join(sorted(self.tools))}")
        tool.verify(action.arguments)
        return Nature(tool.effectful, tool.final)

    def execute(self, action: Action) -> Answer:
        """See ``Environment``."""
        return self.tools[action.tool].run(**action.arguments)
