"""What an endpoint answers instead of a turn, as errors."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec

from .endpoint import Endpoint
from .protocol import AgentError
from .retrying import RetryableError, seconds_asked

_MOST_BYTES: Final = 4096
_MOST_SHOWN: Final = 300
_PASSING: Final = frozenset({408, 425, 429})


class StatusError(AgentError):
    """A request that was refused for good.

    Attributes:
        status: HTTP's code.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class _Error(msgspec.Struct):
    message: str = ""
    code: object = None


class _Body(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""
    detail: object = None


async def refusal(response: httpx.Response, endpoint: Endpoint) -> AgentError:
    """Turn an answer that is not "200 OK" into what to raise.

    Returns:
        A ``RetryableError`` where trying again may help: too many requests, or the server's own
        trouble; but not where an account has nothing left.
    """
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _MOST_BYTES:
            break
    said = endpoint.hidden(_message(bytes(body[:_MOST_BYTES])))[:_MOST_SHOWN]
    status = response.status_code
    reason = f"{endpoint.url} answers HTTP {status}: {said or response.reason_phrase}"
    if status == httpx.codes.NOT_FOUND:
        reason += " (an address ends in /v1 as a rule, and the model must be one that it serves)"
    passing = status in _PASSING or status >= 500
    if passing and b"insufficient_quota" not in body:
        return RetryableError(reason, seconds_asked(response.headers.get("retry-after")))
    return StatusError(reason, status)


def _message(body: bytes) -> str:
    """What a refusal says: OpenAI's form, others' forms, or text."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        return body.decode(errors="replace").strip()
    error = read.error.message if isinstance(read.error, _Error) else read.error
    return error or read.message or str(read.detail or "")
