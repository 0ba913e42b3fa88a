"""An OpenAI API without an engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


class Api:
    """An OpenAI API that answers every prompt with its own length in tokens.

    Args:
        slots: requests that it serves at a time, the others wait; None for any number.
    """

    def __init__(self, slots: int | None = None) -> None:
        self.bodies: list[dict[str, object]] = []
        self.came: list[float] = []
        self.objectives: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.peers: set[tuple[str, int]] = set()
        self.status = 200
        self.seconds = 0.01
        self._slots = asyncio.Semaphore(slots) if slots else contextlib.nullcontext()
        app = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/completions", self._completions, methods=["POST"]),
            ]
        )
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self) -> Api:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=5)

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"data": [{"id": "model"}]})

    async def _completions(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.came.append(time.perf_counter())
        self.peers.add(request.client)
        asked = {k: v for k, v in request.headers.items() if k.startswith("x-slo-")}
        self.objectives.append(asked)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        async with self._slots:
            await asyncio.sleep(self.seconds)
        self.under_way -= 1
        if self.status != 200:
            return PlainTextResponse("the engine is on fire", self.status)
        tokens = body["max_tokens"]
        if body.get("stream"):
            events = self._stream(tokens, b": x-slo-served: met\n\n" if asked else b"")
            return StreamingResponse(events, media_type="text/event-stream")
        choice = {"text": "x" * tokens, "token_ids": list(range(tokens))}
        served = {"x-slo-served": "met"} if asked else {}
        answer = {"choices": [choice], "usage": {"completion_tokens": tokens}}
        return JSONResponse(answer, headers=served)

    async def _stream(self, tokens: int, served: bytes):
        # Several tokens per chunk, as speculation sends them.
        for i in range(0, tokens, 3):
            yield f"data: {json.dumps({'choices': [{'text': 'x' * min(3, tokens - i)}]})}\n\n"
        usage = json.dumps({"choices": [], "usage": {"completion_tokens": tokens}})
        yield f"data: {usage.replace(': ', ':')}\n\n"
        yield served + b"data: [DONE]\n\n"
