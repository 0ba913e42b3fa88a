"""Endless traffic on an engine, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

from .asking import LoadError, RequestRecord
from .load import Load, LoadSettings
from .models.prompts import Prompt


class Traffic:
    """Endless traffic in a thread of its own; its prompts are ready once it is made.

    Args:
        settings: what traffic.
        cores: processor numbers for the thread; None for any.
        source: the prompts, if not those of the settings' workload.
    """

    def __init__(
        self,
        settings: LoadSettings,
        cores: frozenset[int] | None = None,
        source: Iterator[Prompt] | None = None,
    ) -> None:
        self.error: Exception | None = None
        self._load = Load(settings, source)
        self._cores = cores
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flyball-traffic", daemon=True)

    @property
    def records(self) -> list[RequestRecord]:
        """The requests that have ended so far."""
        return self._load.records

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._thread.is_alive()

    def start(self) -> Traffic:
        """Begin."""
        self._thread.start()
        self._ready.wait()
        return self

    def stop(self) -> list[RequestRecord]:
        """Break off what is under way and return the records.

        Raises:
            LoadError: if the traffic could not be made.
        """
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=15.0)
        if self.error is not None:
            raise self.error
        return self.records

    def __enter__(self) -> Traffic:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        if self._cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self._cores)  # 0 is the calling thread, not the process
        try:
            asyncio.run(self._main())
        except LoadError as e:
            self.error = e
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._load.run(self._stop)
