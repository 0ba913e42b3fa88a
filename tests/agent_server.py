"""An HTTP server whose every byte a test decides, speaking as OpenAI-compatible APIs do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

Answer = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request, and the way back."""

    def __init__(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.path, self.headers = path, headers
        self.body: dict[str, Any] = json.loads(body)
        self._reader, self._writer = reader, writer

    async def whole(self, status: int, text: str, **headers: str) -> None:
        """Answer with a status and a body, all at once."""
        data = text.encode()
        named = {"content-type": "application/json", "content-length": str(len(data)), **headers}
        await self._write(_head(status, named) + data)

    async def begin(self, kind: str = "text/event-stream") -> None:
        await self._write(_head(200, {"content-type": kind, "transfer-encoding": "chunked"}))

    async def send(self, data: bytes) -> None:
        await self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, value: Any) -> None:
        await self.send(b"data: " + json.dumps(value).encode() + b"\n\n")

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        assert await self._reader.read(1) == b""

    async def hang_up(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class Server:
    """Answers requests in turn, each by the next of its answers; the last one serves all further.

    Attributes:
        requests: that came, in order.
        connections: that were opened.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[Exchange] = []
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        ends = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            while not writer.is_closing():
                await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        cased = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(
            head[0].split(" ")[1], {k.lower(): v for k, v in cased.items()}, body, reader, writer
        )
        self.requests.append(exchange)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        await answer(exchange)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def piece(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One event of a chat."""
    return {
        "choices": [{"index": 0, "delta": {"content": content, **delta}, "finish_reason": finish}]
    }


def usage(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    """The last event of a stream, with its usage."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"choices": [], "usage": counts | details}


def chat(*pieces: str, last: dict[str, Any] | None = None, finish: str = "stop") -> Answer:
    """An answer that streams pieces of text, and its usage."""

    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event(piece("", role="assistant"))
        for text in pieces:
            await exchange.event(piece(text))
        await exchange.event(piece(finish=finish))
        await exchange.event(last or usage(100, len(pieces)))
        await exchange.send(b"data: [DONE]\n\n")
        await exchange.end()

    return answer


def called(name: str, *pieces: str, text: str | None = None) -> Answer:
    """An answer that calls a tool, its arguments in pieces."""

    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event(piece(text, role="assistant"))
        first = {"index": 0, "id": "a", "function": {"name": name, "arguments": ""}}
        await exchange.event(piece(tool_calls=[first]))
        for arguments in pieces:
            await exchange.event(
                piece(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])
            )
        await exchange.event(piece(finish="tool_calls"))
        await exchange.event(usage(100, 1 + len(pieces)))
        await exchange.send(b"data: [DONE]\n\n")
        await exchange.end()

    return answer


def refused(status: int, text: str = "", **headers: str) -> Answer:
    """An answer that is only a status and a text."""

    async def answer(exchange: Exchange) -> None:
        await exchange.whole(status, text, **{k.replace("_", "-"): v for k, v in headers.items()})

    return answer


async def cut(exchange: Exchange) -> None:
    """Close the connection instead of an answer."""
    await exchange.hang_up()
