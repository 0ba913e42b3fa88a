"""Executing the actions of a run: each once per step, ahead of its verification where it may."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from .environment import Environment
from .tasks import Tasks
from .window import Execution, Unsettled, Wish


class Executor:
    """Executes actions in the environment of one run.

    Args:
        environment: where.
        tasks: runs what takes time.
        answered: told of a step one of whose actions was executed, unless at once.
    """

    def __init__(
        self, environment: Environment, tasks: Tasks, answered: Callable[[Unsettled], None]
    ) -> None:
        self._environment = environment
        self._tasks = tasks
        self._answered = answered

    def execute(self, step: Unsettled, wish: Wish) -> Execution:
        """Execute an action of a step, or return what was executed of it before.

        The answer, or what is raised, may be there at once or come later.
        """
        execution = step.executions.get(wish.written.identity)
        if execution is not None:
            return execution
        execution = step.executions[wish.written.identity] = Execution()
        try:
            answer = self._environment.execute(wish.action)
        except Exception as error:  # noqa: BLE001 - a tool is the user's, and may raise anything
            execution.error = error
            return execution
        if not inspect.isawaitable(answer):
            _take(execution, answer)
        else:
            # A coroutine itself: one that only waits for it would leave it behind when cancelled.
            work = answer if inspect.iscoroutine(answer) else _wait_for(answer)
            execution.task = self._tasks.start(work, lambda task: self._end(step, execution, task))
        return execution

    def forget(self, step: Unsettled, wish: Wish | None = None) -> None:
        """End all executions of a step, or all but one action's."""
        for identity, execution in step.executions.items():
            if execution.task is not None and (wish is None or identity != wish.written.identity):
                execution.task.cancel()

    def _end(self, step: Unsettled, execution: Execution, task: asyncio.Task[str]) -> None:
        if task.cancelled():
            execution.error = RuntimeError("the tool's task was cancelled")
        elif (error := task.exception()) is not None:
            execution.error = error
        else:
            _take(execution, task.result())
        self._answered(step)


def _take(execution: Execution, answer: Any) -> None:
    """Take what a tool gave; it is the user's, and may give anything."""
    if isinstance(answer, str):
        execution.observation = answer
    else:
        execution.error = TypeError(f"a tool must give text, got {type(answer).__name__}")


async def _wait_for(answer: Awaitable[str]) -> str:
    return await answer
