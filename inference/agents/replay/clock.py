"""An event loop whose time is virtual: where a live one would sleep, it jumps to the next timer.

Whatever takes its time from the running loop runs on it unchanged, in the order in which it would
run live if computing took no time; the same program gives the same events at the same times.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class StuckError(RuntimeError):
    """Everything waits and no timer is set: in virtual time nothing could ever happen."""


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: tells its loop how long it would have waited."""

    waited = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:  # as asyncio calls it
        if timeout is None:
            raise StuckError(
                "all tasks wait for one another or for something outside the virtual loop; in "
                "virtual time only timers, tasks and futures of the loop itself can be awaited"
            )
        if timeout > 0:
            self.waited += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0 seconds.

    Sockets, subprocesses and threads cannot be awaited on it: they live in real time.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.waited


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time, as ``asyncio.run`` does in real time.

    Raises:
        StuckError: if it can never end.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
