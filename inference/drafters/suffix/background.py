"""Work off the engine's thread: jobs in order, their results taken in by the thread that asked."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

log = logging.getLogger("flyball")

Install = Callable[[], None]
Job = Callable[[], Install]
"""Runs in the background; what it returns is then run by the thread that asked."""


class Background:
    """One thread that does jobs one after the other.

    Attributes:
        failed: jobs that raised; they are logged, and their results are missing.
    """

    ROOM: Final = 64
    """Jobs that may wait."""

    def __init__(self) -> None:
        self.failed = 0
        self._jobs: queue.Queue[tuple[Job, Install] | None] = queue.Queue(self.ROOM)
        self._done: deque[Install] = deque()
        self._thread: threading.Thread | None = None

    @property
    def full(self) -> bool:
        """Whether ``submit`` would refuse."""
        return self._jobs.full()

    def submit(self, job: Job, otherwise: Install) -> bool:
        """Have a job done; never blocks.

        Args:
            job: what to do.
            otherwise: what is run instead of its result if it raises.

        Returns:
            False, and it is not done, if too many wait.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="flyball-suffix", daemon=True)
            self._thread.start()
        try:
            self._jobs.put_nowait((job, otherwise))
        except queue.Full:
            return False
        return True

    def collect(self) -> None:
        """Take in the results that are there."""
        while self._done:
            self._done.popleft()()

    def drain(self) -> None:
        """Wait for all jobs, those their results bring along as well, and take the results in."""
        while True:
            self._jobs.join()
            if not self._done:
                return
            self.collect()

    def close(self) -> None:
        """Do what waits, and end the thread."""
        self.drain()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (asked := self._jobs.get()) is not None:
            job, otherwise = asked
            try:
                self._done.append(job())
            except Exception:
                self._done.append(otherwise)
                self.failed += 1
                log.exception("the suffix memory's background work failed; it goes on without")
            finally:
                self._jobs.task_done()
        self._jobs.task_done()
