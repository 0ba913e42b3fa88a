"""Service-level objectives at vLLM's API server, as a pure ASGI middleware.

``vllm serve --middleware flyball.inference.vllm.SloMiddleware`` reads objectives from headers and
from ``vllm_xargs``, refuses what makes no sense, and hands the engine what they come to. The engine
says how a request with objectives was served; the middleware passes it on, as a response header or,
to a stream, as a comment before its end.

The body is read when vLLM asks for it, after vLLM has checked the client's key; what is refused is
answered in place of vLLM's own answer, whose other headers (CORS, request id) stay.
"""

from __future__ import annotations

import json
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ...policies.slo import Slo, SloClasses, SloError
from ..objectives import ARGUMENTS, HEADERS, PREFIX, SERVED, Verdict, as_arguments, resolve
from ..settings import slo_classes
from .verdicts import LISTENING, listen

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS: Final = frozenset({"/v1/completions", "/v1/chat/completions", "/v1/responses"})
"""Where objectives are read."""

CONFIGURED: Final = slo_classes()
"""Read here, so that a server with a bad file does not start: vLLM makes its middleware only after
its start, where an error would end nothing."""

_DONE: Final = b"data: [DONE]"
_NAMES: Final = {name.encode(): name for name in HEADERS}


class SloMiddleware:
    """Objectives from clients to the engine, and verdicts back.

    Args:
        app: what it is around.
        classes: SLO classes that exist; by default those of FLYBALL_SLO_CLASSES.
    """

    def __init__(self, app: ASGIApp, classes: SloClasses = CONFIGURED) -> None:
        self._app = app
        self._classes = classes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if not _is_ours(scope):
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._classes)
        token = LISTENING.set(exchange.verdict)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except SloError as e:
            # An application that does not answer an error of its ``receive`` lets it through.
            if e is not exchange.error:
                raise
        finally:
            LISTENING.reset(token)
        if exchange.error is not None:
            await exchange.refuse()


class Exchange:
    """One request and its answer.

    Args:
        scope: of the request.
        receive: gives the request's messages.
        send: takes the answer's.
        classes: SLO classes that exist.

    Attributes:
        error: what is wrong with the objectives; None for nothing, or while that is not known.
        verdict: how the request was served.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, classes: SloClasses) -> None:
        self.error: SloError | None = None
        self.verdict = Verdict()
        self._scope, self._classes = scope, classes
        self._receive, self._send = receive, send
        self._read: deque[Message] | None = None  # of the request, not yet handed on
        self._refused = self._streams = False

    async def receive(self) -> Message:
        """The request's next message, objectives resolved; a disconnect as ever.

        Raises:
            SloError: if the objectives make no sense.
        """
        if self._read is None:
            self._read = deque()
            self._read.extend(await self._request())
        return self._read.popleft() if self._read else await self._receive()

    async def _request(self) -> list[Message]:
        """All messages of the request."""
        messages = [await self._receive()]
        while messages[-1].get("more_body"):
            messages.append(await self._receive())
        if messages[-1]["type"] != "http.request":
            return messages  # the client is gone
        body = b"".join(message.get("body", b"") for message in messages)
        try:
            slo, changed = rewrite(body, _headers(self._scope), self._classes)
        except SloError as e:
            self.error = e
            raise
        if slo is None:
            return messages
        self.verdict.wanted = slo.bound
        if slo.bound:
            listen(getattr(getattr(self._scope.get("app"), "state", None), "engine_client", None))
        _set_length(self._scope, len(changed))
        return [{"type": "http.request", "body": changed, "more_body": False}]

    async def send(self, message: Message) -> None:
        """Pass on a message of the answer."""
        if self.error is not None:
            if message["type"] == "http.response.start":
                await self.refuse(message.get("headers", ()))
            return
        if self.verdict.wanted and message["type"] == "http.response.start":
            message = self._start(message)
        elif self._streams and message["type"] == "http.response.body":
            message = self._part(message)
        await self._send(message)

    async def refuse(self, headers: Any = ()) -> None:
        """Say what is wrong with the objectives, once.

        Args:
            headers: of the answer that this takes the place of.
        """
        assert self.error is not None
        if self._refused:
            return
        self._refused = True
        body = error_body(self.error)
        own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        kept = [(k, v) for k, v in headers if k.lower() not in {name for name, _ in own}]
        start = {"type": "http.response.start", "status": 400, "headers": [*kept, *own]}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _start(self, message: Message) -> Message:
        headers = list(message.get("headers", ()))
        types = [value for name, value in headers if name.lower() == b"content-type"]
        self._streams = any(value.startswith(b"text/event-stream") for value in types)
        if self.verdict.known:
            headers.append((SERVED.encode(), str(self.verdict).encode()))
        return {**message, "headers": headers}

    def _part(self, message: Message) -> Message:
        """A part of a stream, with the verdict before its end."""
        body = message.get("body", b"")
        # A line break is never raw inside of an event's JSON.
        at = 0 if body.startswith(_DONE) else body.find(b"\n" + _DONE) + 1
        over = body.startswith(_DONE) or at > 0
        if not self.verdict.known or not (over or not message.get("more_body")):
            return message
        self._streams = False  # said once
        at = at if over else len(body)
        comment = f": {SERVED}: {self.verdict}\n\n".encode()
        return {**message, "body": body[:at] + comment + body[at:]}


def rewrite(body: bytes, headers: dict[str, str], classes: SloClasses) -> tuple[Slo | None, bytes]:
    """A request's body with its objectives resolved, and these; None if it names none.

    What is no request that vLLM would take is left as it is, for vLLM to refuse.

    Args:
        body: of the request.
        headers: its headers of objectives, names in lower case.
        classes: SLO classes that exist.

    Raises:
        SloError: naming the field as the client wrote it, and what is allowed.
    """
    # Most requests have no objectives: theirs are not parsed.
    if not headers and PREFIX.encode() not in body:
        return None, body
    try:
        request = json.loads(body)  # the parser that vLLM's server uses, so both read the same
    except (ValueError, RecursionError):
        return None, body
    arguments = request.get("vllm_xargs", {}) if isinstance(request, dict) else ()
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return None, body
    asked = {name: value for name, value in arguments.items() if name.startswith(PREFIX)}
    if not headers and not asked:
        return None, body
    slo = resolve(headers, asked, classes)
    kept = {name: value for name, value in arguments.items() if name not in ARGUMENTS}
    request["vllm_xargs"] = kept | as_arguments(slo)
    return slo, json.dumps(request, separators=(",", ":")).encode()


def error_body(error: SloError) -> bytes:
    """The body of a refusal, in the form of vLLM's own."""
    said = {
        "message": str(error),
        "type": "BadRequestError",
        "param": error.field or None,
        "code": HTTPStatus.BAD_REQUEST.value,
    }
    return json.dumps({"error": said}).encode()


def _is_ours(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    return scope["path"].removeprefix(scope.get("root_path", "")) in PATHS


def _headers(scope: Scope) -> dict[str, str]:
    """Headers of objectives; one that is given twice is a list, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if shown := _NAMES.get(name.lower()):
            text = value.decode("latin-1")
            found[shown] = f"{found[shown]}, {text}" if shown in found else text
    return found


def _set_length(scope: Scope, length: int) -> None:
    scope["headers"] = [
        (name, b"%d" % length if name.lower() == b"content-length" else value)
        for name, value in scope["headers"]
    ]
