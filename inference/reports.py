"""What engines, and planners of agents, tell their controller: transitions, and how they are."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from ..policies.transition import Transition
from .agents.messages import PlannerInfo, PlanTotals
from .attainment import Attained
from .drafter_records import DrafterBeat
from .guard_state import GuardState

SCHEMA: Final = 3


LEARNED: Final = "learned"
"""What the learner's snapshots are called among the policies."""


class Mode(StrEnum):
    """What a governor does with its decisions."""

    OFF = "off"  # nothing: static depth, no report
    OBSERVE = "observe"  # static depth, reported
    SHADOW = "shadow"  # decide and report, static depth applied
    APPLY = "apply"  # decide, apply, report
    FREEZE = "freeze"  # apply the best action, never explore, not learned from


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself.

    Attributes:
        engine: its name, unique among the controller's engines.
        target: name of the target model.
        draft: name of what drafts.
        k_max: greatest depth it can run.
        static_depth: depth without a snapshot.
        parameter_ratio: the drafter's parameters over the target's.
        dtype: of the target's weights.
        versions: of flyball, vLLM and torch.
        classes: names of the request classes in their slots; "" for a free one.
        offered: names of the drafters that requests may have; empty where vLLM's own is the only
            one.
    """

    engine: str
    target: str
    draft: str
    k_max: int
    static_depth: int
    parameter_ratio: float
    dtype: str = ""
    versions: dict[str, str] = {}
    classes: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, tag="report", tag_field="kind"):
    """Transitions of one engine, oldest first."""

    engine: str
    transitions: list[Transition]
    schema: int = SCHEMA


_NAME: Final = re.compile(r"[\w.:@-]{1,64}", re.ASCII)


def check_engine_name(name: str) -> str:
    """An engine's name, as it was given.

    Raises:
        ValueError: saying what a name may be.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"an engine's name has 1 to 64 letters, digits or any of _ . : @ -, not {name[:80]!r}"
        )
    return name


class Totals(msgspec.Struct, array_like=True):
    """What an engine did since its start, every step counted.

    Attributes:
        seconds: in engine steps.
        steps: engine steps.
        request_seconds: seconds of each step times the requests that decoded in it.
        request_steps: requests that decoded, summed over the steps.
        emitted: tokens that reached decoding requests.
        drafted: positions run by the drafter.
        verified: positions run by the target for decoding requests (drafts and bonus).
        prefill: prompt tokens run by the target.
        finished: requests that ended.
    """

    seconds: float = 0.0
    steps: int = 0
    request_seconds: float = 0.0
    request_steps: int = 0
    emitted: int = 0
    drafted: int = 0
    verified: int = 0
    prefill: int = 0
    finished: int = 0


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="kind", kw_only=True):
    """An engine's state, sent every half second whatever the load.

    Attributes:
        info: who it is.
        at: seconds since the epoch.
        mode: mode in force.
        speed: knob in force.
        depth: depth in force.
        version: snapshot in force; 0 for none.
        pin: pin in force; 0 for none.
        running: requests that run.
        waiting: requests that wait.
        decisions: decisions since start.
        dropped: transitions dropped because the queue was full, since start.
        refused: messages from the controller that were refused, since start.
        faults: faults of the governor since start; at the limit it retires for good.
        last_fault: the latest fault or refusal, for people.
        decide_us_p50: median of the time that a decision holds the engine up, microseconds.
        decide_us_p99: 99th percentile of the same.
        prepare_us_p50: median of the time that deciding takes while the model runs, microseconds.
        prepare_us_p99: 99th percentile of the same.
        plan_us_p50: median of the time that planning a step takes, microseconds.
        plan_us_p99: 99th percentile of the same.
        plan_cpu_us_p50: median of the processor's time in that: without what other processes and
            threads take of it.
        plan_cpu_us_p99: 99th percentile of the same.
        policy: policy in force, ``learned`` or a specification of the catalogue.
        totals: of all steps since start.
        survival_brier: Brier score of predicted survival, some two thousand drafts; None before
            the first.
        survival_ece: expected calibration error of the same.
        guard: what the guard does and why.
        ignored: hints of requests that were not followed, since start.
        last_ignored: why the latest of them was not, for people.
        slo: what became of requests with objectives, since start, by SLO class; "" for none.
        drafters: how each drafter fares, by its name; empty where vLLM's own is the only one.
        drafter: who drafts for requests that ask for nobody: one of them, ``learned``, or
            ``random``; "" where there is no choice.
    """

    info: EngineInfo
    at: float
    mode: Mode
    speed: float
    depth: int
    version: int
    pin: int
    running: int
    waiting: int
    decisions: int
    dropped: int
    refused: int
    faults: int
    last_fault: str
    decide_us_p50: float
    decide_us_p99: float
    prepare_us_p50: float = 0.0
    prepare_us_p99: float = 0.0
    plan_us_p50: float = 0.0
    plan_us_p99: float = 0.0
    plan_cpu_us_p50: float = 0.0
    plan_cpu_us_p99: float = 0.0
    policy: str = LEARNED
    totals: Totals = msgspec.field(default_factory=Totals)
    survival_brier: float | None = None
    survival_ece: float | None = None
    guard: GuardState = GuardState()
    ignored: int = 0
    last_ignored: str = ""
    slo: dict[str, Attained] = {}
    drafters: dict[str, DrafterBeat] = {}
    drafter: str = ""
    schema: int = SCHEMA


class PlanReport(msgspec.Struct, frozen=True, tag="plan-report", tag_field="kind"):
    """Transitions of one run of a planner, oldest first: columns as ``columns_of`` makes them."""

    planner: str
    columns: dict[str, bytes]
    schema: int = SCHEMA


class PlanBeat(msgspec.Struct, frozen=True, tag="plan-beat", tag_field="kind", kw_only=True):
    """A planner's state, sent every half second whatever it does.

    Attributes:
        info: who it is.
        at: seconds since the epoch.
        mode: mode in force.
        speed: knob in force.
        version: snapshot in force; 0 for none.
        pin: pin in force; 0 for none.
        policy: policy in force, ``learned`` or a specification of the catalogue.
        running: tasks that run.
        in_flight: calls that run.
        ahead: steps ahead, of the latest decision.
        decisions: decisions since start.
        dropped: reports dropped because the queue was full, since start.
        refused: messages from the controller that were refused, since start.
        faults: faults of the governor since start.
        last_fault: the latest fault or refusal, for people.
        decide_us_p50: median of the time that a decision takes, microseconds.
        decide_us_p99: 99th percentile of the same.
        survival_brier: Brier score of predicted matches; None before the first.
        survival_ece: expected calibration error of the same.
        aheads: decisions by the number of steps ahead, since start.
        totals: of all runs since start.
    """

    info: PlannerInfo
    at: float
    mode: Mode
    speed: float
    version: int
    pin: int
    policy: str
    running: int
    in_flight: int
    ahead: int
    decisions: int
    dropped: int
    refused: int
    faults: int
    last_fault: str
    decide_us_p50: float
    decide_us_p99: float
    survival_brier: float | None = None
    survival_ece: float | None = None
    aheads: tuple[int, ...] = ()
    totals: PlanTotals = msgspec.field(default_factory=PlanTotals)
    schema: int = SCHEMA


FromEngine = Report | Beat | PlanReport | PlanBeat
