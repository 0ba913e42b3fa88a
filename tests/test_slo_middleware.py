"""Objectives at the API server, around small applications that show what reached them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi import Request as FastRequest
from flyball.inference.objectives import ARGUMENTS, HEADERS, resolve, with_verdict
from flyball.inference.vllm import SloMiddleware
from flyball.inference.vllm.slo_middleware import PATHS, error_body, rewrite
from flyball.policies.slo import DEFAULT_CLASSES, SloError
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

COMPLETIONS = "/v1/completions"
BODY: dict[str, Any] = {"model": "m", "prompt": "é \U0001f600 flyball", "max_tokens": 3}
TIGHT = {"flyball_slo_ttft_ms": 1000.0, "flyball_slo_tpot_ms": 50.0, "flyball_slo_class": "tight"}

Call = Callable[..., httpx.Response]


async def echo(request: Request) -> Response:
    """What arrived: the body as bytes, and the headers as they then are."""
    body = await request.body()
    return JSONResponse(
        {
            "body": body.decode("latin-1"),
            "length": dict(request.scope["headers"]).get(b"content-length", b"").decode(),
        }
    )


async def other(request: Request) -> Response:
    return PlainTextResponse(request.headers.get("x-slo-ttft-ms", ""))


def application() -> Starlette:
    routes = [Route(path, echo, methods=["POST"]) for path in sorted(PATHS)]
    routes += [Route("/v1/embeddings", other, methods=["POST"]), Route(COMPLETIONS, other)]
    return Starlette(routes=routes, middleware=[Middleware(SloMiddleware)])


def fast_application() -> FastAPI:
    """As vLLM's server is made: its endpoint gets a body that is read for it."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(SloMiddleware)

    @app.post(COMPLETIONS)
    async def completions(request: FastRequest, body: dict[str, Any]) -> Any:
        raw = (await request.body()).decode("latin-1")
        return {"body": raw, "length": request.headers.get("content-length")}

    return app


@pytest.fixture(params=[application, fast_application], ids=["starlette", "fastapi"])
def call(request: pytest.FixtureRequest) -> Call:
    app = request.param()

    def call(path: str = COMPLETIONS, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                method = options.pop("method", "POST")
                return await client.request(method, path, **options)

        return asyncio.run(run())

    return call


def arrived(answer: httpx.Response) -> Any:
    """The JSON that reached the application."""
    assert answer.status_code == 200, answer.text
    body = answer.json()["body"].encode("latin-1")
    assert answer.json()["length"] == str(len(body))
    return json.loads(body)


def refused(answer: httpx.Response) -> tuple[str, str]:
    """The message and the field of a refusal in the form of vLLM's own."""
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("BadRequestError", 400)
    return error["message"], error["param"]


def test_headers_reach_the_engine_in_vllm_xargs(call: Call) -> None:
    headers = {"X-SLO-TTFT-ms": "500", "x-slo-tpot-ms": "40.5", "x-slo-deadline-ms": "9000"}
    assert arrived(call(json=BODY, headers=headers)) == BODY | {
        "vllm_xargs": {
            "flyball_slo_ttft_ms": 500.0,
            "flyball_slo_tpot_ms": 40.5,
            "flyball_slo_deadline_ms": 9000.0,
        }
    }


def test_a_class_is_resolved_and_other_arguments_stay(call: Call) -> None:
    theirs = {"flyball_class": "code", "session_id": "s", "many": [1, 2.5, "three"]}
    body = BODY | {"vllm_xargs": theirs | {"flyball_slo_class": "tight"}}
    assert arrived(call(json=body)) == BODY | {"vllm_xargs": theirs | TIGHT}
    body = BODY | {"vllm_xargs": theirs | {"flyball_slo_ttft_ms": "70"}}
    answer = call(json=body, headers={"x-slo-class": "tight"})
    assert arrived(answer)["vllm_xargs"] == theirs | TIGHT | {"flyball_slo_ttft_ms": 70.0}
    answer = call(json=BODY | {"vllm_xargs": None}, headers={"x-slo-class": "none"})
    assert arrived(answer)["vllm_xargs"] == {"flyball_slo_class": "none"}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_endpoint_that_generates_takes_objectives(path: str) -> None:
    transport = httpx.ASGITransport(application())

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.post(path, json=BODY, headers={"x-slo-class": "tight"})

    assert arrived(asyncio.run(run()))["vllm_xargs"] == TIGHT


@pytest.mark.parametrize("value", ["-5", "0", "nan", "inf", "fast", "", "1e12", "1_0", "5,0", "é"])
@pytest.mark.parametrize("field", ["ttft", "tpot", "deadline"])
def test_nonsense_in_a_header_is_refused(call: Call, field: str, value: str) -> None:
    message, name = refused(call(json=BODY, headers={f"x-slo-{field}-ms": value.encode("latin-1")}))
    assert name == f"x-slo-{field}-ms"
    assert message.startswith(f"x-slo-{field}-ms must be a number of milliseconds from ")


@pytest.mark.parametrize(
    "value", ["-5", "0", "NaN", "-Infinity", '"fast"', "null", "true", "[5]", "{}", "1e999", '""']
)
def test_nonsense_in_vllm_xargs_is_refused(call: Call, value: str) -> None:
    body = f'{{"prompt": "p", "vllm_xargs": {{"flyball_slo_tpot_ms": {value}}}}}'
    message, name = refused(call(content=body, headers={"content-type": "application/json"}))
    assert name == "flyball_slo_tpot_ms"
    assert message.startswith("flyball_slo_tpot_ms must be a number of milliseconds from 0.1 to ")


def test_what_a_header_overrides_is_checked_too(call: Call) -> None:
    body = BODY | {"vllm_xargs": {"flyball_slo_ttft_ms": -1}}
    assert refused(call(json=body, headers={"x-slo-ttft-ms": "5"}))[1] == "flyball_slo_ttft_ms"


def test_an_unknown_class_lists_those_that_exist(call: Call) -> None:
    message, name = refused(call(json=BODY, headers={"x-slo-class": "tigth"}))
    assert name == "x-slo-class"
    assert message == "x-slo-class: no SLO class 'tigth'; there are: tight, loose, none"
    body = BODY | {"vllm_xargs": {"flyball_slo_class": 7}}
    assert refused(call(json=body))[1] == "flyball_slo_class"


def test_a_misspelt_argument_is_refused(call: Call) -> None:
    message, name = refused(call(json=BODY | {"vllm_xargs": {"flyball_slo_tfft_ms": 5}}))
    assert name == "flyball_slo_tfft_ms"
    assert "flyball_slo_ttft_ms, flyball_slo_tpot_ms" in message


def test_a_header_given_twice_is_refused(call: Call) -> None:
    headers = [("x-slo-ttft-ms", "5"), ("x-slo-ttft-ms", "6")]
    assert "not '5, 6'" in refused(call(json=BODY, headers=headers))[0]


def test_a_refusal_keeps_the_other_headers_of_the_answer() -> None:
    headers = {"x-slo-class": "x", "origin": "http://page"}

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(fast_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.post(COMPLETIONS, json=BODY, headers=headers)

    assert asyncio.run(run()).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "p",   "max_tokens": 1e0}',
        b'{"prompt": "flyball_slo_ttft_ms is only talked about"}',
        b'{"vllm_xargs": {"flyball_class": "code"}}',
        b"{}",
    ],
)
def test_what_names_no_objective_passes_byte_for_byte(call: Call, body: bytes) -> None:
    answer = call(content=body, headers={"content-type": "application/json"})
    assert answer.json()["body"].encode("latin-1") == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"flyball_slo_ttft_ms",
        b"\xff\xfeflyball_slo_",
        b'["flyball_slo_ttft_ms"]',
        b'{"vllm_xargs": "flyball_slo_ttft_ms"}',
        b'{"vllm_xargs": ["flyball_slo_ttft_ms"]}',
        b'{"flyball_slo_ttft_ms": ' + b"[" * 100_000,
        b'{"flyball_slo_ttft_ms": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(8),
)
def test_what_vllm_would_not_take_is_left_for_vllm_to_refuse(body: bytes) -> None:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(application())
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            headers = {"x-slo-ttft-ms": "5"} if b"999" not in body else {}
            return await client.post(COMPLETIONS, content=body, headers=headers)

    assert asyncio.run(run()).json()["body"].encode("latin-1") == body


def test_other_paths_and_methods_are_left_alone() -> None:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(application())
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            headers = {"x-slo-ttft-ms": "-5"}
            return [
                await client.post("/v1/embeddings", headers=headers),
                await client.get(COMPLETIONS, headers=headers),
            ]

    assert [answer.text for answer in asyncio.run(run())] == ["-5", "-5"]


WHATEVER = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=3,
)


@given(
    st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=8)),
    st.dictionaries(st.sampled_from([*ARGUMENTS, "flyball_slo_", "theirs"]), WHATEVER),
)
def test_whatever_comes_is_resolved_or_refused_by_name(
    headers: dict[str, str], arguments: dict[str, Any]
) -> None:
    body = json.dumps(BODY | {"vllm_xargs": arguments}).encode()
    error = None
    try:
        slo, changed = rewrite(body, headers, DEFAULT_CLASSES)
    except SloError as e:
        error = e
    if error is not None:
        assert error.field in {*headers, *arguments}
        assert json.loads(error_body(error))["error"]["param"] == error.field
        return
    if slo is None:
        assert changed == body
        return
    resolved = json.loads(changed)["vllm_xargs"]
    asked = {name: value for name, value in resolved.items() if name in ARGUMENTS}
    assert resolve({}, asked, DEFAULT_CLASSES) == slo
    assert ("theirs" in resolved) == ("theirs" in arguments)


# Below, messages are exchanged one by one, as a server does.


class Exchange:
    """One request, message by message, in both directions."""

    def __init__(self, app: Any, messages: list[dict[str, Any]], **headers: str) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._app = app
        self._messages = asyncio.Queue[dict[str, Any]]()
        for message in messages:
            self._messages.put_nowait(message)
        names = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": "/root" + COMPLETIONS,
            "root_path": "/root",
            "headers": names,
            "query_string": b"",
        }

    def start(self) -> asyncio.Task[None]:
        self.task = asyncio.ensure_future(self._app(self._scope, self._messages.get, self.sent.put))
        return self.task

    def give(self, message: dict[str, Any]) -> None:
        self._messages.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), 10)


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_may_come_in_many_parts() -> None:
    body = json.dumps(BODY | {"vllm_xargs": {"flyball_slo_class": "tight"}}).encode()

    async def run() -> Any:
        # Cut in the middle of what is looked for.
        at = body.index(b"flyball_slo") + 4
        parts = [part(body[:at], True), part(b"", True), part(body[at:], True), part(b"")]
        exchange = Exchange(application(), parts, content_length=str(len(body)))
        await exchange.start()
        await exchange.next()
        return json.loads((await exchange.next())["body"])

    said = asyncio.run(run())
    assert json.loads(said["body"]) == BODY | {"vllm_xargs": TIGHT}
    assert said["length"] == str(len(said["body"]))


def test_the_parts_of_other_requests_are_handed_on_as_they_came() -> None:
    seen = []

    async def app(_: Any, receive: Any, __: Any) -> None:
        seen.extend([await receive(), await receive(), await receive()])

    parts = [part(b'{"prompt"', True), part(b': "p"}'), {"type": "http.disconnect"}]
    asyncio.run(
        SloMiddleware(app)(
            {"type": "http", "method": "POST", "path": COMPLETIONS, "headers": []},
            iterator(parts),
            None,
        )
    )  # type: ignore[arg-type]
    assert seen == parts


def iterator(parts: list[dict[str, Any]]) -> Callable[[], Any]:
    left = iter(parts)

    async def receive() -> dict[str, Any]:
        return next(left)

    return receive


@pytest.mark.parametrize("parts", [[], [part(b'{"vllm_xargs"', True)]])
def test_a_client_that_leaves_amid_its_request_is_noticed(parts: list[dict[str, Any]]) -> None:
    seen = []

    async def app(_: Any, receive: Any, __: Any) -> None:
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())

    gone = {"type": "http.disconnect"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": COMPLETIONS,
        "headers": [(b"x-slo-class", b"tight")],
    }
    asyncio.run(SloMiddleware(app)(scope, iterator([*parts, gone]), None))  # type: ignore[arg-type]
    assert seen == [*parts, gone]


def test_the_body_is_not_read_before_it_is_asked_for() -> None:
    """A client without a key is turned away before anything of it is kept."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("no key", 401)(scope, receive, send)

    async def run() -> list[dict[str, Any]]:
        exchange = Exchange(SloMiddleware(app), [], x_slo_class="nonsense")
        await exchange.start()
        return [await exchange.next(), await exchange.next()]

    start, body = asyncio.run(run())
    assert (start["status"], body["body"]) == (401, b"no key")


class Engine:
    """An engine client: an output per word, and the verdict with the last one."""

    def __init__(self, missed: str | None = "", theirs: dict[str, Any] | None = None) -> None:
        self.missed, self.theirs = missed, theirs
        self.go = asyncio.Queue[None]()
        self.closed = False
        self.outputs: list[Any] = []

    async def generate(self, words: list[str]) -> AsyncIterator[Any]:
        try:
            for i, word in enumerate(words):
                await self.go.get()
                last = i == len(words) - 1 and self.missed is not None
                said = with_verdict(self.theirs, self.missed or "") if last else self.theirs
                self.outputs.append(SimpleNamespace(text=word, outputs=[], kv_transfer_params=said))
                yield self.outputs[-1]
        finally:
            self.closed = True


def generating(engine: Engine, done: bytes = b"data: [DONE]\n\n") -> Starlette:
    """Answers with the words of the engine, streamed if the request says so."""

    async def answer(request: Request) -> Response:
        body = await request.json()
        outputs = request.app.state.engine_client.generate(["one", "two"])
        if body.get("stream"):

            async def events() -> AsyncIterator[bytes]:
                async for output in outputs:
                    yield b'data: {"text": "data: [DONE] %s"}\n\n' % output.text.encode()
                if done:
                    yield done

            return StreamingResponse(events(), media_type="text/event-stream")
        text = "".join([output.text async for output in outputs])
        kept = [output.kv_transfer_params for output in request.app.state.engine_client.outputs]
        return JSONResponse({"text": text, "kv_transfer_params": kept[-1]})

    app = Starlette(
        routes=[Route(COMPLETIONS, answer, methods=["POST"])],
        middleware=[Middleware(SloMiddleware)],
    )
    app.state.engine_client = engine
    return app


async def whole(engine: Engine, **headers: str) -> tuple[dict[bytes, bytes], Any]:
    """Headers and JSON of an answer that is not streamed."""
    for _ in "12":
        engine.go.put_nowait(None)
    exchange = Exchange(generating(engine), [part(b'{"prompt": "p"}')], **headers)
    await exchange.start()
    start = await exchange.next()
    return dict(start["headers"]), json.loads((await exchange.next())["body"])


@pytest.mark.parametrize(
    ("missed", "says"),
    [("", b"met"), ("tpot", b"best-effort; missed=tpot"), (None, None)],
    ids=["met", "best effort", "an engine that says nothing"],
)
def test_an_answer_says_how_it_was_served(missed: str | None, says: bytes | None) -> None:
    async def run() -> tuple[dict[bytes, bytes], Any]:
        return await whole(Engine(missed), x_slo_tpot_ms="5")

    headers, body = asyncio.run(run())
    assert headers.get(b"x-slo-served") == says
    assert body == {"text": "onetwo", "kv_transfer_params": None}


def test_a_kv_connectors_answer_reaches_the_client_as_it_is() -> None:
    theirs = {"remote_block_ids": [3, 4], "do_remote_decode": False}

    async def run() -> tuple[dict[bytes, bytes], Any]:
        return await whole(Engine("ttft", theirs), x_slo_class="tight")

    headers, body = asyncio.run(run())
    assert headers[b"x-slo-served"] == b"best-effort; missed=ttft"
    assert body["kv_transfer_params"] == theirs


@pytest.mark.parametrize("headers", [{}, {"x_slo_class": "none"}], ids=["nothing", "class none"])
def test_nothing_is_said_without_an_objective(headers: dict[str, str]) -> None:
    async def run() -> tuple[dict[bytes, bytes], Any]:
        return await whole(Engine("tpot"), **headers)

    said, _ = asyncio.run(run())
    assert b"x-slo-served" not in said


def streamed(engine: Engine, done: bytes = b"data: [DONE]\n\n", **headers: str) -> Exchange:
    app = generating(engine, done)
    exchange = Exchange(app, [part(b'{"stream": true}')], **headers)
    exchange.start()
    return exchange


def test_a_stream_is_passed_on_event_by_event_and_says_at_its_end_how_it_was_served() -> None:
    async def run() -> list[bytes]:
        engine = Engine("tpot")
        exchange = streamed(engine, x_slo_class="tight")
        bodies = []
        for _ in "12":
            # The engine goes on only once the event before has come out here.
            engine.go.put_nowait(None)
            if not bodies:
                assert (await exchange.next())["status"] == 200
            bodies.append((await exchange.next())["body"])
        while not exchange.task.done() or not exchange.sent.empty():
            bodies.append((await exchange.next())["body"])
            await asyncio.sleep(0)
        return bodies

    first, second, end, *rest = asyncio.run(run())
    assert first == b'data: {"text": "data: [DONE] one"}\n\n'
    assert second == b'data: {"text": "data: [DONE] two"}\n\n'
    assert end == b": x-slo-served: best-effort; missed=tpot\n\ndata: [DONE]\n\n"
    assert b"".join(rest) == b""


@pytest.mark.parametrize(
    ("done", "missed", "end"),
    [
        (b"", "", b": x-slo-served: met\n\n"),
        (b"x\n\ndata: [DONE]\n\n", "", b"x\n\n: x-slo-served: met\n\ndata: [DONE]\n\n"),
        (b"data: [DONE]\n\n", None, b"data: [DONE]\n\n"),
    ],
    ids=["no end of its own", "with the last event", "an engine that says nothing"],
)
def test_a_streams_end_may_take_other_forms(done: bytes, missed: str | None, end: bytes) -> None:
    async def run() -> bytes:
        engine = Engine(missed)
        for _ in "12":
            engine.go.put_nowait(None)
        exchange = streamed(engine, done, x_slo_class="tight")
        await exchange.task
        sent = [await exchange.next() for _ in range(exchange.sent.qsize())]
        return b"".join(message.get("body", b"") for message in sent[3:])

    assert asyncio.run(run()) == end


@pytest.mark.parametrize("headers", [{}, {"x_slo_class": "tight"}], ids=["no SLO", "an SLO"])
def test_a_client_that_leaves_ends_the_generation(headers: dict[str, str]) -> None:
    async def run() -> bool:
        engine = Engine()
        exchange = streamed(engine, **headers)
        engine.go.put_nowait(None)
        await exchange.next()
        await exchange.next()
        exchange.give({"type": "http.disconnect"})
        await asyncio.wait_for(exchange.task, 10)
        return engine.closed

    assert asyncio.run(run())


def imported(classes: Path | str) -> subprocess.CompletedProcess[str]:
    """What becomes of a server that loads the middleware as vLLM does."""
    code = "import importlib as i; i.import_module('flyball.inference.vllm').SloMiddleware"
    env = {**os.environ, "FLYBALL_SLO_CLASSES": str(classes)}
    command = [sys.executable, "-c", f"{code}; import sys; print('vllm' in sys.modules)"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_server_with_a_bad_file_of_classes_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text("[chat]\nttft_ms = 'fast'\n")
    done = imported(path)
    assert done.returncode != 0
    assert f"FLYBALL_SLO_CLASSES={path}: {path}: SLO class 'chat': ttft_ms must" in done.stderr
    path.write_text("[chat]\nttft_ms = 5\n")
    done = imported(path)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
