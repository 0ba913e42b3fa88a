"""Plain Python functions as tools and as agents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import pytest
from flyball.inference.agents.costs import ModelPrice
from flyball.inference.agents.environment import Nature, Tools
from flyball.inference.agents.function import FunctionAgent
from flyball.inference.agents.function_tools import effectful, final, finish, pure, tool, tools
from flyball.inference.agents.protocol import Action, ActionError, AgentError, Call, Step, Turn


class Place(msgspec.Struct):
    """A city and its country."""

    city: str
    country: str = "NO"


@pure
def trains(
    from_: Annotated[str, msgspec.Meta(description="city")],
    to: Place,
    kind: Literal["day", "night"] = "day",
    most: int | None = None,
) -> list[str]:
    """Look for
    trains.

    More on trains.
    """
    return [f"{from_} {to.city} {to.country} {kind} {most}"]


@effectful
async def book(offer: str) -> str:
    await asyncio.sleep(0)
    return f"booked {offer}"


def test_the_schema_is_read_off_the_types() -> None:
    made = tool(trains)
    assert made.about == "Look for trains."
    schema = made.parameters
    assert schema["type"] == "object"
    assert schema["required"] == ["from", "to"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["from"] == {"description": "city", "type": "string"}
    assert schema["properties"]["kind"] == {"enum": ["day", "night"], "default": "day"}
    assert schema["properties"]["to"] == {"$ref": "#/$defs/Place"}
    assert schema["$defs"]["Place"]["required"] == ["city"]


def test_what_tools_may_do_is_as_declared() -> None:
    made = Tools(tools([trains, book]))
    assert made.check(Action("trains", {"from": "a", "to": {"city": "b"}})) == Nature()
    assert made.check(Action("book", {"offer": "F1"})) == Nature(effectful=True)
    assert made.check(Action("finish", {"answer": "x"})) == Nature(final=True)


def test_tools_run_with_what_they_take() -> None:
    async def run(name: str, **arguments: Any) -> str:
        answer = Tools(tools([trains, book])).execute(Action(name, arguments))
        return answer if isinstance(answer, str) else await answer

    observed = asyncio.run(run("trains", **{"from": "Oslo", "to": {"city": "Rome"}, "most": 2}))
    assert observed == '["Oslo Rome NO day 2"]'
    assert asyncio.run(run("book", offer="F1")) == "booked F1"


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("fly", {}, "no tool fly"),
        ("book", {}, "missing required field `offer`"),
        ("book", {"offer": 3}, "Expected `str`, got `int`"),
        ("book", {"offer": "F1", "seat": 2}, "unknown field `seat`"),
        ("trains", {"from_": "a", "to": {"city": "b"}}, "book|trains takes from, to, kind, most"),
        ("trains", {"from": "a", "to": {"city": 1}}, "to.city"),
        ("trains", {"from": "a", "to": {"city": "b"}, "kind": "noon"}, "Invalid enum"),
    ],
)
def test_wrong_calls_are_refused_with_what_is_wrong(
    name: str, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ActionError, match=complaint):
        Tools(tools([trains, book])).check(Action(name, arguments))


def test_a_function_that_blocks_does_not_hold_up_the_loop() -> None:
    gate = threading.Event()

    @pure
    def slow() -> str:
        assert gate.wait(10)
        return "done"

    async def run() -> str:
        waiting = asyncio.ensure_future(tool(slow).run())
        await asyncio.sleep(0)
        gate.set()
        return await waiting

    assert asyncio.run(run()) == "done"


def test_a_default_that_can_change_is_not_shared() -> None:
    @pure
    def add(word: str, words: list[str] = []) -> list[str]:  # noqa: B006 - what this is about
        words.append(word)
        return words

    made = tool(add)

    async def run() -> list[str]:
        return [await made.run(word="a"), await made.run(word="b")]

    assert asyncio.run(run()) == ['["a"]', '["b"]']


def test_a_task_can_end_with_a_tool_of_the_users() -> None:
    @final
    @effectful
    def submit(text: str) -> str:
        return text

    made = tools([submit])
    assert [(each.name, each.final, each.effectful) for each in made] == [("submit", True, True)]
    assert [each.name for each in tools([book])] == ["book", "finish"]
    assert finish("x") == "x", "a declared function is still the function"


def test_functions_that_are_no_tools_are_refused() -> None:
    def undeclared(x: str) -> str:
        return x

    @pure
    def untyped(x) -> str:  # type: ignore[no-untyped-def]
        return x

    @pure
    def starred(*x: str) -> str:
        return x[0]

    @pure
    def odd(x: threading.Thread) -> str:
        return str(x)

    wrongs = {
        undeclared: "@pure or @effectful",
        untyped: "needs a type",
        starred: "cannot be given by name",
        odd: "Thread",
    }
    for function, complaint in wrongs.items():
        with pytest.raises(TypeError, match=complaint):
            tool(function)


# Agents.

GO = Action("book", {"offer": "F1"})


def asked(agent: FunctionAgent, call: Call | None = None) -> Turn:
    return asyncio.run(agent.act("task", (), call or Call()))


def test_plain_and_asynchronous_functions_are_agents() -> None:
    def plain(task: str, steps: Sequence[Step]) -> Action:
        assert threading.current_thread() is not threading.main_thread()
        return GO

    async def waiting(task: str, steps: Sequence[Step]) -> Turn:
        await asyncio.sleep(0)
        return Turn(GO, "hm", -0.5)

    assert asked(FunctionAgent(plain)) == Turn(GO, "", asked(FunctionAgent(plain)).logprob)
    assert asked(FunctionAgent(waiting)) == Turn(GO, "hm", -0.5)
    assert FunctionAgent(plain).model == "plain"
    assert FunctionAgent(plain).price == ModelPrice(0, 0, 0)


def test_a_function_may_count_its_tokens() -> None:
    def counting(task: str, steps: Sequence[Step], call: Call) -> Action:
        call.usage.completion += 7
        return GO

    call = Call()
    agent = FunctionAgent(counting, model="gpt-4.1")
    asked(agent, call)
    assert call.usage.completion == 7
    assert agent.model == "gpt-4.1"
    assert agent.price is None


def test_an_object_that_can_be_called_is_a_function() -> None:
    class Thinker:
        async def __call__(self, task: str, steps: Sequence[Step]) -> Action:
            return GO

    assert asked(FunctionAgent(Thinker())).action == GO
    assert FunctionAgent(Thinker()).model == "Thinker"


def test_what_a_function_raises_is_an_agents_error() -> None:
    def raising(task: str, steps: Sequence[Step]) -> Action:
        raise KeyError("tea")

    def useless(task: str, steps: Sequence[Step]) -> str:
        return "tea"

    with pytest.raises(AgentError, match="raising raised KeyError: 'tea'"):
        asked(FunctionAgent(raising))
    with pytest.raises(AgentError, match="must give an Action or a Turn, gave 'tea'"):
        asked(FunctionAgent(useless))


@pytest.mark.parametrize(
    "function", [lambda: GO, lambda a: GO, lambda a, b, c, d: GO, lambda a, b, *, c: GO]
)
def test_functions_that_take_something_else_are_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"\(task, steps\)"):
        FunctionAgent(function)


def test_a_cancelled_call_of_an_asynchronous_function_stops_it() -> None:
    async def run() -> list[str]:
        seen: list[str] = []
        begun = asyncio.Event()

        async def long(task: str, steps: Sequence[Step]) -> Action:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("stopped")
            return GO

        task = asyncio.create_task(FunctionAgent(long).act("t", (), Call()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(run()) == ["stopped"]


def test_a_cancelled_call_of_a_plain_function_is_let_go() -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow(task: str, steps: Sequence[Step]) -> Action:
        begun.set()
        assert gate.wait(10)
        return GO

    async def run() -> None:
        task = asyncio.create_task(FunctionAgent(slow).act("t", (), Call()))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    try:
        asyncio.run(run())
    finally:
        gate.set()
