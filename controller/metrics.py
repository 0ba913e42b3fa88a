"""Everything for Prometheus, made from a status when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ..policies.slo import OBJECTIVES
from .drafters_shown import drafter_families
from .families import labelled, single
from .plan.metrics import plan_families

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ENGINE_GAUGES: Final = (
    ("speed", "speed in force, in [0, 1]; 0 = cheapest, 1 = fastest", "speed"),
    ("depth_tokens", "draft depth in force", "depth"),
    ("snapshot", "number of the snapshot in force; 0 for none", "version"),
    ("running_requests", "requests that run", "running"),
    ("waiting_requests", "requests that wait", "waiting"),
    ("beat_age_seconds", "seconds since the last beat", "age_s"),
    ("tokens_per_second", "tokens emitted per second, last 10 s", "tokens_per_second"),
    ("seconds_per_token", "seconds per token of a request, last 10 s", "seconds_per_token"),
    ("dollars_per_token", "dollars per token, last 10 s", "dollars_per_token"),
    ("survival_brier_score", "Brier score of predicted survival", "survival_brier"),
    ("survival_calibration_error", "calibration error of predicted survival", "survival_ece"),
)
_ENGINE_MICROSECONDS: Final = (
    ("decide_p50_seconds", "median time to put a decision in force", "decide_us_p50"),
    ("decide_p99_seconds", "99th percentile of the time to put one in force", "decide_us_p99"),
    ("prepare_p50_seconds", "median time to prepare one while the model runs", "prepare_us_p50"),
    ("prepare_p99_seconds", "99th percentile of the time to prepare one", "prepare_us_p99"),
    ("plan_p50_seconds", "median time to plan an engine step", "plan_us_p50"),
    ("plan_p99_seconds", "99th percentile of the time to plan an engine step", "plan_us_p99"),
)
_LEARNER_GAUGES: Final = (
    ("loss", "loss of the latest gradient step", "loss"),
    ("latency", "latency per token over recent transitions; off = 1", "latency"),
    ("cost", "cost per token over recent transitions; off = 1", "cost"),
    ("explore_budget", "loss per decision that exploring may cost; off = 1", "explore_budget"),
    ("trust", "mean factor on the learned correction, in [0, 1]", "trust"),
    ("replay_rows", "transitions in the replay buffer", "replay_rows"),
    ("replay_bytes", "memory of the replay buffer", "replay_bytes"),
    ("owed_updates", "gradient steps paid for and not yet taken", "owed_updates"),
    ("step_time_error", "mean relative error of predicted step times", "step_time_error"),
)
_LEARNER_COUNTERS: Final = (
    ("transitions", "transitions learned from", "transitions"),
    ("updates", "gradient steps", "updates"),
    ("skipped_updates", "gradient steps skipped as their loss was not finite", "skipped_updates"),
    ("invalid_transitions", "transitions that no engine could have measured", "invalid"),
    ("refused_transitions", "transitions of engines that do not fit the run", "refused"),
    ("empty_transitions", "transitions left out as they emitted nothing", "empty"),
    ("frozen_transitions", "transitions shown, not learned from", "frozen"),
    ("reward_faults", "batches that the reward could not judge", "reward_faults"),
    ("gate_refused_snapshots", "snapshots that were not published", "gate_refused"),
)
"""They go on over restarts of the controller, from its checkpoint."""
_ENGINE_COUNTERS: Final = (
    ("decisions", "decisions since the engine's start", "decisions"),
    ("dropped_transitions", "transitions dropped because the queue was full", "dropped"),
    ("refused_orders", "messages from the controller that were refused", "refused"),
    ("faults", "faults of the governor", "faults"),
    ("ignored_hints", "hints of requests that were not followed", "ignored"),
)
_GUARD_GAUGES: Final = (
    ("guard_fallen_back", "1 while the guard holds the engine to a static depth", "fallen_back"),
    ("guard_seconds_left", "seconds until the guard lets the policy try again", "seconds_left"),
    (
        "guard_ratio",
        "objective of the policy over that of the static depth; below 1 is better",
        "ratio",
    ),
    ("guard_ratio_low", "lower end of its 95 % interval", "low"),
    ("guard_ratio_high", "upper end of its 95 % interval", "high"),
    ("guard_evidence", "e-value against the policy; the guard falls back at 100", "evidence"),
    ("explored_share", "share of recent decisions that explored", "explored"),
)
_GUARD_COUNTERS: Final = (("guard_falls", "times that the guard fell back", "falls"),)
_ENGINE_TOTALS: Final = (
    ("steps", "engine steps that decoded", "steps"),
    ("busy_seconds", "seconds in such steps", "seconds"),
    ("request_seconds", "seconds in such steps times the requests that decoded", "request_seconds"),
    ("emitted_tokens", "tokens that reached requests", "emitted"),
    ("drafted_tokens", "positions run by the drafter", "drafted"),
    ("verified_tokens", "positions run by the target for decoding", "verified"),
    ("dollars", "dollars spent, prompts left out", "dollars"),
)


class _Status(Collector):
    """A status as metric families."""

    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The families."""
        status, engines = self._status, self._status["engines"]
        yield Gauge("flyball_speed", "the knob, in [0, 1]", value=status["speed"])
        yield Gauge(
            "flyball_snapshot", "number of the snapshot published last", value=status["snapshot"]
        )
        yield Gauge(
            "flyball_up_seconds", "seconds since the controller's start", value=status["up_s"]
        )
        refused = Counter(
            "flyball_refused_messages", "messages dropped by the controller", labels=["kind"]
        )
        for kind, count in sorted(status["refused"].items()):
            refused.add_metric([kind], count)
        yield refused
        yield from single(Gauge, "learner", _LEARNER_GAUGES, status["learner"])
        yield from single(Counter, "learner", _LEARNER_COUNTERS, status["learner"])
        yield from labelled(Gauge, "engine", _ENGINE_GAUGES, engines)
        times = [
            {"engine": e["engine"]} | {key: 1e-6 * e[key] for _, _, key in _ENGINE_MICROSECONDS}
            for e in engines
        ]
        yield from labelled(Gauge, "engine", _ENGINE_MICROSECONDS, times)
        yield from labelled(Counter, "engine", _ENGINE_COUNTERS, engines)
        guards = [
            {"engine": e["engine"], "fallen_back": int(g["state"] == "fallen back"), **g}
            for e in engines
            for g in (e["guard"],)
        ]
        yield from labelled(Gauge, "engine", _GUARD_GAUGES, guards)
        yield from labelled(Counter, "engine", _GUARD_COUNTERS, guards)
        named = [{"engine": e["engine"], **e["totals"]} for e in engines]
        yield from labelled(Counter, "engine", _ENGINE_TOTALS, named)
        acceptance = Gauge(
            "flyball_engine_acceptance",
            "share of drafts accepted at a position, the ones before it accepted; last 10 s",
            labels=["engine", "position"],
        )
        for engine in engines:
            for position, share in enumerate(engine["acceptance"], 1):
                if share is not None:
                    acceptance.add_metric([engine["engine"], str(position)], share)
        yield acceptance
        yield from drafter_families(engines)
        yield from _slo(engines)
        yield from plan_families(status)


def _slo(engines: list[dict[str, Any]]) -> Iterator[Metric]:
    """Requests that ended, by SLO class; without a class, its label is empty."""
    labels = ["engine", "slo_class"]
    finished = Counter(
        "flyball_engine_slo_finished_requests", "requests of an SLO class that ended", labels=labels
    )
    best_effort = Counter(
        "flyball_engine_slo_best_effort_requests",
        "those of which an objective was given up or missed",
        labels=labels,
    )
    attained = Counter(
        "flyball_engine_slo_attained_requests",
        "those that attained an objective, or do not have it",
        labels=[*labels, "objective"],
    )
    for engine in engines:
        for name, counts in engine["slo"].items():
            of = [engine["engine"], name]
            finished.add_metric(of, counts["finished"])
            best_effort.add_metric(of, counts["best_effort"])
            for objective in OBJECTIVES:
                attained.add_metric([*of, objective], counts[objective])
            attained.add_metric([*of, "all"], counts["attained"])
    yield from (finished, best_effort, attained)


def exposition(status: dict[str, Any]) -> bytes:
    """A status in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry)
