"""Closed-loop load on an OpenAI API: so many clients, each with one request at a time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec

from ..policies.slo import NO_SLO, Slo
from .models.prompts import Prompt, prompts
from .objectives import SERVED, as_headers

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


class LoadError(ValueError):
    """Traffic that cannot be made, with the reason."""


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


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        number: counts from 0 in the order of sending; the same seed gives the same prompts.
        content_class: of its prompt.
        start: when it was sent, seconds of ``time.perf_counter``.
        first: when its first token came; NaN without streaming.
        end: when it was complete or had failed.
        tokens: generated, by the engine's own count.
        error: why it failed; None if it did not.
        token_ids: generated ids, if asked for.
        slo: its objectives.
        served: what the server says of them, such as "met" or "best-effort; missed=tpot"; "" for
            nothing.
    """

    number: int
    content_class: str
    start: float
    first: float = float("nan")
    end: float = float("nan")
    tokens: int = 0
    error: str | None = None
    token_ids: list[int] | None = None
    slo: Slo = NO_SLO
    served: str = ""


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Choice(msgspec.Struct):
    token_ids: list[int] | None = None


class _Completion(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[_Choice] = []


_decoder = msgspec.json.Decoder(_Completion)


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
            model = await _model(client)
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
            await self._request(client, self._body(model, prompt), record)
            self.records.append(record)
            if record.error is not None:
                await asyncio.sleep(_PAUSE)

    def _body(self, model: str, prompt: Prompt) -> bytes:
        settings = self.settings
        body: dict[str, Any] = {
            "model": model,
            "prompt": prompt.text,
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }
        if settings.ignore_eos:
            body["ignore_eos"] = True
        if settings.arguments:
            body["vllm_xargs"] = settings.arguments
        if settings.token_ids:
            body["return_token_ids"] = True
        if settings.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return msgspec.json.encode(body)

    async def _request(self, client: httpx.AsyncClient, body: bytes, record: RequestRecord) -> None:
        """Send one request and fill in its record."""
        try:
            async with client.stream(
                "POST", "/v1/completions", content=body, headers=_JSON | as_headers(record.slo)
            ) as response:
                record.served = response.headers.get(SERVED, "")
                if response.status_code != 200:
                    text = (await response.aread()).decode(errors="replace")
                    record.error = f"HTTP {response.status_code}: {text[:200]}"
                elif self.settings.stream:
                    await _read_stream(response, record)
                else:
                    _fill(record, await response.aread())
        except (httpx.HTTPError, msgspec.DecodeError) as e:
            record.error = f"{type(e).__name__}: {e}"
        record.end = time.perf_counter()


_JSON: Final = {"content-type": "application/json"}
_SERVED: Final = f": {SERVED}: "


async def _model(client: httpx.AsyncClient) -> str:
    """The name of the model that is served."""
    try:
        response = await client.get("/v1/models")
        response.raise_for_status()
        return str(response.json()["data"][0]["id"])
    except (httpx.HTTPError, KeyError, IndexError, ValueError) as e:
        raise LoadError(
            f"no OpenAI API at {client.base_url}: {type(e).__name__}: {e}; is the engine up?"
        ) from None


async def _read_stream(response: httpx.Response, record: RequestRecord) -> None:
    """Server-sent events: only the one with the usage is parsed, to stay light."""
    ids: list[int] = []
    async for line in response.aiter_lines():
        if line.startswith(_SERVED):
            record.served = line.removeprefix(_SERVED)
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        if not record.tokens and record.first != record.first:
            record.first = time.perf_counter()
        if '"usage":{' in line or '"token_ids":[' in line:
            _fill(record, line[6:].encode())
            ids += record.token_ids or []
    record.token_ids = ids or None


def _fill(record: RequestRecord, data: bytes) -> None:
    completion = _decoder.decode(data)
    if completion.usage is not None:
        record.tokens = completion.usage.completion_tokens
    if completion.choices:
        record.token_ids = completion.choices[0].token_ids


def run_load(settings: LoadSettings, source: Iterator[Prompt] | None = None) -> list[RequestRecord]:
    """Traffic bounded by its number of requests, from start to end.

    Raises:
        LoadError: if nothing bounds it, or no API answers.
    """
    if settings.requests is None and source is None:
        raise LoadError("a load that is waited for needs a bound: give it requests")
    return asyncio.run(Load(settings, source).run())
