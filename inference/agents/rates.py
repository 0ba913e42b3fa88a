"""Limits on requests and tokens per minute, held by the client before a server has to refuse."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from typing import Final

_AT_ONCE: Final = 0.1
"""Share of a minute's allowance that may be used at once after a pause."""

_NOTHING: Final = 1e-6
"""Seconds that are not waited for: less than clocks and sums of floats are good for."""


class Bucket:
    """A token bucket that may be overdrawn: who takes more than there is waits for it.

    Those who come are served in the order in which they came. Any 60 seconds bring at most
    1.1 times the allowance (where that is less, one more than it).

    Args:
        per_minute: the allowance; infinite for no limit.
    """

    def __init__(self, per_minute: float) -> None:
        if not per_minute > 0:
            raise ValueError(f"a limit per minute must be above 0, got {per_minute}")
        self._rate = per_minute / 60.0
        self._most = max(1.0, per_minute * _AT_ONCE)
        self._level = self._most
        self._then = -math.inf

    def take(self, amount: float, now: float) -> float:
        """Take so much, or give it back where it is negative.

        Args:
            amount: requests or tokens.
            now: seconds of any clock that never goes back.

        Returns:
            Seconds to wait before it may be used.
        """
        if not math.isinf(self._rate):
            self._fill(now)
            self._level = min(self._most, self._level - amount)
        return self.seconds(now)

    def seconds(self, now: float) -> float:
        """Seconds to wait until all that was taken may be used."""
        if math.isinf(self._rate):
            return 0.0
        self._fill(now)
        return max(0.0, -self._level / self._rate)

    def _fill(self, now: float) -> None:
        if now > self._then:
            self._level = min(self._most, self._level + self._rate * (now - self._then))
            self._then = now


class RateLimit:
    """Requests and tokens per minute; may be shared by agents that share an account.

    Args:
        requests: per minute; None for any number.
        tokens: per minute, of prompts and completions together; None for any number.

    Raises:
        ValueError: if one is not above 0.
    """

    def __init__(self, requests: float | None = None, tokens: float | None = None) -> None:
        self._requests = Bucket(math.inf if requests is None else requests)
        self._tokens = Bucket(math.inf if tokens is None else tokens)
        self._waiting: deque[asyncio.Event] = deque()  # by each request, set when it is to look

    async def wait(self, tokens: float) -> None:
        """Wait until one more request of about so many tokens may be sent.

        They are sent in the order in which they came; only the first that waits has taken its
        tokens, and gives them back where it is cancelled.
        """
        look = asyncio.Event()
        self._waiting.append(look)
        try:
            while self._waiting[0] is not look:
                await _set_within(look, math.inf)
            await self._wait_first(tokens, look)
        finally:
            self._waiting.remove(look)
            self._look_again()

    async def _wait_first(self, tokens: float, look: asyncio.Event) -> None:
        self._take(1, tokens)
        try:
            while (seconds := self._seconds()) > _NOTHING:
                await _set_within(look, seconds)
        except asyncio.CancelledError:
            self._take(-1, -tokens)
            raise

    def settle(self, tokens: float) -> None:
        """Take so many tokens more than was foreseen; give back where it was less."""
        self._take(0, tokens)
        if tokens < 0:
            self._look_again()

    def _take(self, requests: float, tokens: float) -> None:
        now = asyncio.get_running_loop().time()
        self._requests.take(requests, now)
        self._tokens.take(tokens, now)

    def _seconds(self) -> float:
        """Seconds until all that was taken may be used, unless some is given back."""
        now = asyncio.get_running_loop().time()
        return max(self._requests.seconds(now), self._tokens.seconds(now))

    def _look_again(self) -> None:
        if self._waiting:
            self._waiting[0].set()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, so many seconds at most, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            await event.wait()
    event.clear()
