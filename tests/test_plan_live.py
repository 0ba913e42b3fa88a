"""What live plans are shown and measured by, on runs in virtual time."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from flyball.benchmarks.engines import Models, models
from flyball.benchmarks.plan.demo import AgentsDemoOptions
from flyball.benchmarks.plan.demo_table import demo_table
from flyball.benchmarks.plan.live import (
    LIVE_ARMS,
    LiveRuns,
    committed,
    described,
    graded_tasks,
    live_figures,
)
from flyball.benchmarks.plan.live_plots import draw_live
from flyball.benchmarks.plan.options import PlanOptions
from flyball.benchmarks.plan.pair import agent_pair, split
from flyball.benchmarks.plan.window_view import WindowView
from flyball.inference.agents.planner import Planner
from flyball.inference.agents.protocol import Action, AgentError, Turn
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.agents.trajectory import Trajectory
from flyball.inference.agents.world import make_task, plan
from flyball.inference.agents.world.mentions import mentioned
from flyball.inference.agents.world.recall import recalled
from flyball.inference.agents.world_styles import MentionStyle, RecallStyle
from flyball.policies.plan.catalogue import make_plan_policy
from flyball.policies.plan.fixed import Fixed
from rich.console import Console
from scripted_agents import PRICES, Approximation, Records, Script, Target

SCRIPTS = [
    Script(seed=i, length=6, right=(True, i % 2 == 0, True), t_seconds=(9.0, 7.0)) for i in range(6)
]


def run(script: Script, policy: object, speed: float = 0.5, view: WindowView | None = None):
    async def go() -> Trajectory:
        watch = view.watch if view is not None else None
        tools = Records(script)
        agents = Approximation(), Target()
        return await Planner(*agents, tools, policy, PRICES, speed=speed, watch=watch).run(script)

    return run_virtual(go())


def said(shown: object, width: int = 150) -> str:
    """What people see."""
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


@pytest.fixture(scope="module")
def runs() -> LiveRuns:
    """Every arm on tasks of the tool world's shape, in virtual time."""
    found = LiveRuns()
    for arm in LIVE_ARMS:
        policy = make_plan_policy(arm.spec)
        found.runs[arm] = [run(script, policy, arm.speed) for script in SCRIPTS]
    found.tasks = graded_tasks(len(SCRIPTS), 0)
    found.decide_ms = [0.1, 0.2, 5.0]
    return found


@pytest.mark.parametrize("difficulty", [1, 2, 3, 4, 5])
def test_right_plans_are_made_of_what_was_mentioned(difficulty: int) -> None:
    found, count = 0, 0
    for seed in range(12):
        task = make_task(seed, difficulty)
        steps = plan(task)
        for i, step in enumerate(steps):
            count += 1
            text = f"Action: {step.action}"
            found += re.fullmatch(mentioned(task, steps[:i]), text) is not None
    assert found / count > 0.8


def test_what_was_not_mentioned_cannot_be_proposed() -> None:
    task = make_task(3, 4)
    steps = plan(task)
    for i, step in enumerate(steps):
        grammar = mentioned(task, steps[:i])
        for name, value in step.action.arguments.items():
            other = "Xanadu Qqq" if isinstance(value, str) else 31337
            changed = Action(step.action.tool, {**step.action.arguments, name: other})
            assert not re.fullmatch(grammar, f"Action: {changed}")


@pytest.mark.parametrize("difficulty", [1, 2, 3, 4, 5])
def test_recalled_thoughts_are_those_of_right_plans(difficulty: int) -> None:
    same, count = 0, 0
    for seed in range(12):
        steps = plan(make_task(seed, difficulty))
        for step, again in zip(steps, recalled(steps), strict=True):
            count += 1
            same += again.thought == step.thought
            assert (again.action, again.observation) == (step.action, step.observation)
    assert same / count > 0.8


def test_what_a_target_agent_is_asked_does_not_depend_on_who_proposed_a_step() -> None:
    task = make_task(5, 4)
    steps = plan(task)
    bare = [replace(step, turn=Turn(step.action)) for step in steps]
    assert RecallStyle().request(task, steps) == RecallStyle().request(task, bare)
    assert "Thought: \n" not in RecallStyle().request(task, bare)["prompt"]


def test_a_mention_style_asks_for_a_grammar_and_refuses_other_tasks() -> None:
    asked = MentionStyle().request(make_task(1, 2), [])
    assert asked["structured_outputs"]["regex"].startswith("Action: (")
    with pytest.raises(AgentError, match="tasks of the tool world"):
        MentionStyle().request("Which is larger?", [])


def test_the_window_shows_what_became_of_every_step() -> None:
    view = WindowView()
    for script in SCRIPTS:
        view.begin("fixed:3", f"task [bold]{script.seed}")
        done = run(script, Fixed(3), view=view)
        view.end(done)
        cells = view.rows[-1].cells
        settled = [cell for cell in cells if cell.committed]
        assert len(settled) == len(done.steps)
        verdicts = [None if not c.proposed else not c.mismatched for c in settled]
        assert verdicts == [step.matched for step in done.steps]
        assert sum(cell.cancelled for cell in cells) == sum(
            event.kind == "cancelled" for event in done.events
        )
    (shown,) = (line for line in said(view).splitlines() if "task [bold]5" in line)
    assert "M" in shown


def test_sums_are_whole_on_a_narrow_screen() -> None:
    view = WindowView()
    view.begin("survival@0.5", "a task of many words that nobody has the room to show")
    done = run(SCRIPTS[0], Fixed(3), view=view)
    view.end(done)
    shown = said(view, width=70)
    assert f"{done.seconds:.1f}" in shown
    assert f"{1e3 * done.ledger.dollars:.3f}" in shown
    assert sum("survival@0.5" in line for line in shown.splitlines()) == 1


def test_figures_compare_with_the_target_agent_alone(runs: LiveRuns) -> None:
    figures = live_figures(runs, 0)
    assert figures["identical_trajectories"] == 1.0
    sums = {arm: runs.parts(arm).sum(0) for arm in LIVE_ARMS}
    alone, fastest = sums[LIVE_ARMS[0]], sums[LIVE_ARMS[-1]]
    assert figures["live_seconds_vs_sequential"] == pytest.approx(fastest[0] / alone[0])
    assert figures["live_seconds_vs_sequential"] < 1.0
    for name in ("live_seconds_vs_sequential", "live_dollars_vs_sequential_speed0"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
    assert figures["live_fixed_4_wasted"] > 0.0
    assert figures["decide_ms_p99"] == pytest.approx(np.percentile([0.1, 0.2, 5.0], 99))


def test_a_run_that_did_something_else_is_counted(runs: LiveRuns) -> None:
    other = LiveRuns(tasks=runs.tasks, decide_ms=runs.decide_ms)
    other.runs = {arm: list(found) for arm, found in runs.runs.items()}
    changed = run(Script(seed=99, length=6), Fixed(2))
    assert committed(changed) != committed(runs.alone[2])
    other.runs[LIVE_ARMS[1]][2] = changed
    assert other.identical(LIVE_ARMS[1]) == len(SCRIPTS) - 1
    planned = len(LIVE_ARMS) - 1
    share = 1 - 1 / (planned * len(SCRIPTS))
    assert live_figures(other, 0)["identical_trajectories"] == pytest.approx(share)


def test_the_table_and_the_plot_of_a_demo(runs: LiveRuns, tmp_path) -> None:
    summary = {"tasks": len(runs.tasks), "arms": json.loads(json.dumps(described(runs)))}
    shown = said(demo_table(summary))
    assert "target alone" in shown
    assert f"{len(SCRIPTS)} of {len(SCRIPTS)}" in shown
    assert draw_live(runs, tmp_path).stat().st_size > 1000


def test_tasks_are_of_all_difficulties_and_the_same_every_time() -> None:
    tasks = graded_tasks(10, 3)
    assert [task.difficulty for task in tasks] == [1, 2, 3, 4, 5] * 2
    assert tasks == graded_tasks(10, 3)
    assert tasks != graded_tasks(10, 4)


@pytest.mark.parametrize(
    ("cores", "shares"),
    [({5}, ({5}, {5})), ({0, 1}, ({0}, {1})), ({0, 2, 3, 7}, ({0, 2, 3}, {7}))],
)
def test_each_engine_has_cores_of_its_own(cores: set[int], shares: tuple) -> None:
    assert split(frozenset(cores)) == shares


def test_the_draft_is_priced_by_its_parameters(tmp_path) -> None:
    found = models()
    pair = agent_pair(found, tmp_path)
    target, draft = pair.prices[pair.target.model], pair.prices[pair.draft.model]
    ratio = draft.completion / target.completion
    assert 0.0 < ratio < 0.1
    assert draft.prompt / target.prompt == pytest.approx(ratio)
    with pytest.raises(ValueError, match="rename"):
        agent_pair(Models(found.target, found.target), tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "vllm"}, "replay, live"),
        ({"engine": "live", "seeds": 2}, "--seeds"),
        ({"tasks": 10}, "--engine live"),
        ({"engine": "live", "tasks": 0}, "at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PlanOptions(**options)


@pytest.mark.parametrize("options", [{"seconds": 1.0}, {"seconds": float("nan")}, {"seed": -1}])
def test_options_of_the_demo_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        AgentsDemoOptions(**options)
