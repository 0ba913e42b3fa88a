"""How a task and its steps become a request, and how what is answered becomes a turn.

The outcome of a plan is the target agent's own only if what it is asked does not depend on who
proposed a step. A step that has run ahead has no thought of the target agent, so thoughts of
earlier steps are left out unless they are asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from . import world
from .environment import Tool
from .function_tools import tools as as_tools
from .matching import normalised
from .protocol import Action, ActionError, AgentError, Step, Turn
from .reply import Reply

SYSTEM: Final = "Solve the task with tools, one call at a time."
"""What an agent is told first."""

_ACTION: Final = re.compile(r"^Action: ", re.MULTILINE)


class Style(Protocol):
    """A way to ask for a turn and to read it."""

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """The fields of a request that say what is asked.

        Args:
            task: what is to be done, as the user gave it.
            steps: those before, oldest first.

        Returns:
            With ``messages`` a chat is asked for, with ``prompt`` a plain completion.

        Raises:
            AgentError: if the task or a step is none that this style can write.
        """
        ...

    def read(self, reply: Reply) -> Turn:
        """The turn in an answer.

        Raises:
            AgentError: if there is none, with what would be right.
        """
        ...


class TextStyle:
    """The text styles of the tool world, in which the embedded models were trained.

    Its tasks are the tool world's. Two agents agree on what a step looks like only to the letter:
    use it with ``exact`` matching.

    Args:
        form: ``thought`` for a target agent, ``act`` for an approximation agent.
        plain: whether to ask for plain completions, with the chat written out; else for a chat.
        thoughts: whether thoughts of earlier steps are shown, as in training. What the target
            agent does then depends on how far a plan ran ahead.
    """

    def __init__(self, form: world.Style, *, plain: bool = False, thoughts: bool = False) -> None:
        if form not in world.STYLES:
            raise ValueError(f"the form must be one of {', '.join(world.STYLES)}, got {form!r}")
        self._form = form
        self._plain = plain
        self._thoughts = thoughts

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """See ``Style.request``."""
        if not isinstance(task, world.Task):
            raise AgentError(f"this style takes tasks of the tool world, got {task!r:.80}")
        shown = steps if self._thoughts else [_thoughtless(step) for step in steps]
        if self._plain:
            return {"prompt": world.prompt(task, shown, self._form)}
        return {"messages": world.messages(task, shown, self._form)}

    def read(self, reply: Reply) -> Turn:
        """See ``Style.read``."""
        try:
            thought, action = world.parse(reply.text, self._form)
        except ActionError as error:
            raise AgentError(str(error)) from error
        line = _ACTION.search(reply.text.lstrip())
        assert line is not None, "it was parsed"
        begin = line.end() + len(reply.text) - len(reply.text.lstrip())
        return Turn(action, thought, reply.logprob(begin))


class ToolCalls:
    """OpenAI's tool calling: tools as JSON schemas, one tool call per turn.

    Arguments of earlier steps are written in the form in which ``normalised`` matching compares
    them, so that two agents whose actions match are shown the same.

    Args:
        tools: that may be called: functions declared ``pure`` or ``effectful``, or tools;
            ``finish(answer)`` is added where none of them ends a task.
        system: what the agent is told first; "" for nothing.
        answer: tool that an answer without any call counts as a call of, with the text as its one
            argument; None refuses such answers, and has the endpoint insist on a call.
        thoughts: whether text that came with the calls of earlier steps is shown. What the target
            agent does then depends on how far a plan ran ahead.

    Raises:
        TypeError: if a function is none that can be a tool.
        ValueError: if ``answer`` is no tool, or one that does not take just one argument.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any] | Tool],
        *,
        system: str = SYSTEM,
        answer: str | None = "finish",
        thoughts: bool = False,
    ) -> None:
        by_name = {tool.name: tool for tool in as_tools(tools)}
        self._system = system
        self._thoughts = thoughts
        self._answer = _answer(by_name, answer) if answer is not None else None
        self._asked = {
            "tools": [_described(tool) for tool in by_name.values()],
            "tool_choice": "required" if answer is None else "auto",
            "parallel_tool_calls": False,
        }

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """See ``Style.request``; of a task that is no text, its ``goal`` is told, or it as JSON."""
        chat = [{"role": "system", "content": self._system}] if self._system else []
        messages: list[dict[str, Any]] = [*chat, {"role": "user", "content": _text(task)}]
        for number, step in enumerate(steps):
            # Nine letters and digits: some endpoints take no other ids.
            identity = f"step{number:05d}"
            messages.append(
                {
                    "role": "assistant",
                    "content": (step.thought if self._thoughts else "") or None,
                    "tool_calls": [_written(step.action, identity)],
                }
            )
            message = {"role": "tool", "tool_call_id": identity, "content": step.observation}
            messages.append(message)
        return {"messages": messages, **self._asked}

    def read(self, reply: Reply) -> Turn:
        """See ``Style.read``; of several calls the first counts, it sees what comes of it."""
        if not reply.calls:
            return self._answered(reply)
        call = reply.calls[0]
        if not call.name:
            raise AgentError("a tool call without a name")
        try:
            # Those without arguments often come with none at all.
            arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise AgentError(
                f"the arguments of {call.name} must be a JSON object ({error}), "
                f"got {call.arguments[:80]!r}"
            ) from error
        return Turn(Action(call.name, arguments), reply.text, reply.logprob(len(reply.text)))

    def _answered(self, reply: Reply) -> Turn:
        if self._answer is None or not reply.text.strip():
            raise AgentError(f"expected a call of a tool, got {reply.text[:80]!r}")
        tool, argument = self._answer
        action = Action(tool, {argument: reply.text.strip()})
        return Turn(action, logprob=reply.logprob(0))


def _thoughtless(step: Step) -> Step:
    return replace(step, turn=Turn(step.action, logprob=math.nan))


def _answer(tools: dict[str, Tool], name: str) -> tuple[str, str]:
    """A tool and its one argument."""
    if name not in tools:
        raise ValueError(
            f"answers without a call are taken as calls of {name}, which is none of "
            f"{', '.join(tools)}; `answer` names another, or None"
        )
    arguments = list(tools[name].parameters.get("properties", ()))
    if len(arguments) != 1:
        raise ValueError(f"{name} is to take one argument, the answer; it takes {arguments}")
    return name, arguments[0]


def _described(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.about,
        "parameters": tool.parameters or {"type": "object"},
    }
    return {"type": "function", "function": function}


def _written(action: Action, identity: str) -> dict[str, Any]:
    try:
        arguments = normalised(action).removeprefix(f"{action.tool} ")
    except ActionError as error:
        raise AgentError(str(error)) from error
    function = {"name": action.tool, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function}


def _text(task: Any) -> str:
    text = getattr(task, "goal", task)
    if isinstance(text, str):
        return text
    try:
        return msgspec.json.encode(task).decode()
    except (TypeError, ValueError) as error:
        raise AgentError(f"a task must be text or JSON: {error}") from error
