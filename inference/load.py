"""Closed-loop load on an OpenAI API: so many clients, each with one request at a time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from ..policies.slo import NO_SLO, Slo
from .asking import LoadError, RequestRecord, ask, completion, served_model
from .models.prompts import Prompt, prompts

WORKLOADS: Final[dict[str, tuple[str, ...]]] = {
    "code": ("code",),
    "tool_calls": ("tool_calls",),
    "prose": ("prose",),
    "mixed": ("code", "tool_calls", "prose"),
}
"""Content classes of each workload, drawn in equal shares."""

_POOL: Final = 64  # prompts per content class, used in turn
_PAUSE: Final = 0.2  # seconds before the next request after one that failed

Objectives = Callable[[int, str], Slo]
"""The objectives of a request, by its number and the content class of its prompt."""


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """What traffic to make.

    Attributes:
        url: of the OpenAI API, without ``/v1``.
        workload: one of ``WORKLOADS``.
        concurrency: requests under way at any time.
        max_tokens: tokens to generate per request.
        temperature: of the sampling; 0 is greedy.
        ignore_eos: whether every request runs to ``max_tokens``.
        stream: whether to stream, which tells when the first token came.
        token_ids: whether to ask for the generated token ids.
        arguments: ``vllm_xargs``, such as ``flyball_class`` and ``flyball_speed``.
        objectives: of each request, sent as headers; None for none. ``by_class`` makes one of a
            table.
        requests: how many requests in all; None for no such bound.
        timeout: seconds after which a request has failed.
        seed: which prompts, in which order.
    """

    url: str
    workload: str = "mixed"
    concurrency: int = 4
    max_tokens: int = 64
    temperature: float = 0.0
    ignore_eos: bool = False
    stream: bool = False
    token_ids: bool = False
    arguments: dict[str, str | float] = field(default_factory=dict)
    objectives: Objectives | None = None
    requests: int | None = None
    timeout: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.workload not in WORKLOADS:
            raise LoadError(f"no workload {self.workload!r}; there are {', '.join(WORKLOADS)}")
        if self.concurrency < 1 or self.max_tokens < 1:
            raise LoadError("concurrency and max_tokens must be at least 1")
        if not self.url.startswith(("http://", "https://")):
            raise LoadError(f"url must be http://HOST:PORT, not {self.url!r}")

    def slo(self, number: int, content_class: str) -> Slo:
        """The objectives of a request."""
        return NO_SLO if self.objectives is None else self.objectives(number, content_class)


def by_class(objectives: Mapping[str, Slo]) -> Objectives:
    """Objectives by content class; a class that is not named has none."""
    return lambda _, content_class: objectives.get(content_class, NO_SLO)


def prompt_stream(workload: str, seed: int, pool: int = _POOL) -> Iterator[Prompt]:
    """Endless prompts of a workload, its classes in turn; the same seed gives the same.

    They are made here and now, which takes seconds the first time: nobody should wait for traffic
    that waits for its prompts.
    """
    pools = [prompts(content_class, pool, seed) for content_class in WORKLOADS[workload]]
    return _in_turn(pools)


def _in_turn(pools: list[list[Prompt]]) -> Iterator[Prompt]:
    for i in itertools.count():
        own = pools[i % len(pools)]
        yield own[i // len(pools) % len(own)]


class Load:
    """Runs requests, and keeps a record of each that ended.

    Args:
        settings: what traffic.
        source: the prompts, if not those of the settings' workload.
    """

    def __init__(self, settings: LoadSettings, source: Iterator[Prompt] | None = None) -> None:
        self.settings = settings
        self.records: list[RequestRecord] = []
        self._source = source or prompt_stream(settings.workload, settings.seed)
        self._sent = 0

    async def run(self, stop: asyncio.Event | None = None) -> list[RequestRecord]:
        """Keep the clients busy until ``stop`` is set, the bound is reached or prompts run out.

        Requests under way at the stop are broken off and leave no record.
        """
        limits = httpx.Limits(
            max_connections=self.settings.concurrency,
            max_keepalive_connections=self.settings.concurrency,
        )
        timeout = httpx.Timeout(self.settings.timeout, connect=10.0)
        async with httpx.AsyncClient(
            base_url=self.settings.url, limits=limits, timeout=timeout, trust_env=False
        ) as client:
            model = await served_model(client)
            clients = [
                asyncio.create_task(self._client(client, model))
                for _ in range(self.settings.concurrency)
            ]
            over = asyncio.gather(*clients)
            waiting: list[asyncio.Future[Any]] = [over]
            if stop is not None:
                waiting.append(asyncio.ensure_future(stop.wait()))
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in [*clients, *waiting]:
                    task.cancel()
                await asyncio.gather(*clients, *waiting, return_exceptions=True)
        return self.records

    async def _client(self, client: httpx.AsyncClient, model: str) -> None:
        bound = self.settings.requests
        while bound is None or self._sent < bound:
            prompt = next(self._source, None)
            if prompt is None:
                return
            slo = self.settings.slo(self._sent, prompt.content_class)
            record = RequestRecord(self._sent, prompt.content_class, time.perf_counter(), slo=slo)
            self._sent += 1
            await ask(client, self._body(model, prompt), record)
            self.records.append(record)
            if record.error is not None:
                await asyncio.sleep(_PAUSE)

    def _body(self, model: str, prompt: Prompt) -> bytes:
        settings = self.settings
        body: dict[str, Any] = {}
        if settings.ignore_eos:
            body["ignore_eos"] = True
        if settings.arguments:
            body["vllm_xargs"] = settings.arguments
        if settings.token_ids:
            body["return_token_ids"] = True
        return completion(
            model,
            prompt.text,
            settings.max_tokens,
            settings.temperature,
            stream=settings.stream,
            **body,
        )


def run_load(settings: LoadSettings, source: Iterator[Prompt] | None = None) -> list[RequestRecord]:
    """Traffic bounded by its number of requests, from start to end.

    Raises:
        LoadError: if nothing bounds it, or no API answers.
    """
    if settings.requests is None and source is None:
        raise LoadError("a load that is waited for needs a bound: give it requests")
    return asyncio.run(Load(settings, source).run())
