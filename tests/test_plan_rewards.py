"""Rewards at the plan control point: the speed that serves each best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flyball.controller.plan.learner import PlanLearner
from flyball.controller.plan.scalarisation import best_speeds, is_for_plans, worth_of
from flyball.controller.settings import LearnerSettings
from flyball.envs.rewards import CostUnderLatency, Goodput, LatencyCost, Reward
from flyball.inference.agents.governor import PlanGovernor
from flyball.inference.agents.messages import PlannerInfo, rows_of
from flyball.inference.agents.orders import PlanOrders
from flyball.inference.agents.replay.generator import PlanGenerator
from flyball.inference.agents.replay.run import replay
from flyball.inference.reports import PlanReport
from flyball.policies.columns import concatenate
from flyball.policies.plan.curve import SPEEDS, Curve, expected_curve, measured
from flyball.policies.plan.rows import PlanRows
from flyball.policies.plan.snapshot import PlanMeta, PlanSnapshot, uncorrected
from flyball.policies.plan.space import PLAN_SPEED_INDEX
from flyball.policies.snapshot import SnapshotError

CURVE = Curve(1.0 - 0.3 * SPEEDS, 1.0 + SPEEDS**2)
INFO = PlannerInfo(planner="agents", approximation="small", target="large")
QUICK = LearnerSettings(publish_seconds=0.0, board_seconds=86400.0, updates_per_transition=0.02)


class Follows(Reward):
    """Wants the latency that the knob says."""

    name = "follows"
    needs = ("latency", "speed")
    low, high = -10.0, 0.0

    def __call__(self, inputs):
        return -np.abs(inputs.latency - (1.0 - 0.2 * inputs.speed))


class Indifferent(Reward):
    """Everything is worth the same."""

    def __call__(self, inputs):
        return np.zeros(len(inputs))


class Failing(Reward):
    """Works until it matters."""

    name = "failing"
    needs = ("latency",)

    def __call__(self, inputs):
        raise ZeroDivisionError("too late")


@pytest.mark.parametrize(
    ("reward", "at"),
    [
        (CostUnderLatency(0.85), lambda knob: 0.5),
        (CostUnderLatency(1.2), lambda knob: 0.0),
        (CostUnderLatency(0.1), lambda knob: 1.0),
        (Follows(), lambda knob: 2.0 / 3.0 * knob),
        (Indifferent(), lambda knob: 0.0),
    ],
)
def test_the_speed_that_serves_a_reward_best(reward, at):
    speeds = best_speeds(reward, CURVE)
    wanted = [at(knob) for knob in np.linspace(0.0, 1.0, len(speeds))]
    assert len(speeds) > 1
    assert speeds == pytest.approx(wanted, abs=0.011)


def test_the_linear_reward_goes_by_the_knob():
    assert best_speeds(LatencyCost(), CURVE) == ()
    assert uncorrected().speed_at(0.37) == 0.37


def test_rewards_that_need_tokens_are_not_for_plans():
    assert is_for_plans(LatencyCost())
    assert is_for_plans(CostUnderLatency())
    assert is_for_plans(Follows())
    assert not is_for_plans(Goodput())


def test_an_outcome_is_worth_what_the_reward_says():
    assert worth_of(CostUnderLatency(0.8), 0.9, 1.1, 0.3) == pytest.approx(-1.1 - 10 * 0.1)
    assert worth_of(Follows(), 0.9, 1.1, 0.5) == pytest.approx(0.0)
    assert worth_of(Failing(), 0.9, 1.1, 0.5) == Failing.on_error


def test_a_snapshot_keeps_the_speeds_that_it_decides_at():
    made = uncorrected().serving(3, "follows", (0.0, 0.2, 1.0))
    again = PlanSnapshot.from_bytes(made.to_bytes())
    assert again.meta == PlanMeta(3, reward="follows", speeds=(0.0, 0.2, 1.0))
    assert [again.speed_at(k) for k in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.1, 0.2, 1])
    for speeds in ((0.5,), (0.0, 1.2), (float("nan"), 0.0)):
        with pytest.raises(SnapshotError, match="speeds"):
            uncorrected().serving(3, "follows", speeds)


def planned(speed: float, snapshot: PlanSnapshot | None = None, tasks: int = 120) -> PlanRows:
    """What planning generated tasks at a speed reports."""
    sent: list[PlanReport] = []
    governor = PlanGovernor(
        INFO, lambda report: sent.append(report) or True, PlanOrders(speed=speed, snapshot=snapshot)
    )
    replay(PlanGenerator().tasks(tasks, 1), governor, speed=speed)
    return concatenate([rows_of(report.columns) for report in sent])


def test_what_a_speed_is_expected_to_give_is_what_it_gave():
    for speed in (0.6, 0.9):
        rows = planned(speed)
        told = expected_curve(uncorrected(), rows).at(np.array([speed]))
        assert np.concatenate(told) == pytest.approx(measured(rows), abs=0.08)


def test_a_curve_falls_and_rises_with_the_speed():
    curve = expected_curve(uncorrected(), planned(0.7))
    assert (np.diff(curve.latency) < 0.01).all()
    assert (np.diff(curve.cost) > -0.01).all()
    assert curve.latency[-1] < 0.85 < curve.latency[0]


def test_nothing_is_expected_of_no_rows():
    rows = planned(0.5, tasks=1)
    none = rows.take(np.zeros(len(rows), bool))
    assert np.isnan(measured(none)).all()
    assert expected_curve(uncorrected(), none) == pytest.approx(np.ones((2, len(SPEEDS))))


def test_decisions_are_made_and_told_at_the_speed_that_serves_the_reward():
    fast = uncorrected(1).serving(1, "follows", (1.0, 1.0))
    rows = planned(0.1, fast, tasks=20)
    assert (rows.observations[:, PLAN_SPEED_INDEX] == 1.0).all()
    assert rows.actions.mean() > 3 * planned(0.1, tasks=20).actions.mean()


@pytest.fixture
def learner(tmp_path: Path):
    made = PlanLearner(QUICK, tmp_path)
    yield made
    made.close()


def test_a_swapped_reward_is_served_at_once_by_what_was_learned(learner: PlanLearner) -> None:
    learner.speed(0.3)
    learner.use_reward(CostUnderLatency(0.85))
    assert learner.publish() is None, "nothing was seen yet"
    learner.ingest(planned(0.3))
    first = learner.publish()
    assert first is not None
    assert first.meta.reward == "cost-under-latency"
    assert learner.effective_speed == first.speed_at(0.3) > 0.3
    assert learner.publish() is None
    learner.use_reward(LatencyCost())
    back = learner.publish()
    assert back is not None
    assert (back.meta.number, back.meta.reward) == (first.meta.number + 1, "latency-cost")
    assert back.speed_at(0.3) == learner.effective_speed == 0.3
    assert all(np.array_equal(back.weights[k], first.weights[k]) for k in first.weights)


def test_a_reward_that_is_not_for_plans_leaves_the_default(learner: PlanLearner) -> None:
    learner.ingest(planned(0.3, tasks=20))
    learner.use_reward(Goodput())
    assert learner.reward.name == "latency-cost"
    assert learner.publish() is None


def test_a_reward_that_fails_is_not_served(learner: PlanLearner) -> None:
    learner.ingest(planned(0.3, tasks=20))
    learner.use_reward(Failing())
    assert learner.publish() is None
    assert "too late" in learner.summary()["last_gate_reason"]
    assert learner.current() is None
    assert learner.publish() is None, "it is not asked again for the same"
    assert learner.summary()["gate_refused"] == 1


def test_plans_get_under_the_latency_that_a_reward_asks_for(learner: PlanLearner) -> None:
    """And for less than the fastest plans cost."""
    learner.use_reward(CostUnderLatency(0.85))
    learner.speed(0.2)
    heard = 0

    def send(report: PlanReport) -> bool:
        nonlocal heard
        heard += 1
        learner.ingest(rows_of(report.columns))
        if heard % 25 == 0:
            learner.step(5.0)
            snapshot = learner.publish()
            if snapshot is not None:
                governor.book.orders = replace(governor.book.orders, snapshot=snapshot)
        return True

    tasks = PlanGenerator().tasks(250, 1)
    governor = PlanGovernor(INFO, send, PlanOrders(speed=0.2))
    ours = replay(tasks, governor, speed=0.2)[100:]
    fastest, alone = (
        replay(tasks, PlanGovernor(INFO, orders=PlanOrders(speed=s)))[100:] for s in (1.0, 0.0)
    )
    assert learner.summary()["effective_speed"] > 0.3
    assert sum(r.seconds for r in ours) / sum(r.seconds for r in alone) == pytest.approx(
        0.85, abs=0.06
    )
    spent, most = (sum(r.ledger.dollars for r in runs) for runs in (ours, fastest))
    assert spent < 0.75 * most
