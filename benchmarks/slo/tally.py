"""The turns of a live run, added up: scores, what arms did, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.asking import RequestRecord
from ...inference.reports import Beat
from .arms import OURS, live_arms
from .figures import Key
from .measured import Measured
from .options import SloOptions
from .promises import CLASSES
from .requests import ended
from .score import Served, described, score

if TYPE_CHECKING:
    from .live import Place


@dataclass(frozen=True)
class Turn:
    """One arm on the requests of one window.

    Attributes:
        served: what became of them.
        records: of each, by its client.
        before: the engine's beat before the first.
        after: the one after the last.
    """

    served: Served
    records: Sequence[RequestRecord]
    before: Beat
    after: Beat


def measured(options: SloOptions, places: Sequence[Place], turns: Mapping[Key, Turn]) -> Measured:
    """Everything, as simulated runs have it."""
    slos = {
        (p.trace.name, scale): options.slos(p.tpot, scale)
        for p in places
        for scale in options.sized_scales
    }
    scores = {key: score(turn.served, slos[key[0], key[2]]) for key, turn in turns.items()}
    policies = {arm.name: arm.policy for arm in live_arms(0.0, options.quick)}
    arms: dict[str, dict[str, Any]] = {name: {"policy": p} for name, p in policies.items()}
    for trace, load, scale, name in dict.fromkeys(key[:4] for key in turns):
        own = [key for key in turns if key[:4] == (trace, load, scale, name)]
        promises = slos[trace, scale]
        arms[name][f"{trace}, load {load:g}, scale {scale:g}"] = {
            **described([scores[key] for key in own], promises),
            **_requests([turns[key] for key in own]),
            "best_effort": {c: _best_effort([turns[key] for key in own], c) for c in CLASSES},
        }
        if name == "adaspec-slo":  # its constant is the tight objective, which was measured
            (its,) = (a for a in live_arms(promises[0].tpot) if a.name == name)
            arms[name]["policy"] = its.policy
    return Measured(scores, arms, _figures(places, turns))


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


def _figures(places: Sequence[Place], turns: Mapping[Key, Turn]) -> dict[str, float]:
    """Those that only a live run has."""
    ours = max((t.after for key, t in turns.items() if key[3] == OURS), key=lambda beat: beat.at)
    last = max((t.after for t in turns.values()), key=lambda beat: beat.at)
    late = [record.late for turn in turns.values() for record in turn.records]
    figures: dict[str, float] = {}
    for place in places:
        figures[f"capacity_{place.trace.name}"] = place.capacity
        figures[f"tpot_ms_{place.trace.name}"] = 1e3 * place.tpot
    return {
        **figures,
        "plan_us_p50": ours.plan_us_p50,
        "plan_us_p99": ours.plan_us_p99,
        "plan_cpu_us_p50": ours.plan_cpu_us_p50,
        "plan_cpu_us_p99": ours.plan_cpu_us_p99,
        **_requests(list(turns.values())),
        "sent_late_ms_p99": 1e3 * float(np.percentile(late, 99)),
        "faults": last.faults,
    }
