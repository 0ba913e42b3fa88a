"""Generated plans: as the fit says, not independent, and the fit finds them again."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import numpy as np
import pytest
from flyball.inference.agents.replay.fitted import LONGEST
from flyball.inference.agents.replay.fitting import fit
from flyball.inference.agents.replay.generator import OPENAGI_2025, PlanGenerator
from flyball.inference.agents.replay.recorded import TERMINATE
from flyball.inference.agents.replay.trace import PlanTraceError, TraceRun, read_plan_trace
from plan_traces import as_run, real_trace


@pytest.fixture(scope="module")
def tasks():
    return PlanGenerator(templates=400, zipf=0.0).tasks(3000, 1)


def test_the_same_seed_gives_the_same_stream():
    one, same, other = (PlanGenerator().tasks(20, seed) for seed in (3, 3, 4))
    assert repr(one) == repr(same)
    assert repr(one) != repr(other)
    assert repr(PlanGenerator().tasks(5, 3)) != repr(PlanGenerator(sensitivity=2.0).tasks(5, 3))


def test_plans_end_and_only_the_last_step_ends_them(tasks):
    for task in tasks:
        assert 1 <= len(task.steps) <= LONGEST
        assert [s.target.action == TERMINATE for s in task.steps[:-1]] == [False] * (
            len(task.steps) - 1
        )
        assert task.steps[-1].target.action == TERMINATE


def test_popular_templates_come_back():
    groups = [task.group for task in PlanGenerator().tasks(1000, 0)]
    counts = np.bincount(groups, minlength=40)
    assert counts[0] > 4 * counts[20:].mean()


def test_steps_of_a_template_are_alike_and_templates_are_not(tasks):
    by_step = defaultdict(list)
    for task in tasks:
        for i, step in enumerate(task.steps):
            by_step[task.group, i].append(step.match)
    pairs = np.array([v[:2] for v in by_step.values() if len(v) > 1], float)
    assert np.corrcoef(pairs.T)[0, 1] > 0.3  # of independent ones, within 0.05 of 0
    always = [
        g for g in {t.group for t in tasks} if all(s.match for t in tasks if t.group == g
                                                    for s in t.steps)
    ]  # fmt: skip
    assert len(always) >= 0.05 * 400


def test_confidence_tells_as_much_as_declared():
    def auc(sensitivity):
        steps = [s for t in PlanGenerator(sensitivity=sensitivity).tasks(600, 2) for s in t.steps]
        right = np.array([s.approximation.logprob for s in steps if s.match])
        wrong = np.array([s.approximation.logprob for s in steps if not s.match])
        return float((right[:, None] > wrong).mean())

    assert auc(0.0) == pytest.approx(0.5, abs=0.03)
    assert auc(0.7) == pytest.approx(0.69, abs=0.03)
    assert auc(3.0) > 0.95


def test_a_fit_finds_what_plans_were_drawn_with(tasks):
    rng = np.random.default_rng(0)
    runs = [msgspec.convert(as_run(t, t.group, rng), TraceRun) for t in tasks[:1200]]
    found = fit(runs)
    for name in ("a_log_seconds", "t_seconds", "a_prompt", "thought_prompt", "action_prompt"):
        assert getattr(found, name) == pytest.approx(getattr(OPENAGI_2025, name), rel=0.1, abs=0.05)
    assert found.thought_log_tokens == pytest.approx(OPENAGI_2025.thought_log_tokens, abs=0.1)
    assert found.repeats == pytest.approx(OPENAGI_2025.repeats, abs=0.05)
    # Random effects trade places with one another; what they do to runs must not differ.
    again = PlanGenerator(fitted=found, templates=400, zipf=0.0).tasks(3000, 2)
    assert _matched(again) == pytest.approx(_matched(tasks), abs=0.05)
    assert _followed(again) == pytest.approx(_followed(tasks), abs=0.06)


def _matched(tasks):
    return np.mean([s.match for t in tasks for s in t.steps])


def _followed(tasks):
    pairs = [(a.match, b.match) for t in tasks for a, b in zip(t.steps, t.steps[1:], strict=False)]
    return [np.mean([b for a, b in pairs if a == before]) for before in (True, False)]


def test_the_numbers_in_the_code_are_those_of_the_trace():
    path = real_trace()
    if path is None:
        pytest.skip("the planning trace is not at hand; FLYBALL_PLAN_TRACE names it")
    found = fit(read_plan_trace(path))
    for name in OPENAGI_2025.__slots__:
        if name != "match":
            assert getattr(found, name) == pytest.approx(
                getattr(OPENAGI_2025, name), rel=0.01, abs=0.01
            )
    assert found.match.position == pytest.approx(OPENAGI_2025.match.position, abs=0.02)


def test_too_little_is_not_fitted():
    tasks = PlanGenerator().tasks(5, 0)
    runs = [
        msgspec.convert(as_run(t, i, np.random.default_rng(0)), TraceRun)
        for i, t in enumerate(tasks)
    ]
    with pytest.raises(PlanTraceError, match="10 runs"):
        fit(runs)


@pytest.mark.parametrize("wrong", [{"templates": 0}, {"zipf": -1.0}, {"sensitivity": float("nan")}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlanGenerator(**wrong)
