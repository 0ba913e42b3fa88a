"""Calls that are tried again: what is worth it, how long to wait, when to give up."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from .protocol import AgentError, Call

Value = TypeVar("Value")


class RetryableError(AgentError):
    """A call that failed before anything was generated, so that trying again does no harm.

    Attributes:
        after: seconds that the server asks to wait.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True, slots=True)
class Retries:
    """How calls are tried again.

    The wait is drawn from [0, first * 2**n] ("full jitter": Brooker, "Exponential Backoff And
    Jitter", AWS 2015), on top of what the server asks for.

    Attributes:
        most: attempts after the first one.
        first: seconds, the longest wait before the first of them.
        longest: seconds; a server that asks for more than this is not waited for.
    """

    most: int = 4
    first: float = 0.5
    longest: float = 60.0

    def __post_init__(self) -> None:
        if self.most < 0 or not (0 <= self.first <= self.longest < math.inf):
            raise ValueError(
                f"retries must be 0 or more and their waits finite, first <= longest; got {self}"
            )

    async def run(self, attempt: Callable[[], Awaitable[Value]], call: Call) -> Value:
        """Await attempts until one does not fail, or fails for good.

        Args:
            attempt: makes one.
            call: its ``retries`` count those that failed.

        Raises:
            AgentError: of the last attempt.
        """
        for number in range(self.most):
            try:
                return await attempt()
            except RetryableError as error:
                if error.after > self.longest:
                    raise AgentError(
                        f"{error}; it asks to wait {error.after:g} s, and {self.longest:g} s at "
                        "most are waited"
                    ) from error
                jitter = random.uniform(0.0, min(self.first * 2**number, self.longest))
                call.retries += 1
                await asyncio.sleep(error.after + jitter)
        return await attempt()


def seconds_asked(header: str | None) -> float:
    """Seconds that a ``Retry-After`` header asks for: a number or a date (RFC 9110, 10.2.3).

    Returns:
        0 where there is none, or it says nothing that can be understood.
    """
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        seconds = _until(header)
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    # A date without a zone is in UTC, as HTTP's are.
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()
