"""The HTTP API: a thread that turns requests into commands and their answers into JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..inference.address import Address, parse_address
from . import metrics
from .request import Mailbox, RefusedError
from .security import token_matches

log = logging.getLogger("flyball")

DEFAULT_HTTP: Final = "127.0.0.1:8757"
LARGEST_BODY: Final = 64 << 10
PATIENCE: Final = 60.0
"""Seconds in which the service must answer a command; relabelling the past takes a few."""

_OPEN: Final = ("/healthz", "/readyz")  # probes carry no token


class HttpError(ValueError):
    """An HTTP address that cannot be listened on, with the reason."""


def parse_http(text: str) -> Address:
    """Where to serve HTTP, from ``HOST:PORT``.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        return parse_address(f"tcp://{text.removeprefix('http://').rstrip('/')}")
    except ValueError:
        raise ValueError(
            f"--http must be HOST:PORT with a port up to 65533, not {text!r}"
        ) from None


class HttpServer:
    """Serves the API in a thread of its own until it is closed.

    Args:
        address: where to listen.
        mailbox: to the thread that executes the commands.
        token: bearer token that every request must carry; None for none.

    Raises:
        HttpError: if the address cannot be listened on.
    """

    def __init__(self, address: Address, mailbox: Mailbox, token: str | None = None) -> None:
        self._socket = _listen(address)
        app = make_app(mailbox, token, local=address.is_loopback and token is None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            limit_concurrency=64,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="flyball-http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop and close the socket."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def make_app(mailbox: Mailbox, token: str | None, local: bool) -> ASGIApp:
    """The API as an ASGI application.

    Args:
        mailbox: to the thread that executes the commands.
        token: bearer token that every request must carry; None for none.
        local: whether to answer browsers only where they were sent to this machine by name; it
            keeps other sites' pages from turning the knob where no token does.
    """
    api = _Api(mailbox)
    routes = [
        Route("/healthz", api.health),
        Route("/readyz", api.ready),
        Route("/metrics", api.metrics),
        Route("/v1/status", api.get("status")),
        Route("/v1/knob", api.get("knob"), methods=["GET"]),
        Route("/v1/knob", api.put("knob", "speed"), methods=["PUT"]),
        Route("/v1/reward", api.get("reward"), methods=["GET"]),
        Route("/v1/reward", api.put("reward", "reward"), methods=["PUT"]),
        Route("/v1/engines/{engine}/mode", api.put("mode", "mode"), methods=["PUT"]),
        Route("/v1/engines/{engine}/policy", api.put("policy", "policy"), methods=["PUT"]),
        Route("/v1/engines/{engine}/drafter", api.put("drafter", "drafter"), methods=["PUT"]),
        Route("/v1/engines/{engine}/pin", api.put("pin", "depth"), methods=["PUT"]),
        Route("/v1/snapshots", api.get("snapshots")),
        Route("/v1/snapshots/{number}/promote", api.promote, methods=["POST"]),
        Route("/v1/checkpoint", api.post("checkpoint"), methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
    )
    return _Door(app, token, local)


Handler = Callable[[Request], Awaitable[Response]]


class _Api:
    """The routes' handlers."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def get(self, command: str) -> Handler:
        """A handler that reads."""

        async def handle(_: Request) -> Response:
            return await self._answer(command, {})

        return handle

    post = get

    def put(self, command: str, field: str) -> Handler:
        """A handler that sets one field of the body, which must be there."""

        async def handle(request: Request) -> Response:
            try:
                body = await _body(request)
                if field not in body:
                    raise RefusedError(f'the body must be a JSON object with "{field}"')
                if "engine" in request.path_params:
                    body["engine"] = request.path_params["engine"]
            except RefusedError as e:
                return _refusal(e)
            return await self._answer(command, body)

        return handle

    async def promote(self, request: Request) -> Response:
        """Promote a snapshot by its number in the path."""
        number = request.path_params["number"]
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            return _refusal(RefusedError(f"a snapshot has a whole number, not {number[:40]!r}"))
        return await self._answer("promote", {"number": int(number)})

    async def health(self, _: Request) -> Response:
        """Whether the process is there."""
        return JSONResponse({"ok": True})

    async def ready(self, _: Request) -> Response:
        """Whether commands are answered."""
        try:
            await self._ask("knob", {}, patience=1.0)
        except RefusedError as e:
            return _refusal(e)
        return JSONResponse({"ready": True})

    async def metrics(self, _: Request) -> Response:
        """Everything for Prometheus."""
        try:
            status = await self._ask("status", {})
        except RefusedError as e:
            return _refusal(e)
        return Response(metrics.exposition(status), media_type=metrics.CONTENT_TYPE)

    async def _answer(self, command: str, arguments: dict[str, Any]) -> Response:
        try:
            return JSONResponse(await self._ask(command, arguments))
        except RefusedError as e:
            return _refusal(e)

    async def _ask(
        self, command: str, arguments: dict[str, Any], patience: float = PATIENCE
    ) -> Any:
        """A command's value, executed in the service's own thread."""
        future = asyncio.wrap_future(self._mailbox.send(command, arguments))
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError:
            raise RefusedError(
                f"the controller is busy: no answer in {patience:g} s", 503
            ) from None


class _Door:
    """Lets in who carries the token, or who was sent here from this machine."""

    def __init__(self, app: ASGIApp, token: str | None, local: bool) -> None:
        self._app = app
        self._token = token
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            error = self._refuses(request)
            if error is not None:
                headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
                await _refusal(error, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuses(self, request: Request) -> RefusedError | None:
        if self._token is not None and request.url.path not in _OPEN:
            if not token_matches(request.headers.get("authorization"), self._token):
                return RefusedError("give the token: Authorization: Bearer TOKEN", 401)
        elif self._local:
            origin = request.headers.get("origin")
            for url in (f"http://{request.headers.get('host', '')}", origin):
                if url is not None and not _is_local(url):
                    return RefusedError(f"refused: {url} is not this machine", 403)
        return None


def _is_local(url: str) -> bool:
    """Whether a URL names this machine."""
    host = url.partition("://")[2].partition("/")[0]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return Address(host, 1).is_loopback


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        RefusedError: if it is too large or something else.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            raise RefusedError(f"the body may have {LARGEST_BODY} bytes", 413)
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise RefusedError(f"the body is not JSON: {e}") from None
    if not isinstance(body, dict):
        raise RefusedError(f"the body must be a JSON object, not {type(body).__name__}")
    return body


def _refusal(error: RefusedError, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": str(error)}, error.status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    """No such route, or no such method on it."""
    assert isinstance(error, HTTPException)
    about = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": about}, error.status_code, error.headers)


async def _internal_error(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _refusal(RefusedError("internal error; see the controller's log", 500))


def _listen(address: Address) -> socket.socket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, address.port))
        listener.listen(128)
    except OSError as e:
        listener.close()
        raise HttpError(
            f"cannot serve HTTP on {host}:{address.port}: {e.strerror}; "
            "stop what listens there or give another --http"
        ) from None
    return listener
