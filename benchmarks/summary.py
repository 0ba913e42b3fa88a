"""What the demo measured, as figures, tables and plain data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import numpy as np

from ..policies.prices import Prices
from ..policies.spaces import DEPTH_SPACE
from ..policies.transition import Reason, Transition
from .arms import ARMS, OFF, PHASES, SPEEDS, Arm, Phase, Slice
from .engines import BenchError
from .machine import machine, versions
from .stats import Interval, mean_interval, ratio_interval

Visits = dict[int, dict[str, Slice]]
"""Slices by visit and arm: those of one visit are paired."""

Value = Callable[[Slice, Slice], float]
"""What a slice is judged by, given the one without speculation in the same visit."""


@dataclass(frozen=True)
class KnobTurn:
    """One turn of the knob.

    Attributes:
        at: when the command was sent, seconds since the epoch.
        speed: the new speed.
        effect: seconds until it was in force at the engine; NaN if not known.
    """

    at: float
    speed: float
    effect: float = math.nan


def in_force(turns: Sequence[KnobTurn], speeds: Sequence[tuple[float, float]]) -> list[KnobTurn]:
    """Turns with the time they took, by the times at which the engine's speed changed.

    A turn that was not seen in force before the next one keeps NaN.
    """
    found = []
    for turn, until in zip(turns, [*(t.at for t in turns[1:]), math.inf], strict=True):
        mine = (at for at, speed in speeds if turn.at <= at < until and speed == turn.speed)
        found.append(replace(turn, effect=min(mine, default=math.nan) - turn.at))
    return found


@dataclass(frozen=True)
class Measured:
    """Everything that the demo measured.

    Attributes:
        slices: of all arms.
        turns: of the knob.
        tour: transitions of the last part, in which the knob alone was turned.
        requests: that ended.
        failed: reasons of those that failed.
        status: of the controller, at the end.
        prices: in dollars.
    """

    slices: list[Slice]
    turns: list[KnobTurn]
    tour: list[Transition]
    requests: int
    failed: list[str]
    status: dict[str, Any]
    prices: Prices


def summarise(measured: Measured, seed: int, seconds: float) -> dict[str, Any]:
    """The summary, JSON-able.

    Raises:
        BenchError: if there is nothing to compare.
    """
    visits = _complete(measured.slices)
    best = {speed: _best_fixed(visits, speed, seed) for speed in SPEEDS}
    return {
        "bench": "demo",
        "machine": machine(),
        "versions": versions(),
        "seed": seed,
        "arms": {arm.name: asdict(arm) for arm in ARMS},
        "figures": {
            **_gains(visits, best, seed),
            **_knob(measured.turns),
            **_service(measured),
            "visits": len(visits),
            "seconds": seconds,
        },
        "best_fixed": {f"{speed:g}": arm.name for speed, arm in best.items()},
        "phases": [_phase(visits, phase, seed) for phase in PHASES],
        "plane": _plane(visits),
        "tour": _tour(measured.tour),
        "failures": measured.failed[:5],
        "prices": msgspec.to_builtins(measured.prices),
    }


def _complete(slices: Iterable[Slice]) -> Visits:
    """The visits in which every arm was measured."""
    visits: Visits = defaultdict(dict)
    for one in slices:
        visits[one.visit][one.arm.name] = one
    complete = {n: arms for n, arms in visits.items() if len(arms) == len(ARMS)}
    if not complete:
        raise BenchError("no phase was measured with every arm: give the demo more seconds")
    return complete


def latency(one: Slice, off: Slice) -> float:
    """Seconds per token over those of the paired slice without speculation."""
    return one.seconds_per_token / off.seconds_per_token


def cost(one: Slice, off: Slice) -> float:
    """Dollars per token over those of the paired slice without speculation."""
    return one.dollars_per_token / off.dollars_per_token


def throughput(one: Slice, off: Slice) -> float:
    """Tokens per second over those of the paired slice without speculation."""
    return one.tokens_per_second / off.tokens_per_second


def burden(speed: float) -> Value:
    """What the default reward is the negative of, at a speed; off = 1.0, lower is better."""

    def value(one: Slice, off: Slice) -> float:
        return speed * latency(one, off) + (1.0 - speed) * cost(one, off)

    return value


def governed(speed: float) -> Arm:
    """The governed arm at a speed."""
    return next(arm for arm in ARMS if arm.speed == speed)


def _values(visits: Visits, arm: Arm, value: Value) -> dict[Phase, list[float]]:
    """A value of one arm in every visit, grouped by phase."""
    groups: dict[Phase, list[float]] = defaultdict(list)
    for arms in visits.values():
        off = arms[OFF.name]
        groups[off.phase].append(value(arms[arm.name], off))
    return groups


def _ratio(visits: Visits, ours: Arm, theirs: Arm, value: Value, seed: int) -> Interval:
    """A value of one arm over the same of another, paired by visit."""
    a, b = _values(visits, ours, value), _values(visits, theirs, value)
    return ratio_interval([list(zip(a[p], b[p], strict=True)) for p in a], seed)


def _best_fixed(visits: Visits, speed: float, seed: int) -> Arm:
    """The fixed depth, off among them, that in hindsight was best over all phases at a speed."""
    fixed = [arm for arm in ARMS if arm.depth is not None]

    def mean(arm: Arm) -> float:
        return mean_interval(list(_values(visits, arm, burden(speed)).values()), seed).value

    return min(fixed, key=mean)


def _gains(visits: Visits, best: Mapping[float, Arm], seed: int) -> dict[str, float]:
    """Governed against off and against the best fixed depth, over all phases."""
    figures: dict[str, float] = {}
    for speed in SPEEDS:
        for label, other in (("off", OFF), ("best_fixed", best[speed])):
            for name, value in (("throughput", throughput), ("burden", burden(speed))):
                ratio = _ratio(visits, governed(speed), other, value, seed)
                figures |= ratio.figures(f"{name}_over_{label}_at_{speed:g}")
    return figures


def _knob(turns: Sequence[KnobTurn]) -> dict[str, float]:
    effects = [turn.effect for turn in turns if not math.isnan(turn.effect)]
    counts: dict[str, float] = {
        "knob_turns": len(turns),
        "knob_turns_unseen": len(turns) - len(effects),
    }
    if not effects:
        return counts
    return {
        **counts,
        "knob_seconds_median": float(np.median(effects)),
        "knob_seconds_max": max(effects),
    }


def _service(measured: Measured) -> dict[str, float]:
    learner, engine = measured.status["learner"], measured.status["engines"][0]
    return {
        "requests": measured.requests,
        "failed_requests": len(measured.failed),
        "transitions": learner["transitions"],
        "updates": learner["updates"],
        "snapshots": learner["snapshot"],
        "decisions": engine["decisions"],
        "dropped": engine["dropped"],
        "faults": engine["faults"],
        "decide_us_p50": engine["decide_us_p50"],
        "decide_us_p99": engine["decide_us_p99"],
    }


def _phase(visits: Visits, phase: Phase, seed: int) -> dict[str, Any]:
    """One phase: every arm's sums over its slices, and its values over off's."""
    own = {n: arms for n, arms in visits.items() if arms[OFF.name].phase == phase}
    arms = {}
    for arm in ARMS if own else ():
        found = [by_arm[arm.name] for by_arm in own.values()]
        emitted, seconds = sum(s.emitted for s in found), sum(s.seconds for s in found)
        arms[arm.name] = {
            "tokens_per_second": emitted / seconds,
            "seconds_per_token": sum(s.request_seconds for s in found) / emitted,
            "dollars_per_token": sum(s.dollars for s in found) / emitted,
            "depth": sum(s.depth * s.seconds for s in found) / seconds,
            "intervals": sum(s.intervals for s in found),
            "throughput_over_off": _ratio(own, arm, OFF, throughput, seed).value,
            "latency": _ratio(own, arm, OFF, latency, seed).value,
            "cost": _ratio(own, arm, OFF, cost, seed).value,
        }
    return {
        "phase": phase.name,
        "concurrency": phase.concurrency,
        "content_class": phase.content_class,
        "visits": len(own),
        "arms": arms,
    }


def _plane(visits: Visits) -> dict[str, dict[str, float]]:
    """Latency and cost of every arm, geometric means over phases and visits."""
    plane = {}
    for arm in ARMS:
        means = {}
        for name, value in (("latency", latency), ("cost", cost)):
            groups = _values(visits, arm, value).values()
            means[name] = float(np.exp(np.mean([np.log(group).mean() for group in groups])))
        plane[arm.name] = means
    return plane


def _tour(transitions: Sequence[Transition]) -> dict[str, list[float]]:
    """Decisions while the knob alone was turned, as columns; ``t`` in seconds from the first."""
    batch = DEPTH_SPACE.index("batch")
    start = transitions[0].decision.at if transitions else 0.0
    return {
        "t": [t.decision.at - start for t in transitions],
        "depth": [t.decision.applied for t in transitions],
        "explored": [float(t.decision.reason is Reason.EXPLORE) for t in transitions],
        "speed": [t.decision.speed for t in transitions],
        "batch": [float(t.decision.vector()[batch]) for t in transitions],
        "tokens_per_second": [t.outcome.emitted / t.outcome.seconds for t in transitions],
    }
