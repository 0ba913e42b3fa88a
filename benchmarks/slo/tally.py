"""The turns of a live run, added up: scores, what arms did, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...inference.asking import RequestRecord
from ...inference.reports import Beat
from ...inference.simulator.traces import Trace
from .arms import ADASPEC_SLO, OURS, live_arms, strict
from .figures import Key
from .measured import Measured
from .options import SloOptions
from .promises import CLASSES
from .requests import ended
from .score import Served, described, score


@dataclass(frozen=True)
class Place:
    """One trace on the engine, as fast as the machine was when it was measured last.

    Attributes:
        trace: all of it, fitted.
        capacity: requests per second that the engine serves without speculation, at most.
        tpot: 90th percentile of the seconds per output token without speculation at the load
            ``REFERENCE``.
    """

    trace: Trace
    capacity: float
    tpot: float = 0.0


@dataclass(frozen=True)
class Turn:
    """One arm on the requests of one window.

    Attributes:
        place: of which it was.
        served: what became of them.
        records: of each, by its client.
        before: the engine's beat before the first.
        after: the one after the last.
    """

    place: Place
    served: Served
    records: Sequence[RequestRecord]
    before: Beat
    after: Beat


def measured(options: SloOptions, turns: Mapping[Key, Turn]) -> Measured:
    """Everything, as simulated runs have it."""
    promises = {key: options.slos(turn.place.tpot, key[2]) for key, turn in turns.items()}
    scores = {key: score(turn.served, promises[key]) for key, turn in turns.items()}
    policies = {arm.name: arm.policy for arm in live_arms(0.0, options.quick)}
    arms: dict[str, dict[str, Any]] = {name: {"policy": p} for name, p in policies.items()}
    for trace, load, scale, name in dict.fromkeys(key[:4] for key in turns):
        own = [key for key in turns if key[:4] == (trace, load, scale, name)]
        arms[name][f"{trace}, load {load:g}, scale {scale:g}"] = {
            **described([scores[key] for key in own], promises[own[0]]),
            **_requests([turns[key] for key in own]),
            "best_effort": {c: _best_effort([turns[key] for key in own], c) for c in CLASSES},
        }
        if name == ADASPEC_SLO:  # its constant is the tight objective, measured in every round
            told = dict.fromkeys(strict(promises[key][0].tpot).policy for key in own)
            arms[name]["policy"] = ", ".join(told)
    return Measured(scores, arms, _figures(turns))


def _best_effort(turns: Sequence[Turn], name: str) -> int:
    """Requests of a class of which the engine says that an objective was given up or missed."""
    return sum(
        beat.slo[name].best_effort * sign
        for turn in turns
        for beat, sign in ((turn.after, 1), (turn.before, -1))
        if name in beat.slo
    )


def _requests(turns: Sequence[Turn]) -> dict[str, int]:
    records = [record for turn in turns for record in turn.records]
    failed = sum(record.error is not None for record in records)
    over = sum(ended(record) for record in records)
    return {
        "requests": len(records),
        "failed_requests": failed,
        "unfinished_requests": len(records) - failed - over,
    }


def _figures(turns: Mapping[Key, Turn]) -> dict[str, float]:
    """Those that only a live run has."""
    ours = max((t.after for key, t in turns.items() if key[3] == OURS), key=lambda beat: beat.at)
    last = max((t.after for t in turns.values()), key=lambda beat: beat.at)
    late = [record.late for turn in turns.values() for record in turn.records]
    return {
        **_speeds([turn.place for turn in turns.values()]),
        "plan_us_p50": ours.plan_us_p50,
        "plan_us_p99": ours.plan_us_p99,
        "plan_cpu_us_p50": ours.plan_cpu_us_p50,
        "plan_cpu_us_p99": ours.plan_cpu_us_p99,
        **_requests(list(turns.values())),
        "sent_late_ms_p99": 1e3 * float(np.percentile(late, 99)),
        "faults": last.faults,
    }


def _speeds(places: Sequence[Place]) -> dict[str, float]:
    """What the engine did without speculation, over all rounds."""
    figures: dict[str, float] = {}
    for name in dict.fromkeys(place.trace.name for place in places):
        own = [place for place in places if place.trace.name == name]
        capacities = [place.capacity for place in own]
        figures[f"capacity_{name}"] = float(np.mean(capacities))
        figures[f"capacity_{name}_least"] = min(capacities)
        figures[f"capacity_{name}_most"] = max(capacities)
        figures[f"tpot_ms_{name}"] = 1e3 * float(np.mean([place.tpot for place in own]))
    return figures
