"""Agents behind OpenAI-compatible endpoints, over real connections."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agent_server import Answer, Exchange, Server, called, chat, cut, piece, refused, usage
from flyball.inference.agents import world
from flyball.inference.agents.endpoint import Endpoint, Timeouts
from flyball.inference.agents.function_tools import pure
from flyball.inference.agents.openai import OpenAIAgent
from flyball.inference.agents.protocol import Action, AgentError, Call, Step, Turn
from flyball.inference.agents.rates import RateLimit
from flyball.inference.agents.retrying import Retries
from flyball.inference.agents.styles import TextStyle, ToolCalls

QUICK = Retries(most=2, first=0.01)


@pure
def read(path: str) -> str:
    """Read a file."""
    return path


STYLE = ToolCalls([read])
DONE = called("read", '{"pa', 'th": "x"}')


def asking(
    *answers: Answer,
    calls: int = 1,
    times: Timeouts | None = None,
    key: str | None = None,
    **options: Any,
) -> tuple[list[Turn | AgentError], list[Call], Server]:
    """Ask a server with these answers, one call after another."""

    async def run() -> tuple[list[Turn | AgentError], list[Call], Server]:
        ends: list[Turn | AgentError] = []
        kept = [Call() for _ in range(calls)]
        async with Server(*answers) as server, Endpoint(server.url, timeouts=times, key=key) as to:
            agent = OpenAIAgent("m", to, STYLE, **{"retries": QUICK, **options})
            for call in kept:
                try:
                    ends.append(await agent.act("a task", (), call))
                except AgentError as error:
                    ends.append(error)
            return ends, kept, server

    return asyncio.run(run())


def failing(*answers: Answer, **options: Any) -> str:
    """The error that these answers lead to."""
    (end,), _, _ = asking(*answers, **options)
    assert isinstance(end, AgentError), end
    return str(end)


def sending(*events: bytes | dict[str, Any], end: bool = True) -> Answer:
    """An answer that streams these."""

    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        for event in events:
            await (exchange.send(event) if isinstance(event, bytes) else exchange.event(event))
        await (exchange.end() if end else exchange.hang_up())

    return answer


def test_a_tool_call_comes_in_pieces_and_is_one_action() -> None:
    (turn,), (call,), server = asking(called("read", '{"pa', 'th": "x"}', text="I look."))
    assert turn == Turn(Action("read", {"path": "x"}), "I look.", turn.logprob)
    assert math.isnan(turn.logprob)
    assert (call.usage.prompt, call.usage.completion) == (100, 3)
    assert call.first > 0
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body["model"] == "m"
    assert request.body["temperature"] == 0
    assert request.body["stream_options"] == {"include_usage": True}
    assert [tool["function"]["name"] for tool in request.body["tools"]] == ["read", "finish"]
    assert request.body["messages"][-1] == {"role": "user", "content": "a task"}


def test_steps_before_are_shown_as_calls_and_what_they_observed() -> None:
    async def run() -> Server:
        steps = [Step(Turn(Action("read", {"path": "x"}), "hidden"), "tea")]
        async with Server(DONE) as server, Endpoint(server.url) as to:
            await OpenAIAgent("m", to, STYLE).act("a task", steps, Call())
            return server

    (request,) = asyncio.run(run()).requests
    asked, observed = request.body["messages"][-2:]
    (call,) = asked["tool_calls"]
    assert asked["content"] is None
    assert json.loads(call["function"]["arguments"]) == {"path": "x"}
    assert observed == {"role": "tool", "tool_call_id": call["id"], "content": "tea"}


def test_an_answer_without_a_call_is_the_answer() -> None:
    (turn,), _, _ = asking(chat("It is ", "tea."))
    assert isinstance(turn, Turn)
    assert turn.action == Action("finish", {"answer": "It is tea."})


def test_cached_prompt_tokens_are_told_apart() -> None:
    _, (call,), _ = asking(chat("tea", last=usage(200, 1, cached=128)))
    assert (call.usage.prompt, call.usage.cached, call.usage.completion) == (200, 128, 1)


def test_log_probabilities_of_the_answer_are_averaged() -> None:
    def token(text: str, logprob: float) -> dict[str, Any]:
        event = piece(text)
        event["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": logprob}]}
        return event

    answer = sending(token("a", -1.0), token("b", -2.0), piece(finish="stop"), b"data: [DONE]\n\n")
    (turn,), (call,), server = asking(answer)
    assert isinstance(turn, Turn)
    assert turn.logprob == pytest.approx(-1.5)
    assert call.usage.completion == 2
    assert server.requests[0].body["logprobs"] is True


def test_an_answer_that_is_not_streamed_is_understood() -> None:
    message = {"role": "assistant", "content": "tea"}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], **usage(9, 1)}
    body["choices"] = [{"message": message, "finish_reason": "stop"}]
    (turn,), (call,), _ = asking(refused(200, json.dumps(body)))
    assert isinstance(turn, Turn)
    assert turn.action.arguments == {"answer": "tea"}
    assert (call.usage.prompt, call.usage.completion) == (9, 1)


def test_connections_are_used_again() -> None:
    ends, _, server = asking(DONE, calls=5)
    assert all(isinstance(end, Turn) for end in ends)
    assert server.connections == 1


def test_the_same_agent_serves_one_event_loop_after_another() -> None:
    endpoint: list[Endpoint] = []

    async def run() -> Turn:
        async with Server(DONE) as server:
            if not endpoint:
                endpoint.append(Endpoint(server.url))
            endpoint[0].url = server.url
            return await OpenAIAgent("m", endpoint[0], STYLE).act("t", (), Call())

    assert asyncio.run(run()) == asyncio.run(run())


def test_plain_completions_are_asked_in_the_tool_worlds_text() -> None:
    texts = [("Action", -9.0), (": ", -9.0), ("finish", -1.0), (' {"answer": "x"}', -2.0)]

    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        for text, value in texts:
            logprobs = {"tokens": [text], "token_logprobs": [value]}
            await exchange.event({"choices": [{"text": text, "logprobs": logprobs}]})
        await exchange.event({"choices": [{"text": "", "finish_reason": "stop"}]})
        await exchange.send(b"data: [DONE]\n\n")
        await exchange.end()

    async def run() -> tuple[Turn, Server]:
        async with Server(answer) as server, Endpoint(server.url) as to:
            agent = OpenAIAgent("m", to, TextStyle("act", plain=True))
            return await agent.act(world.make_task(1, 2), (), Call()), server

    turn, server = asyncio.run(run())
    assert turn == Turn(Action("finish", {"answer": "x"}), "", pytest.approx(-1.5))
    assert server.requests[0].path == "/v1/completions"
    assert server.requests[0].body["prompt"] == world.prompt(world.make_task(1, 2), (), "act")
    assert server.requests[0].body["logprobs"] == 1


def test_tokens_of_a_prompt_are_foreseen_as_earlier_answers_told() -> None:
    last = usage(1000, 1)
    answers = [chat("tea", last=last)] * 12
    times = Timeouts(first=0.3, total=30.0)
    _, kept, _ = asking(*answers, silent(nothing), calls=13, times=times)
    assert kept[-1].usage.prompt == pytest.approx(1000, rel=0.01)


def test_no_request_is_sent_before_its_limit_allows() -> None:
    async def run() -> Server:
        async with Server(DONE) as server, Endpoint(server.url) as to:
            agent = OpenAIAgent("m", to, STYLE, limit=RateLimit(requests=0.01))
            await agent.act("t", (), Call())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(agent.act("t", (), Call()), 0.2)
            return server

    assert len(asyncio.run(run()).requests) == 1


# What fails for a while.


@pytest.mark.parametrize("failure", [refused(429), refused(503), refused(500), cut])
def test_passing_failures_are_tried_again(failure: Answer) -> None:
    (turn,), (call,), server = asking(failure, failure, DONE)
    assert isinstance(turn, Turn)
    assert call.retries == 2
    assert len(server.requests) == 3
    assert call.usage.prompt == 100


def test_it_gives_up_after_so_many_attempts_and_nothing_is_charged() -> None:
    (error,), (call,), server = asking(refused(503, "overloaded"))
    assert "HTTP 503: overloaded" in str(error)
    assert len(server.requests) == 3
    assert call.retries == 2
    assert call.usage.prompt == call.usage.completion == 0


def test_what_a_server_asks_to_wait_is_waited() -> None:
    times: list[float] = []

    def noting(answer: Answer) -> Answer:
        async def noted(exchange: Exchange) -> None:
            times.append(asyncio.get_running_loop().time())
            await answer(exchange)

        return noted

    asking(noting(refused(429, retry_after="0.3")), noting(DONE))
    assert times[1] - times[0] >= 0.3


def test_a_server_that_asks_to_wait_too_long_is_not_waited_for() -> None:
    said = failing(refused(429, "later", retry_after="3600"))
    assert "3600 s" in said
    assert "60 s at most" in said


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_what_will_not_get_better_is_not_tried_again(status: int) -> None:
    body = json.dumps({"error": {"message": "no such thing"}})
    (error,), _, server = asking(refused(status, body))
    assert f"HTTP {status}: no such thing" in str(error)
    assert len(server.requests) == 1


def test_an_account_with_nothing_left_is_not_tried_again() -> None:
    body = json.dumps({"error": {"message": "you have no money", "code": "insufficient_quota"}})
    _, _, server = asking(refused(429, body))
    assert len(server.requests) == 1


def test_nobody_there_is_said() -> None:
    async def run() -> None:
        async with Server(DONE) as server:
            url = server.url
        agent = OpenAIAgent("m", Endpoint(url), STYLE, retries=Retries(most=0))
        await agent.act("t", (), Call())

    with pytest.raises(AgentError, match="is it up"):
        asyncio.run(run())


def test_a_connection_that_is_lost_in_the_midst_is_not_tried_again() -> None:
    answer = sending(piece("a"), piece("b"), end=False)
    (error,), (call,), server = asking(answer)
    assert "lost after 2 tokens" in str(error)
    assert len(server.requests) == 1
    assert call.usage.completion == 2


def test_optional_fields_that_an_endpoint_refuses_are_left_out_from_then_on() -> None:
    async def picky(exchange: Exchange) -> None:
        for field in ("logprobs", "parallel_tool_calls"):
            if field in exchange.body:
                await exchange.whole(400, f"unknown field: {field}")
                return
        await DONE(exchange)

    ends, _, server = asking(picky, calls=2)
    assert all(isinstance(end, Turn) for end in ends)
    assert len(server.requests) == 4
    assert server.requests[-1].body["stream_options"]


def test_fields_of_the_users_go_before_ours() -> None:
    fields = {"max_tokens": None, "max_completion_tokens": 7, "temperature": 0.5}
    _, _, server = asking(DONE, fields=fields)
    body = server.requests[0].body
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["temperature"]) == (7, 0.5)


# What is late.


def silent(wait: Callable[[Exchange], Awaitable[None]]) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await wait(exchange)
        await exchange.gone()

    return answer


async def nothing(_: Exchange) -> None:
    pass


async def keeping_alive(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.send(b": still here\n\n")
    await exchange.event(piece("", role="assistant"))


@pytest.mark.parametrize("wait", [nothing, keeping_alive])
def test_a_first_token_that_does_not_come_is_given_up(
    wait: Callable[[Exchange], Awaitable[None]],
) -> None:
    times = Timeouts(first=0.1, total=30.0)
    assert "no token within 0.1 s" in failing(silent(wait), times=times)


def test_an_answer_that_does_not_end_is_given_up() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.event(piece("on and on "))
            await asyncio.sleep(0.001)

    said = failing(endless, times=Timeouts(first=0.2, total=0.2))
    assert "not done within 0.2 s" in said


def test_a_stream_that_is_complete_need_not_be_closed_by_the_server() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event(piece("tea", "stop"))
        await exchange.send(b"data: [DONE]\n\n")
        await exchange.gone()

    (turn,), _, _ = asking(answer)
    assert isinstance(turn, Turn)


# What makes no sense.


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (sending(b"<html>oops</html>\n"), "no server-sent event: b'<html>oops"),
        (sending(b"\x00\xff\xfe\n"), "no server-sent event"),
        (sending(b"data: {nonsense}\n\n"), "malformed JSON"),
        (sending(b'data: {"choices": 3}\n\n'), "malformed JSON"),
        (sending(b'data: {"choices": [], "usage": {"prompt_tokens": -1}}\n\n'), "malformed JSON"),
        (sending(b"data: " + b"[" * 100_000 + b"\n\n"), "malformed JSON"),
        (sending({"error": {"message": "out of memory"}}), "out of memory"),
        (sending(piece("tea")), "broke off after 1 tokens"),
        (sending(piece(tool_calls=[{"index": 9, "function": {}}])), "tool call 9"),
        (chat("tea", finish="length"), "max_tokens"),
        (chat("tea", finish="content_filter"), "withheld"),
        (chat("  "), "expected a call of a tool"),
        (called("read", '{"path": '), "must be a JSON object"),
        (called("read", "[1]"), "must be a JSON object"),
        (called(""), "without a name"),
        (refused(200, "<html>"), "malformed JSON"),
        (refused(200, json.dumps({"choices": []})), "broke off"),
    ],
)
def test_garbage_is_an_error_that_says_what_was_wrong(answer: Answer, complaint: str) -> None:
    assert complaint in failing(answer)


@pytest.mark.parametrize("line", [b"data: {}\n\n", b": comment\n\n", b"x", b'data: "'])
def test_an_endless_answer_is_broken_off(line: bytes) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.begin()
        while True:
            await exchange.send(line * 1000)

    assert "longer than 50000 bytes" in failing(endless, most_bytes=50_000)


def test_an_oversized_answer_that_is_not_streamed_is_broken_off() -> None:
    assert "longer than 50000" in failing(refused(200, "x" * 60_000), most_bytes=50_000)


# Cancellation.


def test_a_cancelled_call_ends_the_generation_and_has_counted_its_tokens() -> None:
    async def run() -> tuple[Call, int]:
        told, begun = asyncio.Event(), asyncio.Event()

        async def generating(exchange: Exchange) -> None:
            await exchange.begin()
            for _ in range(3):
                await exchange.event(piece("x"))
            begun.set()
            await exchange.gone()
            told.set()

        call = Call()
        async with Server(generating) as server, Endpoint(server.url) as to:
            task = asyncio.create_task(OpenAIAgent("m", to, STYLE).act("t", (), call))
            await begun.wait()
            while call.usage.completion < 3:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(told.wait(), 10)
            left = [t for t in asyncio.all_tasks() if "_accept" not in repr(t)]
            return call, len(left)

    call, left = asyncio.run(run())
    assert call.usage.completion == 3
    assert call.usage.prompt > 0
    assert left == 1  # the test itself


@pytest.mark.parametrize("wait", [nothing, keeping_alive])
def test_a_call_that_is_cancelled_before_its_first_token_is_told_to_the_server(
    wait: Callable[[Exchange], Awaitable[None]],
) -> None:
    async def run() -> None:
        came, told = asyncio.Event(), asyncio.Event()

        async def waiting(exchange: Exchange) -> None:
            await wait(exchange)
            came.set()
            await exchange.gone()
            told.set()

        async with Server(waiting) as server, Endpoint(server.url) as to:
            task = asyncio.create_task(OpenAIAgent("m", to, STYLE).act("t", (), Call()))
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(told.wait(), 10)

    asyncio.run(run())


def test_one_of_many_is_cancelled_and_the_others_go_on() -> None:
    async def run() -> list[Any]:
        both = asyncio.Event()
        gate = asyncio.Event()

        async def held(exchange: Exchange) -> None:
            if len(server.requests) == 6:
                both.set()
            await gate.wait()
            await DONE(exchange)

        async with Server(held) as server, Endpoint(server.url) as to:
            agent = OpenAIAgent("m", to, STYLE)
            tasks = [asyncio.create_task(agent.act("t", (), Call())) for _ in range(6)]
            await both.wait()
            for task in tasks[::2]:
                task.cancel()
            await asyncio.sleep(0)
            gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    ends = asyncio.run(run())
    assert all(isinstance(end, asyncio.CancelledError) for end in ends[::2])
    assert all(isinstance(end, Turn) for end in ends[1::2])


# Keys.


def test_the_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = "sk-secret-0815"
    (error,), _, server = asking(refused(401, f"wrong key {key}"), key=key)
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert "wrong key [key]" in str(error)
    assert key not in str(error) + caplog.text + repr(Endpoint("http://x/v1", key=key))


def test_no_key_is_taken_that_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0815")
    _, _, server = asking(DONE)
    assert "authorization" not in server.requests[0].headers


def test_a_key_may_be_in_an_environment_variable_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="MY_KEY"):
        Endpoint("http://x/v1", key_variable="MY_KEY")
    monkeypatch.setenv("MY_KEY", "sk-1\n")
    assert Endpoint("http://x/v1", key_variable="MY_KEY").hidden("sk-1") == "[key]"
    with pytest.raises(ValueError, match="not both"):
        Endpoint("http://x/v1", key="a", key_variable="MY_KEY")
    with pytest.raises(ValueError, match="no HTTP header") as refusal:
        Endpoint("http://x/v1", key="sk-\r\nX: 1")
    assert "sk-" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("localhost:8000/v1", "begins with http"),
        ("ftp://x/v1", "begins with http"),
        ("http://", "begins with http"),
        ("http://me:secret@x/v1", "no user and password"),
        ("http://x/v1?key=1", "ends with its path"),
        ("http://x:port/v1", "no address"),
    ],
)
def test_what_is_no_address_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        Endpoint(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("times", [{"connect": 0}, {"first": 5, "total": 1}, {"first": math.nan}])
def test_times_that_make_no_sense_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="timeouts"):
        Timeouts(**times)


@pytest.mark.parametrize("options", [{"most": -1}, {"first": -1}, {"longest": math.inf}])
def test_retries_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="retries"):
        Retries(**options)
