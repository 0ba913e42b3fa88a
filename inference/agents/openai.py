"""Agents behind any OpenAI-compatible endpoint: vLLM's, or a hosted one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import httpx
import msgspec

from .endpoint import Endpoint
from .protocol import AgentError, Call, Step, Turn, Usage
from .rates import RateLimit
from .reception import Reception
from .refusal import StatusError, refusal
from .reply import Reply
from .retrying import Retries, RetryableError
from .styles import Style

MOST_BYTES: Final = 8 << 20
"""Bytes that an answer may have: what is longer is broken off."""

_OPTIONAL: Final = ("logprobs", "stream_options", "parallel_tool_calls")
"""Fields that some endpoints refuse, and that are left out from then on."""

_DRAIN: Final = 0.1
"""Seconds for a stream that is complete to end, so that its connection can be used again."""

_BYTES_PER_TOKEN: Final = 4.0
"""Of a request, until an endpoint has told."""


class OpenAIAgent:
    """An ``Agent`` that asks an OpenAI-compatible endpoint, by chat or plain completions.

    Answers are streamed: tokens are counted as they come, and a call that is cancelled closes its
    connection, upon which the server ends the generation. Until the endpoint tells, the tokens of
    a prompt are estimated from its bytes, at the rate that its earlier answers told.

    Args:
        model: its name at the endpoint.
        endpoint: where it is.
        style: how tasks and steps are written, and turns are read.
        max_tokens: of an answer.
        temperature: of the sampling; 0 is greedy.
        logprobs: whether to ask for log-probabilities; an endpoint that has none is not asked
            again.
        fields: further fields of each request as they are, in place of ours of the same name; None
            leaves a field out. OpenAI's reasoning models, for one, take
            ``{"max_tokens": None, "max_completion_tokens": 4000, "temperature": None}``.
        limit: of requests and tokens per minute.
        retries: of attempts that fail before the first token.
        most_bytes: that an answer may have.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        style: Style,
        *,
        max_tokens: int = 1024,
        temperature: float = 0.0,
        logprobs: bool = True,
        fields: Mapping[str, Any] | None = None,
        limit: RateLimit | None = None,
        retries: Retries | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._model = model
        self._endpoint = endpoint
        self._style = style
        self._sampling = {"max_tokens": max_tokens, "temperature": temperature}
        self._logprobs = logprobs
        self._further = dict(fields or {})
        self._limit = limit or RateLimit()
        self._retries = retries or Retries()
        self._most_bytes = most_bytes
        self._bytes_per_token = _BYTES_PER_TOKEN

    @property
    def model(self) -> str:
        """Name of the model, by which its tokens are priced."""
        return self._model

    async def act(self, task: Any, steps: Sequence[Step], call: Call) -> Turn:
        """Ask the endpoint what to do after the steps so far; see ``Agent.act``."""
        asked = self._style.request(task, steps)
        while True:
            try:
                fields = self._fields(asked)
                started = asyncio.get_running_loop().time()
                attempt = partial(self._attempt, fields, call, started)
                reply = await self._retries.run(attempt, call)
                return self._style.read(reply)
            except StatusError as error:
                if not self._leave_out(error, fields):
                    raise

    def _fields(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """All fields of a request."""
        fields: dict[str, Any] = {
            "model": self._model,
            **self._sampling,
            "stream": True,
            "stream_options": {"include_usage": True},
            **asked,
        }
        if self._logprobs:
            fields["logprobs"] = True if "messages" in asked else 1
        fields |= self._further
        return {name: value for name, value in fields.items() if value is not None}

    def _leave_out(self, error: StatusError, fields: Mapping[str, Any]) -> bool:
        """Leave out optional fields that a request was refused for; False if it was not."""
        if error.status not in {400, 422}:
            return False
        refused = [name for name in _OPTIONAL if name in fields and name in str(error)]
        self._further.update(dict.fromkeys(refused))
        return bool(refused)

    async def _attempt(self, fields: Mapping[str, Any], call: Call, started: float) -> Reply:
        """Send a request and take in the answer, within the limits."""
        body = msgspec.json.encode(fields)
        foreseen = round(len(body) / self._bytes_per_token)
        await self._limit.wait(foreseen)
        call.usage.prompt = foreseen
        path = "chat/completions" if "messages" in fields else "completions"
        try:
            reply = await self._receive(path, body, call, started)
        except (RetryableError, StatusError):
            # Nothing was generated, so nothing is charged.
            call.usage.prompt = 0
            raise
        finally:
            self._limit.settle(call.usage.prompt + call.usage.completion - foreseen)
        self._learn(len(body), call.usage)
        return reply

    async def _receive(self, path: str, body: bytes, call: Call, started: float) -> Reply:
        """One request and its answer, within its times."""
        times = self._endpoint.timeouts
        reception = Reception(call, started, self._most_bytes)
        try:
            async with asyncio.timeout(times.first) as limit:
                end = asyncio.get_running_loop().time() + times.total
                async with self._endpoint.post(path, body) as response:
                    if response.status_code != httpx.codes.OK:
                        raise await refusal(response, self._endpoint)
                    kind = response.headers.get("content-type", "")
                    reception.open(streamed=kind.startswith("text/event-stream"))
                    async for chunk in response.aiter_bytes():
                        reception.feed(chunk)
                        _reschedule(limit, reception, end)
        except (TimeoutError, httpx.RequestError) as error:
            if not reception.done:
                raise self._failure(error, call, reception.begun) from error
        return reception.end()

    def _failure(self, error: Exception, call: Call, begun: bool) -> AgentError:
        """What to say of an answer that did not come, or stopped coming."""
        url, times = self._endpoint.url, self._endpoint.timeouts
        if isinstance(error, TimeoutError):
            if begun:
                got = f"{call.usage.completion} tokens"
                return AgentError(f"{url} was not done within {times.total:g} s: {got} came")
            return AgentError(f"{url} gave no token within {times.first:g} s")
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        if begun:
            got = f"{call.usage.completion} tokens"
            return AgentError(f"the connection to {url} was lost after {got} ({what})")
        if isinstance(error, httpx.TransportError):
            return RetryableError(f"no answer from {url} ({what}); is it up?")
        return AgentError(f"{url} sent what cannot be read ({what})")

    def _learn(self, size: int, usage: Usage) -> None:
        """Learn how many bytes of a request are one token of its prompt."""
        if usage.prompt:
            self._bytes_per_token += 0.5 * (size / usage.prompt - self._bytes_per_token)


def _reschedule(limit: asyncio.Timeout, reception: Reception, end: float) -> None:
    """Give a stream that has begun until its end, and one that is complete next to nothing."""
    if reception.done:
        limit.reschedule(min(end, asyncio.get_running_loop().time() + _DRAIN))
    elif reception.begun:
        limit.reschedule(end)
