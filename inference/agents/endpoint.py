"""Where an OpenAI-compatible API is, and connections to it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Final

import httpx

OPENAI: Final = "https://api.openai.com/v1"
"""Address of OpenAI's own API."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that one attempt at a call may take; waits between attempts are not among them.

    Attributes:
        connect: until there is a connection.
        first: until the first token.
        total: until the last one.
    """

    connect: float = 10.0
    first: float = 60.0
    total: float = 600.0

    def __post_init__(self) -> None:
        if not (self.connect > 0 and 0 < self.first <= self.total):
            raise ValueError(f"timeouts must be above 0, first no longer than total; got {self}")


class Endpoint:
    """An OpenAI-compatible API, shared by any number of agents.

    Connections are kept between calls, for the event loop that runs; in another loop new ones are
    made. ``async with`` closes them in the end, or ``close`` does.

    Args:
        url: its address up to ``/v1``, such as ``http://127.0.0.1:8000/v1``.
        key: the API key; it is sent to this address alone, and never written anywhere.
        key_variable: environment variable that holds the key, instead.
        timeouts: of each attempt.

    Raises:
        ValueError: if the address is none, or there is no such key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        key_variable: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.url = _checked(url)
        self.timeouts = timeouts or Timeouts()
        self._key = _key(key, key_variable)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    def post(self, path: str, body: bytes) -> AbstractAsyncContextManager[httpx.Response]:
        """Send JSON and open the answer as a stream; to leave it early tells the server to stop.

        Args:
            path: below the address.
            body: JSON.
        """
        return self._client().stream("POST", f"{self.url}/{path}", content=body)

    def hidden(self, text: str) -> str:
        """A text from outside without the key, should it have been in there."""
        return text.replace(self._key, "[key]") if self._key else text

    async def close(self) -> None:
        """Close the connections; calls that run then fail."""
        client, self._http = self._http, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            # How many calls run is the planner's to bound; how long they take, the agent's.
            self._http = httpx.AsyncClient(
                headers=headers,
                timeout=httpx.Timeout(None, connect=self.timeouts.connect),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
                trust_env=not _loopback(self.url),
            )
            self._loop = loop
        return self._http


def _checked(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is no address: {error}") from None
    if parts.userinfo:
        raise ValueError("an address has no user and password in it; give the key as `key`")
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise ValueError(f"an address begins with http:// or https:// and a host, got {url!r}")
    if parts.query or parts.fragment:
        raise ValueError(f"an address ends with its path, such as /v1; got {url!r}")
    return url.rstrip("/")


def _key(key: str | None, variable: str | None) -> str:
    """The key as it is sent; "" for none. What is wrong with one is said without it."""
    if key is not None and variable is not None:
        raise ValueError("give the key or the name of its environment variable, not both")
    if variable is not None:
        key = os.environ.get(variable)
        if not key:
            raise ValueError(f"the environment variable {variable} is to hold the key; it is empty")
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the key has characters that no HTTP header can have")
    return key


def _loopback(url: str) -> bool:
    """Whether an address is this machine's own: proxies are for the world outside."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
