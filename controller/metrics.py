"""Everything for Prometheus, made from a status when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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
    ("survival_calibration_error", "calibration error of the same", "survival_ece"),
    ("decide_microseconds_p50", "median time of a decision", "decide_us_p50"),
    ("decide_microseconds_p99", "99th percentile of a decision's time", "decide_us_p99"),
)
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
        yield GaugeMetricFamily("flyball_speed", "the knob, in [0, 1]", value=status["speed"])
        yield GaugeMetricFamily(
            "flyball_snapshot", "number of the snapshot published last", value=status["snapshot"]
        )
        yield GaugeMetricFamily(
            "flyball_up_seconds", "seconds since the controller's start", value=status["up_s"]
        )
        refused = CounterMetricFamily(
            "flyball_refused_messages", "messages dropped by the controller", labels=["kind"]
        )
        for kind, count in sorted(status["refused"].items()):
            refused.add_metric([kind], count)
        yield refused
        for name, value in sorted(status["learner"].items()):
            if isinstance(value, int | float) and not isinstance(value, bool):
                about = f"{name.replace('_', ' ')} of the learner"
                yield GaugeMetricFamily(f"flyball_learner_{name}", about, value=value)
        yield from _by_engine(GaugeMetricFamily, _ENGINE_GAUGES, engines)
        yield from _by_engine(CounterMetricFamily, _ENGINE_COUNTERS, engines)
        guards = [
            {"engine": e["engine"], "fallen_back": int(g["state"] == "fallen back"), **g}
            for e in engines
            for g in (e["guard"],)
        ]
        yield from _by_engine(GaugeMetricFamily, _GUARD_GAUGES, guards)
        yield from _by_engine(CounterMetricFamily, _GUARD_COUNTERS, guards)
        named = [{"engine": e["engine"], **e["totals"]} for e in engines]
        yield from _by_engine(CounterMetricFamily, _ENGINE_TOTALS, named)
        acceptance = GaugeMetricFamily(
            "flyball_engine_acceptance",
            "share of drafts accepted at a position, the ones before it accepted; last 10 s",
            labels=["engine", "position"],
        )
        for engine in engines:
            for position, share in enumerate(engine["acceptance"], 1):
                if share is not None:
                    acceptance.add_metric([engine["engine"], str(position)], share)
        yield acceptance


def _by_engine(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    rows: tuple[tuple[str, str, str], ...],
    engines: list[dict[str, Any]],
) -> Iterator[Metric]:
    for name, about, key in rows:
        family = kind(f"flyball_engine_{name}", about, labels=["engine"])
        for engine in engines:
            if engine[key] is not None:
                family.add_metric([engine["engine"]], engine[key])
        yield family


def exposition(status: dict[str, Any]) -> bytes:
    """A status in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry)
