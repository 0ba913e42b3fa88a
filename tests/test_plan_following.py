"""``flyball.plan`` with a controller, and planners in the status and the metrics."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator
from typing import Any

import flyball
import pytest
from agent_server import Server
from flyball.controller.cli import main
from flyball.controller.cli.status import table
from flyball.controller.metrics import exposition
from flyball.inference.agents.following import controller_address, planner_name
from flyball.inference.reports import check_engine_name
from flyball.policies.plan.fixed import Fixed
from rich.console import Console
from running import ControllerUnderTest, until
from test_plan_api import PRICES, RIGHT, scripted


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerUnderTest]:
    with ControllerUnderTest(tmp_path_factory.mktemp("here") / "run") as controller:
        yield controller


def planning(models: tuple[str, str], times: int = 1, **options: Any) -> list[flyball.Trajectory]:
    """Plan a task so many times with two models."""

    @flyball.pure
    def area(country: str) -> str:
        return country.upper()

    @flyball.effectful
    async def note(text: str) -> str:
        return text

    async def go() -> list[flyball.Trajectory]:
        answer = scripted(**{models[0]: RIGHT, models[1]: RIGHT})
        async with Server(answer) as server, flyball.Endpoint(server.url) as to:
            style = flyball.ToolCalls([area, note])
            small, large = (flyball.OpenAIAgent(name, to, style) for name in models)
            prices = dict(zip(models, PRICES.values(), strict=True))
            return [
                await flyball.plan(
                    "Which is larger?",
                    approximation=small,
                    target=large,
                    tools=[area, note],
                    prices=prices,
                    **options,
                )
                for _ in range(times)
            ]

    return asyncio.run(go())


def planner_of(controller: ControllerUnderTest, small: str) -> dict[str, Any]:
    """The planner of a model, as the controller shows it."""
    planners = controller.client.status()["planners"]
    return next((p for p in planners if p["approximation"] == small), {})


def test_plans_follow_a_controller_and_it_learns_from_them(controller: ControllerUnderTest) -> None:
    client = controller.client
    client.set_knob(0.9)
    done = planning(("tiny", "large"), 2, controller=str(controller.address))
    assert all(run.complete for run in done)
    planner = until(lambda: (p := planner_of(controller, "tiny")) and p["speed"] == 0.9 and p)
    until(lambda: planner_of(controller, "tiny")["totals"]["runs"] == 2)
    until(lambda: client.status()["plan_learner"]["transitions"] > 0)
    client.pin(planner["planner"], 0)
    until(lambda: planner_of(controller, "tiny")["pin"])
    (pinned,) = planning(("tiny", "large"), controller=str(controller.address))
    assert all(step.proposed is None for step in pinned.steps)
    # One planner for all plans of a pair.
    assert len([p for p in client.status()["planners"] if p["approximation"] == "tiny"]) == 1


def test_a_speed_that_is_given_is_the_plans_own(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.client.set_knob(0.2)
    monkeypatch.setenv("FLYBALL_CONTROLLER", str(controller.address))
    planning(("own", "large"), speed=0.7)
    until(lambda: planner_of(controller, "own").get("speed") == 0.7)


def test_a_policy_goes_before_the_environment_and_not_with_a_controller(
    controller: ControllerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_CONTROLLER", str(controller.address))
    (done,) = planning(("alone", "large"), policy=Fixed(2))
    assert {decision.ahead.steps for decision in done.decisions} == {2}
    assert not planner_of(controller, "alone")
    with pytest.raises(ValueError, match="not both"):
        planning(("alone", "large"), policy=Fixed(2), controller=str(controller.address))


def test_a_controller_that_is_not_there_holds_up_nothing() -> None:
    (done,) = planning(("lonely", "large"), controller="tcp://127.0.0.1:9")
    assert done.complete


@pytest.mark.parametrize("address", ["localhost", "tcp://192.0.2.1:5757"])
def test_an_address_that_will_not_do_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYBALL_KEYS", raising=False)
    with pytest.raises(ValueError, match=r"tcp://|FLYBALL_KEYS"):
        controller_address(address)


def test_names_of_planners_are_names_and_differ() -> None:
    names = {planner_name("a/Model é 1", "org/" + "x" * 90) for _ in range(5)}
    assert len(names) == 5
    for name in names:
        assert check_engine_name(name) == name


def test_planners_follow_a_reward_that_is_for_plans_and_it_is_said(
    controller: ControllerUnderTest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    planning(("kept", "large"), controller=str(controller.address))
    until(lambda: planner_of(controller, "kept"))
    monkeypatch.setenv("FLYBALL_URL", controller.url)

    def use(reward: str) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["flyball", "reward", "use", reward])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in {0, None}
        return capsys.readouterr()

    assert use("goodput") == ("goodput\n", "planners of agents are rewarded by latency-cost\n")
    assert controller.client.plan_reward() == "latency-cost"
    assert use("cost-under-latency?bound=0.7") == ("cost-under-latency\n", "")
    assert controller.client.plan_reward() == "cost-under-latency"
    assert controller.client.status()["plan_learner"]["reward"] == "cost-under-latency"
    assert use("latency-cost") == ("latency-cost\n", "")


def test_planners_in_the_status_and_the_metrics(controller: ControllerUnderTest) -> None:
    planning(("shown", "large"), controller=str(controller.address))
    planner = until(lambda: (p := planner_of(controller, "shown")) and p["totals"]["runs"] and p)
    status = controller.client.status()
    console = Console(width=200, file=io.StringIO())
    with console.capture() as capture:
        console.print(table(status))
    shown = capture.get()
    assert planner["planner"] in shown
    assert re.search(r"approximation > target .*shown > large", shown)
    assert "no engine has reported yet" not in shown
    text = exposition(status).decode()
    name = re.escape(planner["planner"])
    assert re.search(rf'flyball_planner_tasks_total{{planner="{name}"}} 1\.0', text)
    assert re.search(rf'flyball_planner_speed{{planner="{name}"}} ', text)
    assert "flyball_plan_learner_transitions_total" in text
