"""Planning traces: what is read, what is refused, what rounds take by their logs."""

from __future__ import annotations

import pytest
from flyball.inference.agents.replay.logged import logged_seconds
from flyball.inference.agents.replay.recorded import TERMINATE
from flyball.inference.agents.replay.trace import PlanTraceError, read_plan_trace, recorded_tasks
from plan_traces import generated_runs, some_trace, write_trace


@pytest.fixture
def run() -> dict:
    return generated_runs()[0]


def read(tmp_path, run):
    return read_plan_trace(write_trace(tmp_path / "t.jsonl", [run]))


def test_logged_decisions_take_the_logged_seconds(tmp_path):
    runs = read_plan_trace(some_trace(tmp_path))
    for run, task in zip(runs, recorded_tasks(runs), strict=True):
        assert logged_seconds(run, task) == pytest.approx(run.wall_seconds, abs=0.3)


def test_tasks_are_those_of_the_trace(tmp_path, run):
    (task,) = recorded_tasks(read(tmp_path, run))
    assert [s.target.action for s in task.steps] == [s["t_action"] for s in run["steps"]]
    assert task.steps[-1].target.action == TERMINATE
    assert [s.match for s in task.steps] == [s["match"] for s in run["steps"]]
    assert task.seconds == pytest.approx(run["sum_t_seconds"])
    used = [s.target.used(s.target.seconds) for s in task.steps]
    assert used == [(s["t_prompt_tokens"], s["t_gen_tokens"]) for s in run["steps"]]


def test_no_answer_is_a_proposal_that_fails(tmp_path, run):
    miss = next(s for s in run["steps"] if not s["match"])
    miss |= {"a_action": "", "a_seconds": None, "a_gen_tokens": None}
    (task,) = recorded_tasks(read(tmp_path, run))
    step = task.steps[miss["step"] - 1]
    assert step.approximation.action == ""
    assert step.approximation.seconds > 0
    assert not step.match


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wall_seconds": -1.0}, "wall_seconds"),
        ({"surprise": 1}, "surprise"),
        ({"steps": []}, "steps"),
        ({"predicted_k": [1]}, "equally many"),
    ],
)
def test_a_run_that_is_none_is_refused_with_its_line(tmp_path, change, said):
    good = generated_runs()[0]
    path = write_trace(tmp_path / "t.jsonl", [good, {**good, **change}])
    with pytest.raises(PlanTraceError, match=r"t\.jsonl, line 2") as refused:
        read_plan_trace(path)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 7}, "numbered"),
        ({"match": False}, "match is False"),
        ({"t_action": "", "match": False}, "t_action"),
        ({"a_seconds": None}, "a_seconds must be null exactly"),
        ({"t_thought_gen_tokens": 10**6}, "t_gen_tokens"),
        ({"t_thought_prompt_tokens": 10**6}, "t_prompt_tokens"),
        ({"a_action": TERMINATE, "t_action": TERMINATE}, "the last t_action"),
        ({"t_seconds": "long"}, "t_seconds"),
    ],
)
def test_a_step_that_contradicts_itself_is_refused(tmp_path, change, said):
    run = next(r for r in generated_runs() if r["steps"][0]["match"])
    run["steps"][0] |= change
    with pytest.raises(PlanTraceError, match="line 1") as refused:
        read(tmp_path, run)
    assert said in str(refused.value)


def test_what_is_no_trace_is_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    for text, said in (("", "holds no runs"), ("{", "line 1"), ("[1]\n", "line 1")):
        path.write_text(text)
        with pytest.raises(PlanTraceError, match=said):
            read_plan_trace(path)


@pytest.mark.parametrize("spoil", ["append", "pop"])
def test_decisions_that_do_not_fit_the_rounds_are_told(tmp_path, run, spoil):
    for name in ("predicted_k", "predictor_seconds"):
        run[name].append(1) if spoil == "append" else run[name].pop()
    (read_run,) = runs = read(tmp_path, run)
    with pytest.raises(PlanTraceError, match="decisions"):
        logged_seconds(read_run, recorded_tasks(runs)[0])
