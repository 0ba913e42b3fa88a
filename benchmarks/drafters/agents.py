"""Agents' sessions on a live engine: each request is asked when the one before has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

import httpx

from ...inference.asking import RequestRecord, ask, completion, served_model
from ...inference.models.tokenizer import END_ID
from .traffic import Request

_TOKENS: Final = 120  # at most, of an answer
_TIMEOUT: Final = 120.0  # seconds


def run_sessions(
    url: str, sessions: Iterable[Sequence[Request]], clients: int, drafter: str, tenant: str
) -> list[RequestRecord]:
    """Run sessions to their ends, greedily.

    Args:
        url: of the OpenAI API, without ``/v1``.
        sessions: requests of each, in order.
        clients: sessions under way at a time.
        drafter: that all requests ask for; "" for none in particular.
        tenant: whose they are.

    Returns:
        A record of every request.

    Raises:
        LoadError: if no API answers.
    """
    return asyncio.run(_run(url, list(sessions), clients, drafter, tenant))


async def _run(
    url: str, sessions: list[Sequence[Request]], clients: int, drafter: str, tenant: str
) -> list[RequestRecord]:
    source, records = iter(sessions), list[RequestRecord]()
    timeout = httpx.Timeout(_TIMEOUT, connect=10.0)
    async with httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False) as client:
        model = await served_model(client)

        async def serve() -> None:
            for session in source:
                for request in session:
                    record = RequestRecord(len(records), "tool_calls", time.perf_counter())
                    records.append(record)
                    body = _body(model, request, drafter, tenant)
                    await ask(client, body, record)

        await asyncio.gather(*(serve() for _ in range(clients)))
    return records


def _body(model: str, request: Request, drafter: str, tenant: str) -> bytes:
    whose = {"flyball_tenant": tenant, "flyball_session": request.session}
    arguments = whose | ({"flyball_drafter": drafter} if drafter else {})
    return completion(model, request.prompt, _TOKENS, stop_token_ids=[END_ID], vllm_xargs=arguments)
