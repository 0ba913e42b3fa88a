"""Tasks of one run whose ends are handled one after another, and none of which outlives it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

Ended = Callable[["asyncio.Task[Any]"], None]
"""What follows from a task that ended, however it did."""


class Tasks:
    """Runs coroutines at the same time and handles their ends in order, one at a time."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._ended: deque[tuple[asyncio.Task[Any], Ended]] = deque()
        self._some = asyncio.Event()

    def start(self, work: Coroutine[Any, Any, Any], then: Ended) -> asyncio.Task[Any]:
        """Start a coroutine; ``then`` is called by ``handle`` after it ended."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)

        def end(task: asyncio.Task[Any]) -> None:
            self._running.discard(task)
            self._ended.append((task, then))
            self._some.set()

        task.add_done_callback(end)
        return task

    async def wait(self) -> None:
        """Wait until a task has ended that was not handled."""
        await self._some.wait()

    def handle(self) -> None:
        """Do what follows from the task that ended first; nothing where none did."""
        if self._ended:
            task, then = self._ended.popleft()
            then(task)
        if not self._ended:
            self._some.clear()

    def handle_all(self) -> None:
        """Do what follows from all tasks that ended; raises what is raised first, in the end."""
        first: BaseException | None = None
        while self._ended:
            try:
                self.handle()
            except BaseException as error:  # noqa: BLE001 - raised below
                first = first or error
        if first is not None:
            raise first

    @property
    def unhandled(self) -> bool:
        """Whether a task has ended that was not handled."""
        return bool(self._ended)

    async def close(self) -> None:
        """Cancel all tasks and wait until they have ended, whatever happens meanwhile."""
        for task in self._running:
            if not task.cancelling():  # a second time would break off its own clearing up
                task.cancel()
        interrupted: asyncio.CancelledError | None = None
        while self._running:
            try:
                await asyncio.wait(self._running)
            except asyncio.CancelledError as error:
                interrupted = error  # those who cancel us want the tasks ended all the more
        if interrupted is not None:
            raise interrupted
