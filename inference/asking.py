"""One request to an OpenAI API, and the record of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from ..policies.slo import NO_SLO, Slo
from .objectives import SERVED, as_headers


class LoadError(ValueError):
    """Traffic that cannot be made, with the reason."""


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        number: counts from 0 in the order of sending; the same seed gives the same prompts.
        content_class: of its prompt.
        start: when it was sent, seconds of ``time.perf_counter``; of one that has a time of its
            own to arrive at, that.
        first: when its first token came; NaN without streaming.
        end: when it was complete or had failed; NaN for one that was broken off.
        tokens: generated, by the engine's own count.
        error: why it failed; None if it did not.
        token_ids: generated ids, if asked for.
        slo: its objectives.
        served: what the server says of them, such as "met" or "best-effort; missed=tpot"; "" for
            nothing.
        late: seconds by which it was sent after its time; 0 where it has none.
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
    late: float = 0.0


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Choice(msgspec.Struct):
    token_ids: list[int] | None = None


class _Completion(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[_Choice] = []


_decoder = msgspec.json.Decoder(_Completion)


_JSON: Final = {"content-type": "application/json"}
_SERVED: Final = f": {SERVED}: "


def completion(
    model: str,
    prompt: str | Sequence[int],
    max_tokens: int,
    temperature: float = 0.0,
    *,
    stream: bool = False,
    **further: object,
) -> bytes:
    """The body of a request for a completion.

    Args:
        model: that is served.
        prompt: a text, or its token ids.
        max_tokens: to generate.
        temperature: of the sampling; 0 is greedy.
        stream: whether to stream; then the last event has the number of tokens.
        further: fields as they are.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        **further,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


async def served_model(client: httpx.AsyncClient) -> str:
    """The name of the model that is served.

    Raises:
        LoadError: if no API answers.
    """
    try:
        response = await client.get("/v1/models")
        response.raise_for_status()
        return str(response.json()["data"][0]["id"])
    except (httpx.HTTPError, KeyError, IndexError, ValueError) as e:
        raise LoadError(
            f"no OpenAI API at {client.base_url}: {type(e).__name__}: {e}; is the engine up?"
        ) from None


async def ask(client: httpx.AsyncClient, body: bytes, record: RequestRecord) -> None:
    """Send one request and fill in its record.

    Args:
        client: with the address of the API.
        body: as ``completion`` makes it.
        record: of the request, with its objectives.
    """
    try:
        async with client.stream(
            "POST", "/v1/completions", content=body, headers=_JSON | as_headers(record.slo)
        ) as response:
            record.served = response.headers.get(SERVED, "")
            if response.status_code != 200:
                text = (await response.aread()).decode(errors="replace")
                record.error = f"HTTP {response.status_code}: {text[:200]}"
            elif response.headers.get("content-type", "").startswith("text/event-stream"):
                await _read_stream(response, record)
            else:
                _fill(record, await response.aread())
    except (httpx.HTTPError, msgspec.DecodeError) as e:
        record.error = f"{type(e).__name__}: {e}"
    record.end = time.perf_counter()


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
