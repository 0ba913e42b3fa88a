"""Replaying plans: the logged decisions take the logged seconds, and T's steps always stand."""

from __future__ import annotations

import asyncio

import pytest
from flyball.inference.agents.protocol import Action, AgentError, Call
from flyball.inference.agents.replay.agents import ReplayedTarget
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.agents.replay.generator import PlanGenerator
from flyball.inference.agents.replay.logged import Logged
from flyball.inference.agents.replay.recorded import RecordedTurn
from flyball.inference.agents.replay.run import TARGET, replay
from flyball.inference.agents.replay.trace import PlanTraceError, read_plan_trace, recorded_tasks
from flyball.policies.plan.fixed import Fixed
from flyball.policies.plan.state import MAX_AHEAD
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_traces import generated_runs, some_trace, write_trace

TASKS = PlanGenerator(templates=12).tasks(40, 5)


def actions(found):
    return [action.tool for action in found.actions]


def test_logged_decisions_reproduce_every_runs_seconds(tmp_path):
    runs = read_plan_trace(some_trace(tmp_path))
    for run, task in zip(runs, recorded_tasks(runs), strict=True):
        (found,) = replay([task], Logged(run))
        assert found.seconds == pytest.approx(run.wall_seconds, abs=0.3)
        assert actions(found) == [step.target.action for step in task.steps]
        assert len(found.decisions) == len(run.predicted_k)


def test_generated_runs_are_reproduced_to_the_rounding(tmp_path):
    runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", generated_runs(3, 60)))
    for run, task in zip(runs, recorded_tasks(runs), strict=True):
        (found,) = replay([task], Logged(run))
        assert found.seconds == pytest.approx(run.wall_seconds, abs=1e-6)


def test_too_few_decisions_are_told(tmp_path):
    run = generated_runs()[0]
    run["predicted_k"].pop()
    run["predictor_seconds"].pop()
    (read,) = runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", [run]))
    with pytest.raises(PlanTraceError, match="end at step"):
        replay(recorded_tasks(runs), Logged(read))


@settings(max_examples=30, deadline=None)
@given(
    ahead=st.integers(0, MAX_AHEAD),
    barrier=st.booleans(),
    concurrency=st.sampled_from([1, 2, 4, float("inf")]),
    at_once=st.integers(1, 5),
)
def test_what_is_committed_is_the_targets_own(ahead, barrier, concurrency, at_once):
    policy = Fixed(ahead, barrier)
    found = replay(TASKS[:10], policy, concurrency=concurrency, at_once=at_once)
    for task, trajectory in zip(TASKS[:10], found, strict=True):
        assert trajectory.complete
        assert actions(trajectory) == [step.target.action for step in task.steps]
        assert trajectory.greatest_concurrency <= concurrency


def test_sequential_takes_the_targets_seconds_and_tokens():
    for task, found in zip(TASKS, replay(TASKS, Fixed(0)), strict=True):
        assert found.seconds == pytest.approx(task.seconds)
        total = found.ledger.total()
        assert total.usage.prompt == sum(sum(s.target.prompts) for s in task.steps)
        assert total.usage.completion == sum(sum(s.target.completions) for s in task.steps)
        assert found.ledger.wasted.calls == 0


def test_running_ahead_saves_seconds_and_costs_dollars():
    found = [replay(TASKS, Fixed(k)) for k in (0, 2, 6)]
    seconds = [sum(t.seconds for t in ts) for ts in found]
    dollars = [sum(t.ledger.dollars for t in ts) for ts in found]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[1] < seconds[0]
    assert dollars == sorted(dollars)
    assert dollars[0] < dollars[1] < dollars[2]


def test_a_limit_on_calls_takes_time():
    free, tight = (replay(TASKS, Fixed(4), concurrency=c, at_once=4) for c in (100, 4))
    assert sum(t.seconds for t in tight) > sum(t.seconds for t in free)


def test_replays_are_the_same_every_time():
    one, same = (replay(TASKS, Fixed(3), concurrency=6, at_once=3) for _ in range(2))
    assert [t.events for t in one] == [t.events for t in same]


turns = st.builds(
    lambda seconds, parts: RecordedTurn("x", seconds, *zip(*parts, strict=True)),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 500)), min_size=1, max_size=3),
)


@given(turns, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_a_turn_uses_more_and_more_until_all(turn, shares):
    used = [turn.used(share * turn.seconds) for share in sorted(shares)]
    assert used == sorted(used)
    prompts, completions = zip(*used, strict=True)
    assert list(completions) == sorted(completions)
    assert prompts[0] >= turn.prompts[0]
    assert turn.used(turn.seconds) == (sum(turn.prompts), sum(turn.completions))
    assert turn.used(0.0) == (turn.prompts[0], 0)
    assert turn.used(0.99 * turn.wait)[1] == 0


@given(st.floats(0.01, 0.99))
def test_a_cancelled_call_is_charged_for_what_it_had(share):
    task = TASKS[0]
    turn = task.steps[0].target
    call = Call()

    async def main():
        work = asyncio.create_task(ReplayedTarget(TARGET).act(task, (), call))
        await asyncio.sleep(share * turn.seconds)
        work.cancel()
        await asyncio.wait([work])
        assert work.cancelled()

    run_virtual(main())
    prompt, completion = turn.used(share * turn.seconds)
    assert call.usage.prompt == prompt
    assert call.usage.completion == pytest.approx(completion, abs=1)  # a rounding of the clock


def test_other_tasks_are_refused():
    with pytest.raises(AgentError, match="RecordedTask"):
        run_virtual(ReplayedTarget(TARGET).act("a task", (), Call()))
    with pytest.raises(ValueError, match="at least 1 task"):
        replay(TASKS, Fixed(0), at_once=0)


def test_an_answer_is_that_of_the_step():
    task = TASKS[0]
    turn = run_virtual(ReplayedTarget(TARGET).act(task, (), Call()))
    assert turn.action == Action(task.steps[0].target.action, {})
