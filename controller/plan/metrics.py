"""Prometheus metrics of planners and of what is learned of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric

from ..families import labelled, single

_PLANNER_GAUGES: Final = (
    ("speed", "speed in force, in [0, 1]; 0 = cheapest, 1 = fastest", "speed"),
    ("ahead_steps", "steps ahead, of the latest decision", "ahead"),
    ("snapshot", "number of the snapshot in force; 0 for none", "version"),
    ("running_tasks", "tasks that run", "running"),
    ("in_flight_calls", "calls of agents that run", "in_flight"),
    ("beat_age_seconds", "seconds since the last beat", "age_s"),
    ("seconds_per_task", "seconds of a task, of those that ended lately", "seconds_per_run"),
    ("dollars_per_task", "dollars of a task, of those that ended lately", "dollars_per_run"),
    ("wasted_share", "share of these dollars that was of no use", "wasted_share"),
    ("matched_share", "share of proposals that were the target agent's action", "matched_share"),
    ("match_brier_score", "Brier score of predicted matches", "survival_brier"),
    ("match_calibration_error", "calibration error of predicted matches", "survival_ece"),
)
_PLANNER_MICROSECONDS: Final = (
    ("decide_p50_seconds", "median time that a decision takes", "decide_us_p50"),
    ("decide_p99_seconds", "99th percentile of the time that one takes", "decide_us_p99"),
)
_PLANNER_COUNTERS: Final = (
    ("decisions", "decisions since the planner's start", "decisions"),
    ("dropped_reports", "reports dropped because the queue was full", "dropped"),
    ("refused_orders", "messages from the controller that were refused", "refused"),
    ("faults", "faults of the governor", "faults"),
)
_PLANNER_TOTALS: Final = (
    ("tasks", "tasks that ended", "runs"),
    ("complete_tasks", "tasks that reached their end", "complete"),
    ("task_seconds", "seconds of tasks that ended", "seconds"),
    ("used_dollars", "dollars for calls whose turns were used", "dollars"),
    ("wasted_dollars", "dollars for all other calls", "wasted"),
    ("steps", "steps settled", "steps"),
    ("judged_steps", "steps that the approximation agent had proposed an action for", "judged"),
    ("matched_steps", "of those, where it was the target agent's", "matched"),
    ("calls", "calls that ended", "calls"),
    ("cancelled_calls", "calls that gave no turn", "cancelled"),
)
_PLAN_LEARNER_GAUGES: Final = (
    ("loss", "loss of the latest gradient step", "loss"),
    ("replay_rows", "transitions in the replay buffer", "replay_rows"),
    ("owed_updates", "gradient steps paid for and not yet taken", "owed_updates"),
    ("snapshot", "number of the snapshot published last; 0 for none", "snapshot"),
    ("effective_speed", "speed that serves the reward in force at the knob", "effective_speed"),
)
_PLAN_LEARNER_COUNTERS: Final = (
    ("transitions", "transitions learned from", "transitions"),
    ("updates", "gradient steps", "updates"),
    ("skipped_updates", "gradient steps skipped as their loss was not finite", "skipped_updates"),
    ("frozen_transitions", "transitions shown, not learned from", "frozen"),
    ("gate_refused_snapshots", "snapshots that were not published", "gate_refused"),
)


def plan_families(status: dict[str, Any]) -> Iterator[Metric]:
    """The families of a status; none where there is no planner."""
    planners = status.get("planners")
    if not planners:
        return
    yield from single(Gauge, "plan_learner", _PLAN_LEARNER_GAUGES, status["plan_learner"])
    yield from single(Counter, "plan_learner", _PLAN_LEARNER_COUNTERS, status["plan_learner"])
    yield from labelled(Gauge, "planner", _PLANNER_GAUGES, planners)
    times = [
        {"planner": p["planner"]} | {key: 1e-6 * p[key] for _, _, key in _PLANNER_MICROSECONDS}
        for p in planners
    ]
    yield from labelled(Gauge, "planner", _PLANNER_MICROSECONDS, times)
    yield from labelled(Counter, "planner", _PLANNER_COUNTERS, planners)
    named = [{"planner": p["planner"], **p["totals"]} for p in planners]
    yield from labelled(Counter, "planner", _PLANNER_TOTALS, named)
