"""A share of one core that training may take, so that serving keeps the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_URGENT: Final = 0.75  # share of a core for what people wait for
_REST: Final = 0.05  # seconds to the next try when there was nothing to do


class Duty:
    """Says when there may be work, by the processor time that work has taken.

    Args:
        share: of one core, above 0 and at most 1.
        clock: monotonic seconds.
        effort: seconds of a core that this thread has used.

    Raises:
        ValueError: if the share is none.
    """

    def __init__(
        self,
        share: float,
        clock: Callable[[], float] = time.monotonic,
        effort: Callable[[], float] = time.thread_time,
    ) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError(f"the learner's share of a core must be in (0, 1], not {share!r}")
        self.share = share
        self._clock = clock
        self._effort = effort
        self._next = clock()

    def wait(self) -> float:
        """Seconds until there may be work; 0 where there may be at once."""
        return max(self._next - self._clock(), 0.0)

    @contextmanager
    def work(self, urgent: bool = False) -> Iterator[None]:
        """Count the time that is spent inside, and rest for as long as the share asks.

        Args:
            urgent: whether somebody waits for it; then it may take most of a core.
        """
        started = self._effort()
        try:
            yield
        finally:
            spent = self._effort() - started
            share = max(self.share, _URGENT) if urgent else self.share
            rest = spent * (1.0 / share - 1.0)
            self._next = self._clock() + (rest if spent > 0.001 else _REST)
