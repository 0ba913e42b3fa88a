"""A plain Python function as an agent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .costs import ModelPrice
from .protocol import Action, AgentError, Call, Step, Turn

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionAgent:
    """An ``Agent`` that asks a function: ``function(task, steps)`` gives an action or a turn.

    One that calls a model itself takes the ``Call`` as a third argument and counts tokens there. An
    ``async`` function is cancelled with its call. Any other runs in a thread of this agent's own,
    which cannot be stopped: what it gives after its call is cancelled is dropped.

    Args:
        function: ``(task, steps)`` or ``(task, steps, call)`` to ``Action`` or ``Turn``.
        model: name of the model behind it, by which its tokens are priced; the function's own where
            there is none.
        price: of its tokens; without one and without a model it costs nothing.
        threads: calls of a function that is not ``async`` that may run at a time.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        model: str | None = None,
        price: ModelPrice | None = None,
        threads: int = 32,
    ) -> None:
        self._function = function
        self._name = str(getattr(function, "__name__", type(function).__name__))
        self._model = model or self._name
        self.price = price or (None if model else ModelPrice(0.0, 0.0, 0.0))
        self._counts = _takes_call(function, self._name)
        self._asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - of an object, not whether it has one
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=self._name)

    @property
    def model(self) -> str:
        """Name of the model behind it."""
        return self._model

    async def act(self, task: Any, steps: Sequence[Step], call: Call) -> Turn:
        """Ask the function; see ``Agent.act``."""
        arguments = (task, steps, call) if self._counts else (task, steps)
        try:
            if self._asynchronous:
                result = await self._function(*arguments)
            else:
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._threads, self._function, *arguments)
        except AgentError:
            raise
        except Exception as error:  # anything may go wrong in there: it is the user's
            raise AgentError(f"{self._name} raised {type(error).__name__}: {error}") from error
        if isinstance(result, Action):
            return Turn(result)
        if not isinstance(result, Turn):
            raise AgentError(f"{self._name} must give an Action or a Turn, gave {result!r:.80}")
        return result


def _takes_call(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes three arguments; refuses one that takes neither two nor three."""
    parameters = list(inspect.signature(function).parameters.values())
    needed = [
        each for each in parameters if each.kind in _POSITIONAL and each.default is each.empty
    ]
    if any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in parameters):
        raise TypeError(f"{name} must take (task, steps) or (task, steps, call) and no more")
    if len(needed) not in {2, 3}:
        raise TypeError(
            f"{name} must take (task, steps) or (task, steps, call), it takes "
            f"{inspect.signature(function)}"
        )
    return len(needed) == 3
