"""``flyball bench plan``: curves, comparisons at equal latency, and a whole small run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flyball.benchmarks.plan.arms import FIXED, FIXED_6, JUDGE, OFF, ORACLE, OURS, WINDOW, Arm, arms
from flyball.benchmarks.plan.curves import cheapest_of_the_fastest, cost_at, hull
from flyball.benchmarks.plan.figures import compared
from flyball.benchmarks.plan.options import PlanOptions
from flyball.benchmarks.plan.running import Job, run_job
from flyball.benchmarks.plan.scenes import (
    GENERATED,
    TRACE,
    TRACE_BLIND,
    generated_scene,
    trace_scene,
    unseen_scene,
)
from flyball.benchmarks.plan.tally import Tally, tallies
from flyball.inference.agents.replay.recorded import TERMINATE
from flyball.inference.agents.replay.trace import read_plan_trace
from flyball.policies.plan.catalogue import make_plan_policy
from hypothesis import given
from hypothesis import strategies as st
from plan_traces import generated_runs, write_trace

unit = st.floats(0.1, 10.0)
points = st.lists(st.tuples(unit, unit), min_size=1, max_size=12).map(np.array)


@given(points)
def test_a_curve_is_below_all_points_and_made_of_them(found):
    curve = hull(found)
    given_points = {tuple(p) for p in found.tolist()}
    assert {tuple(p) for p in curve.tolist()} <= given_points
    assert (np.diff(curve[:, 0]) > 0).all()
    assert (np.diff(curve[:, 1]) < 0).all()
    slopes = np.diff(curve[:, 1]) / np.diff(curve[:, 0])
    assert (np.diff(slopes) > -1e-6 * np.abs(slopes[1:])).all()
    for latency, cost in found:
        assert cost_at(curve, latency) <= cost * (1 + 1e-9)


def test_costs_between_settings_are_those_of_drawing_lots():
    curve = hull(np.array([[1.0, 1.0], [0.6, 2.0], [0.9, 1.9]]))
    assert curve.tolist() == [[0.6, 2.0], [1.0, 1.0]]
    assert cost_at(curve, 0.8) == pytest.approx(1.5)
    assert cost_at(curve, 0.5) == 2.0


def test_who_wants_latency_takes_the_cheapest_of_the_fastest():
    found = np.array([[0.8, 1.1], [0.69, 1.6], [0.67, 1.8], [0.66, 2.5]])
    assert cheapest_of_the_fastest(found) == 1


@pytest.mark.parametrize("quick", [True, False])
def test_every_arm_can_be_made_and_has_a_name_of_its_own(quick):
    found = arms(quick)
    assert found[0].spec == OFF
    assert len({arm.name for arm in found}) == len(found)
    for spec in {arm.spec for arm in found}:
        make_plan_policy(spec, future=lambda _: [])


@pytest.fixture(scope="module")
def results():
    scene = generated_scene(5, 25, 0)
    compared_arms = [
        Arm(FIXED, OFF),
        Arm(FIXED, FIXED_6),
        Arm(WINDOW, "fixed:2"),
        Arm(OURS, "survival", 1.0),
        Arm(JUDGE, "judge", 0.9),
        Arm(ORACLE, "oracle", 1.0),
    ]
    return [(job, run_job(job)) for arm in compared_arms for job in (Job(scene, arm),)]


def test_jobs_keep_what_is_compared(results):
    for job, rows in results:
        assert len(rows.values) == len(job.scene.tasks)
        assert (rows.column("identical") == 1.0).all()
        assert (rows.column("seconds") > 0).all()
        assert len(rows.decide_ms) > 0
    off = results[0][1]
    assert (off.column("wasted_tokens") == 0).all()
    assert (off.column("greatest_concurrency") == 1).all()


def test_points_are_over_the_target_agent_alone(results):
    tally = tallies(results)[GENERATED, math.inf]
    assert tally.point(tally.off).tolist() == [1.0, 1.0]
    assert tally.tasks.sum() == 25
    (oracle,) = tally.points(ORACLE)
    (six,) = tally.points(FIXED)
    (judge,) = tally.points(JUDGE)
    assert oracle[0] < 1.0
    assert 1.0 < oracle[1] < judge[1] < six[1]
    said = tally.described(results[1][0].arm)
    counted = results[1][1].column("dollars")[5:].mean()
    assert said["dollars_per_task"] == pytest.approx(counted)
    assert said["unnecessary_dollars"] == pytest.approx(
        counted - results[0][1].column("dollars")[5:].mean()
    )


def test_comparisons_at_equal_latency_find_what_is_known():
    def sums(latency, cost):
        return np.tile([latency, cost, 0.0, 0.0, 1.0], (6, 1))

    cases = {
        Arm(FIXED, OFF): (1.0, 1.0),
        Arm(FIXED, FIXED_6): (0.7, 2.5),
        Arm(WINDOW, "fixed:3"): (0.72, 2.0),
        Arm("dsp", "dsp"): (0.8, 1.5),
        Arm(OURS, "survival", 0.0): (1.0, 1.0),
        Arm(OURS, "survival", 1.0): (0.7, 1.5),
        Arm(JUDGE, "judge", 1.0): (0.7, 1.25),
        Arm(ORACLE, "oracle", 1.0): (0.7, 1.2),
    }
    tally = Tally(
        {arm: sums(*point) for arm, point in cases.items()},
        np.ones(6),
        dict.fromkeys(cases, 1),
        1.0,
    )
    found = {name: interval.value for name, interval in compared(tally, 0).items()}
    at_best = 1.5 - 0.5 * 0.02 / 0.3
    assert found == pytest.approx(
        {
            "dollars_vs_fixed6": 0.6,
            "unnecessary_vs_fixed6": 0.5 / 1.5,
            "dollars_vs_best_fixed": at_best / 2.0,
            "dollars_vs_fixed6_at_best": at_best / 2.5,
            "unnecessary_vs_fixed6_at_best": (at_best - 1.0) / 1.5,
            "dollars_vs_dsp": (1.5 - 0.5 * 0.1 / 0.3) / 1.5,
            "dollars_vs_oracle": 1.25,
            "judge_vs_fixed6": 0.5,
            "latency_short": 0.0,
        }
    )


def test_a_trace_is_met_after_tasks_that_do_not_count(tmp_path):
    runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", generated_runs()))
    scene = trace_scene(runs, 7, 3)
    assert scene.name == TRACE
    assert {task.group for task in scene.tasks[:7]} == {-1}
    assert sorted(task.group for task in scene.tasks[7:]) == sorted(run.task for run in runs)
    assert scene.tasks[7:] != trace_scene(runs, 7, 4).tasks[7:]


def test_runs_of_a_trace_are_told_apart_by_whether_their_task_was_met(tmp_path):
    runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", generated_runs()))
    job = Job(trace_scene(runs, 3, 0), Arm(FIXED, OFF))
    found = tallies([(job, run_job(job))])
    first, again = (found[f"{TRACE}_{part}", math.inf] for part in ("first", "again"))
    tasks = len({run.task for run in runs})
    assert first.tasks.sum() == tasks
    assert again.tasks.sum() == len(runs) - tasks


def test_cancelled_calls_can_be_charged_in_full(tmp_path):
    runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", generated_runs()))
    rows = [
        run_job(Job(trace_scene(runs, 0, 0, whole=whole), Arm(FIXED, FIXED_6)))
        for whole in (False, True)
    ]
    used, whole = (r.column("dollars") for r in rows)
    assert (whole >= used).all()
    assert whole.sum() > 1.05 * used.sum()
    assert (rows[0].column("seconds") == rows[1].column("seconds")).all()


def test_fixed_numbers_of_steps_can_be_blind_to_what_a_says(tmp_path):
    runs = read_plan_trace(write_trace(tmp_path / "t.jsonl", generated_runs()))
    assert any(step.a_action == TERMINATE and not step.match for run in runs for step in run.steps)
    whole, blind = trace_scene(runs, 0, 0, whole=True), trace_scene(runs, 0, 0, blind=True)
    assert blind.name == TRACE_BLIND
    for arm in (Arm(FIXED, FIXED_6), Arm(WINDOW, "fixed:4")):
        less, more = (run_job(Job(scene, arm)) for scene in (whole, blind))
        assert more.column("dollars").sum() > 1.05 * less.column("dollars").sum()
        assert (more.column("identical") == 1.0).all()
        assert more.column("seconds") == pytest.approx(less.column("seconds"))
    for arm in (Arm(FIXED, OFF), Arm(OURS, "survival", 1.0)):
        less, more = (run_job(Job(scene, arm)) for scene in (whole, blind))
        assert (more.column("dollars") == less.column("dollars")).all()


def test_tasks_of_the_unseen_scene_hardly_ever_come_back():
    texts = [task.text for task in unseen_scene(20, 60, 0).tasks]
    assert len(set(texts)) > 0.9 * len(texts)


def test_limited_calls_are_shared():
    scene = generated_scene(0, 12, 0)
    tight = run_job(Job(scene, Arm(FIXED, "fixed:4"), 2))
    assert tight.column("greatest_concurrency").max() <= 2
    assert (tight.column("identical") == 1.0).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"engine": "vllm"}, "engine"), ({"seeds": 0}, "seeds"), ({"traces": ("a", "b")}, "one")],
)
def test_options_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        PlanOptions(**wrong)
