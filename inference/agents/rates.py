"""Limits on requests and tokens per minute, held by the client before a server has to refuse."""

from __future__ import annotations

import asyncio
import math
from typing import Final

_AT_ONCE: Final = 0.1
"""Share of a minute's allowance that may be used at once after a pause."""


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
        if math.isinf(self._rate):
            return 0.0
        if now > self._then:
            self._level = min(self._most, self._level + self._rate * (now - self._then))
            self._then = now
        self._level = min(self._most, self._level - amount)
        return max(0.0, -self._level / self._rate)


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

    async def wait(self, tokens: float) -> None:
        """Wait until one more request of about so many tokens may be sent.

        One that is cancelled while it waits gives back what it had taken.
        """
        now = asyncio.get_running_loop().time()
        seconds = max(self._requests.take(1, now), self._tokens.take(tokens, now))
        try:
            if seconds:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            now = asyncio.get_running_loop().time()
            self._requests.take(-1, now)
            self._tokens.take(-tokens, now)
            raise

    def settle(self, tokens: float) -> None:
        """Take so many tokens more than was foreseen; give back where it was less."""
        self._tokens.take(tokens, asyncio.get_running_loop().time())
