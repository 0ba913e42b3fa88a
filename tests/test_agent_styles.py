"""Styles: what agents are shown of a task, and how their answers are read."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from flyball.inference.agents import world
from flyball.inference.agents.environment import Tool
from flyball.inference.agents.function_tools import pure
from flyball.inference.agents.protocol import Action, AgentError, Step, Turn
from flyball.inference.agents.reply import Reply, ToolCall
from flyball.inference.agents.styles import TextStyle, ToolCalls

TASK = world.make_task(5, 4)
STEPS = world.plan(TASK)
FORMS = world.STYLES


@pure
def look(what: str, times: int = 1) -> str:
    """Look."""
    return what * times


@pytest.mark.parametrize("form", FORMS)
def test_texts_are_those_of_the_corpus(form: world.Style) -> None:
    style = TextStyle(form, plain=True, thoughts=True)
    whole = world.transcript(TASK, STEPS, form)
    for done in range(len(STEPS)):
        prompt = style.request(TASK, STEPS[:done])["prompt"]
        assert whole.startswith(prompt)
        assert prompt == world.prompt(TASK, STEPS[:done], form)
    chat = TextStyle(form, thoughts=True).request(TASK, STEPS)["messages"]
    assert world.text(chat) + "<|assistant|>" == world.prompt(TASK, STEPS, form)


@pytest.mark.parametrize(
    "style", [TextStyle("thought"), TextStyle("thought", plain=True), ToolCalls([look])]
)
def test_what_is_asked_does_not_depend_on_who_proposed_a_step(style: TextStyle) -> None:
    proposed = [dataclasses.replace(step, turn=Turn(step.action, "", -0.1)) for step in STEPS]
    assert style.request(TASK, STEPS) == style.request(TASK, proposed)


def test_actions_that_match_are_shown_the_same() -> None:
    style = ToolCalls([look])
    one = Step(Turn(Action("look", {"what": "x", "times": 2})), "xx")
    other = Step(Turn(Action("look", {"times": 2.0, "what": "x"})), "xx")
    assert style.request("t", [one]) == style.request("t", [other])


def test_thoughts_are_shown_where_they_are_asked_for() -> None:
    step = Step(Turn(Action("look", {"what": "x"}), "I look."), "x")
    shown = ToolCalls([look], thoughts=True).request("t", [step])["messages"]
    assert shown[-2]["content"] == "I look."
    assert "I look." not in json.dumps(ToolCalls([look]).request("t", [step]))


@pytest.mark.parametrize("form", FORMS)
def test_every_turn_of_a_plan_is_read_back(form: world.Style) -> None:
    for step in STEPS:
        text = world.write(step.thought, step.action, form)
        turn = TextStyle(form).read(Reply(text=f"\n {text} \n"))
        assert turn.action == step.action
        assert turn.thought == (step.thought if form == "thought" else "")
        assert math.isnan(turn.logprob)


def test_the_actions_tokens_alone_make_its_log_probability() -> None:
    tokens = [("Thought: ", -9.0), ("tea\n", -9.0), ("Action: ", -9.0), ("look", -1.0), (" {}", -3)]
    reply = Reply(text="".join(text for text, _ in tokens), tokens=tokens)
    assert TextStyle("thought").read(reply).logprob == pytest.approx(-2.0)


def test_a_calls_tokens_come_after_the_text() -> None:
    reply = Reply("hm", [ToolCall("look", "{}")], tokens=[("hm", -9.0), ("look", -1.0)])
    turn = ToolCalls([look]).read(reply)
    assert (turn.thought, turn.logprob) == ("hm", -1.0)
    reply.tokens.pop()
    assert math.isnan(ToolCalls([look]).read(reply).logprob)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "Action"), ("look {}", "Action: "), ("Action: look", "JSON"), ("Action: 1 {}", "name")],
)
def test_texts_that_are_no_turn_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(AgentError, match=complaint):
        TextStyle("act").read(Reply(text=text))


def test_the_first_of_several_calls_counts() -> None:
    calls = [ToolCall("look", '{"what": "x"}'), ToolCall("look", '{"what": "y"}')]
    assert ToolCalls([look]).read(Reply(calls=calls)).action.arguments == {"what": "x"}


def test_an_answer_without_a_call_is_refused_where_calls_are_insisted_on() -> None:
    style = ToolCalls([look], answer=None)
    assert style.request("t", ())["tool_choice"] == "required"
    with pytest.raises(AgentError, match="expected a call"):
        style.read(Reply(text="tea"))


def test_a_task_with_a_goal_is_told_as_that() -> None:
    assert ToolCalls([look]).request(TASK, ())["messages"][-1]["content"] == TASK.goal


def test_a_task_is_text_or_json() -> None:
    style = ToolCalls([look], system="")
    assert style.request({"goal": 1}, ())["messages"] == [{"role": "user", "content": '{"goal":1}'}]
    with pytest.raises(AgentError, match="text or JSON"):
        style.request(object(), ())
    with pytest.raises(AgentError, match="tasks of the tool world"):
        TextStyle("act").request("a text", ())


def test_steps_that_are_no_json_are_refused() -> None:
    step = Step(Turn(Action("look", {"what": {1, 2}})), "")
    with pytest.raises(AgentError, match="not JSON"):
        ToolCalls([look]).request("t", [step])


def test_styles_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="thought, act"):
        TextStyle("loud")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="none of look, end"):
        ToolCalls([look, Tool("end", str, final=True)])
    with pytest.raises(ValueError, match="one argument"):
        ToolCalls([look], answer="look")


def test_a_tool_without_a_schema_takes_any_object() -> None:
    asked = ToolCalls([Tool("look", str)]).request("t", ())["tools"]
    assert asked[0]["function"]["parameters"] == {"type": "object"}
