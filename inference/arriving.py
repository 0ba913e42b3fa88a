"""Open-loop load on an OpenAI API: requests come when they come, whatever became of the others."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from ..policies.slo import NO_SLO, Slo
from .asking import LoadError, RequestRecord, ask, completion, served_model

_SETTLE: Final = 0.2  # seconds until the first request: its connection pool is up by then


@dataclass(frozen=True)
class Arrival:
    """A request that is to come.

    Attributes:
        at: seconds after the start, at least 0.
        prompt: a text, or its token ids.
        tokens: to generate, whatever the model says; at least 1.
        content_class: of its prompt.
        slo: its objectives, sent as headers.
    """

    at: float
    prompt: str | Sequence[int]
    tokens: int
    content_class: str
    slo: Slo = NO_SLO


def run_arrivals(
    url: str, arrivals: Sequence[Arrival], patience: float, enough: int | None = None
) -> list[RequestRecord]:
    """Send requests at their times, streamed and greedy, and wait for them to end.

    Times are held to, not the connections that are free: every request has its own, and its record
    counts from the time that it was to come, so that a server that is slow to take requests gains
    nothing by it.

    Args:
        url: of the OpenAI API, without ``/v1``.
        arrivals: in any order.
        patience: seconds after the last arrival until what is under way is broken off.
        enough: requests whose end ends it at once; None for all.

    Returns:
        A record of each, in the order given; one that was broken off has no end.

    Raises:
        LoadError: if there is nothing to send, or no API answers.
    """
    if not arrivals:
        raise LoadError("there are no arrivals")
    if any(not (a.at >= 0.0 and a.tokens >= 1) for a in arrivals):
        raise LoadError("requests arrive at 0 s or later, and ask for at least 1 token")
    return asyncio.run(_run(url, arrivals, patience, enough or len(arrivals)))


async def _run(
    url: str, arrivals: Sequence[Arrival], patience: float, enough: int
) -> list[RequestRecord]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(None, connect=30.0)
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=timeout, trust_env=False
    ) as client:
        model = await served_model(client)
        bodies = [
            completion(model, a.prompt, a.tokens, stream=True, ignore_eos=True) for a in arrivals
        ]
        start = time.perf_counter() + _SETTLE
        records = [
            RequestRecord(i, a.content_class, start + a.at, end=math.nan, slo=a.slo)
            for i, a in enumerate(arrivals)
        ]
        tasks = [
            asyncio.create_task(_send(client, body, record))
            for body, record in zip(bodies, records, strict=True)
        ]
        last = max(record.start for record in records)
        try:
            await _wait(tasks, last + patience - time.perf_counter(), enough)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return records


async def _wait(tasks: Sequence[asyncio.Task[None]], seconds: float, enough: int) -> None:
    """Wait until enough have ended, but no longer than so many seconds."""
    try:
        for ended, task in enumerate(asyncio.as_completed(tasks, timeout=seconds), 1):
            await task
            if ended >= enough:
                return
    except TimeoutError:
        return


async def _send(client: httpx.AsyncClient, body: bytes, record: RequestRecord) -> None:
    """Ask when it is time."""
    await asyncio.sleep(record.start - time.perf_counter())
    record.late = max(time.perf_counter() - record.start, 0.0)
    await ask(client, body, record)
