"""``flyball.plan`` and the examples, against a server that speaks the OpenAI API."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flyball
import pytest
from agent_server import Answer, Exchange, Server, called
from flyball.inference.agents.costs import ModelPrice
from flyball.inference.agents.environment import Tool
from flyball.policies.plan.fixed import Fixed

EXAMPLES = Path(__file__).parent.parent / "examples"
PRICES = {"small": ModelPrice(0.1, 0.1, 0.1), "large": ModelPrice(1, 1, 1)}
Calls = Sequence[tuple[str, Mapping[str, Any]]]


def scripted(**scripts: Calls) -> Answer:
    """Each model does what its script says for the step that a request is about."""

    async def answer(exchange: Exchange) -> None:
        step = sum(message["role"] == "tool" for message in exchange.body["messages"])
        name, arguments = scripts[exchange.body["model"]][step]
        if exchange.body.get("stream"):
            await called(name, json.dumps(arguments))(exchange)
            return
        call = {"id": "a", "type": "function", "function": {"name": name}}
        call["function"]["arguments"] = json.dumps(arguments)  # type: ignore[index]
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        counts = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
        body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        await exchange.whole(200, json.dumps({**body, "choices": [choice], "usage": counts}))

    return answer


RIGHT: Calls = [
    ("area", {"country": "Norway"}),
    ("area", {"country": "Sweden"}),
    ("note", {"text": "Sweden"}),
    ("finish", {"answer": "Sweden"}),
]
ASTRAY: Calls = [RIGHT[0], ("area", {"country": "Denmark"}), RIGHT[2], RIGHT[3]]


def planning(ahead: int, small: Calls = ASTRAY, **options: Any) -> tuple[Any, list[str], Server]:
    noted: list[str] = []

    @flyball.pure
    def area(country: str) -> str:
        return country.upper()

    @flyball.effectful
    async def note(text: str) -> str:
        noted.append(text)
        return text

    async def run() -> tuple[Any, list[str], Server]:
        tools = [area, note]
        answer = scripted(small=small, large=RIGHT)
        async with Server(answer) as server, flyball.Endpoint(server.url) as to:
            style = flyball.ToolCalls(tools)
            done = await flyball.plan(
                "Which is larger?",
                approximation=flyball.OpenAIAgent("small", to, style),
                target=flyball.OpenAIAgent("large", to, style),
                tools=tools,
                **{"policy": Fixed(ahead), "prices": PRICES, **options},
            )
            return done, noted, server

    return asyncio.run(run())


@pytest.mark.parametrize("ahead", [0, 1, 2, 8])
@pytest.mark.parametrize("small", [RIGHT, ASTRAY])
def test_however_far_it_runs_ahead_what_is_done_is_the_targets(ahead: int, small: Calls) -> None:
    done, noted, server = planning(ahead, small)
    assert [(action.tool, action.arguments) for action in done.actions] == list(RIGHT)
    assert noted == ["Sweden"]
    assert done.complete
    assert done.steps[-1].observation == "Sweden"
    models = {request.body["model"] for request in server.requests}
    assert models == ({"large"} if ahead == 0 else {"small", "large"})


def test_without_a_policy_it_learns_and_is_ready_for_the_next_plan() -> None:
    for _ in range(2):
        done, noted, _ = planning(0, policy=None)
        assert done.complete
        assert noted == ["Sweden"]


def test_every_call_is_charged_by_its_models_price() -> None:
    done, _, _ = planning(0)
    assert done.ledger.dollars == pytest.approx(4 * 102 / 1e6)


def test_a_model_without_a_price_is_refused() -> None:
    with pytest.raises(ValueError, match="no price of model 'small'; known are "):
        planning(1, prices={"large": PRICES["large"]})


def test_a_price_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"the price of 'small' must be a ModelPrice.*'1/1/1'"):
        planning(1, prices={**PRICES, "small": "1/1/1"})


def test_agents_of_one_name_are_each_charged_by_their_own_price() -> None:
    class Asks:
        def __init__(self, turns: int) -> None:
            self.turns = turns

        async def __call__(self, task: str, steps: Any, call: flyball.Call) -> flyball.Action:
            call.usage.completion = 10
            for _ in range(self.turns):  # of the loop, so that T is sure to be the last
                await asyncio.sleep(0)
            return flyball.Action("finish", {"answer": "42"})

    async def run(**options: Any) -> flyball.Trajectory:
        small = flyball.FunctionAgent(Asks(0), price=ModelPrice(0, 0, 1))
        large = flyball.FunctionAgent(Asks(20), price=ModelPrice(0, 0, 100))
        assert small.model == large.model
        return await flyball.plan(
            "?", approximation=small, target=large, tools=[], policy=Fixed(1), **options
        )

    ledger = asyncio.run(run()).ledger
    assert ledger.total("T").dollars == pytest.approx(10 * 100 / 1e6)
    assert ledger.total("A").dollars == pytest.approx(10 * 1 / 1e6)
    ledger = asyncio.run(run(prices={"Asks": ModelPrice(0, 0, 7)})).ledger
    assert ledger.total("T").dollars == pytest.approx(10 * 7 / 1e6)


def test_a_plan_that_is_cancelled_tells_the_server_of_every_call() -> None:
    async def run() -> tuple[int, int]:
        under_way = 0
        all_there, none_left = asyncio.Event(), asyncio.Event()
        area = scripted(small=RIGHT)

        async def answer(exchange: Exchange) -> None:
            nonlocal under_way
            if exchange.body["model"] == "small":
                await area(exchange)
                return
            under_way += 1
            if under_way == 3:
                all_there.set()
            await exchange.begin()
            await exchange.gone()
            under_way -= 1
            if under_way == 0:
                none_left.set()

        async with Server(answer) as server, flyball.Endpoint(server.url) as to:
            tools = [Tool("area", lambda country: country), Tool("note", str, effectful=True)]
            style = flyball.ToolCalls(tools)
            before = asyncio.all_tasks()
            small, large = (flyball.OpenAIAgent(name, to, style) for name in ("small", "large"))
            plan = flyball.plan(
                "Which is larger?",
                approximation=small,
                target=large,
                tools=tools,
                policy=Fixed(8),
                prices=PRICES,
            )
            running = asyncio.create_task(plan)
            await asyncio.wait_for(all_there.wait(), 10)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await asyncio.wait_for(none_left.wait(), 10)
            ours = [t for t in asyncio.all_tasks() - before if "_accept" not in repr(t)]
            return under_way, len(ours)

    assert asyncio.run(run()) == (0, 0)


@pytest.mark.parametrize("client", ["openai", "flyball"])
def test_the_example_with_a_client_runs(client: str) -> None:
    if client == "openai":
        pytest.importorskip("openai")
    prices = ["--price", "small=.1/.1/.1", "--price", "large=1/1/1"]
    models = ["--approximation", "small", "--target", "large", "--client", client]
    said = _run("plan_openai.py", scripted(small=ASTRAY, large=RIGHT), *prices, *models)
    assert 'finish {"answer": "Sweden"} -> Sweden' in said
    assert "notes: ['Sweden']" in said


def test_the_example_with_a_function_runs() -> None:
    script = [("count", {"fruit": fruit}) for fruit in ("apples", "pears", "plums")]
    large = scripted(large=[*script, ("finish", {"answer": "15"})])
    said = _run("plan_function.py", large, "--target", "large", "--price", "large=1/1/1")
    assert 'finish {"answer": "15"} -> 15' in said


def _run(example: str, answer: Answer, *options: str) -> str:
    """Run an example as a user does, against a server; what it prints."""

    async def run() -> str:
        async with Server(answer) as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(EXAMPLES / example),
                "--url",
                server.url,
                *options,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            return output.decode()

    return asyncio.run(run())
