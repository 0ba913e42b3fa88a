"""Figures of ``flyball bench slo``.

goodput_ratio_to_best_peer: requests per second that attained all they were promised, ours over
    the best other arm's, at the load where AdaSpec's is greatest, geometric mean over seeds and
    scales; the least of all traces, with ``_low`` and ``_high``.
goodput_ratio_TRACE: the same of each trace; goodput_ratio_TRACE_LOAD at every load.
attainment_CLASS, attainment_CLASS_off: share of a class that attained all it was promised, ours
    and off's, mean over traces, loads, scales and seeds.
attainment_margin: the least that ours is above off in any class at any load of any trace.
allocate_us_p50, allocate_us_p99: microseconds that the plan of a step takes for 64 requests,
    simulated runs only. Live, plan_us_p50 and plan_us_p99: of the last 1,024 steps that were
    planned by the end of our last turn, other planning arms' among them if ours were fewer.
allocate_cpu_us_p50, allocate_cpu_us_p99, plan_cpu_us_p50, plan_cpu_us_p99: of these the
    processor's time: without what other processes and threads took of it meanwhile.
plan_queue_us_p99: the same of a plan by the clock where 64 more wait, and one leaves and one comes
    with every step, so that they are put in order anew; simulated runs only.
capacity_TRACE, tpot_ms_TRACE: live, requests per second without speculation, and the 90th
    percentile of milliseconds per output token without it at half that load: means over rounds,
    as both are measured anew before each; capacity_TRACE_least, capacity_TRACE_most.
requests, failed_requests, unfinished_requests: live, of the turns that are compared; unfinished
    are those that had not ended within as long again as their window.
sent_late_ms_p99: live, by how much our own clients sent late; faults: of the governor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from ..stats import Interval, ratio_interval
from .arms import ADASPEC, OFF, OURS
from .promises import CLASSES
from .score import Score

Key = tuple[str, float, float, str, int]
"""Trace, load, scale, arm and seed."""

Scores = Mapping[Key, Score]

_TINY: Final = 1e-3  # requests per second: who attains nothing is not divided by


def slo_figures(scores: Scores, seed: int) -> dict[str, float]:
    """All of them, but for those of time."""
    figures: dict[str, float] = {}
    at_best: list[Interval] = []
    for trace in _of(scores, 0):
        loads = _of(scores, 1)
        by_load = {load: _ratio(scores, trace, load, seed) for load in loads}
        for load, found in by_load.items():
            figures[f"goodput_ratio_{trace}_{load:g}"] = found.value
        best = max(loads, key=lambda load: _goodput(scores, trace, load, ADASPEC))
        at_best.append(by_load[best])
        figures |= by_load[best].figures(f"goodput_ratio_{trace}")
        figures[f"adaspec_best_load_{trace}"] = best
    least = min(at_best, key=lambda interval: interval.value)
    return {
        **least.figures("goodput_ratio_to_best_peer"),
        **figures,
        **_attainment(scores),
    }


def _attainment(scores: Scores) -> dict[str, float]:
    figures: dict[str, float] = {}
    margins = []
    for i, name in enumerate(CLASSES):
        for arm, end in ((OURS, ""), (OFF, "_off")):
            own = [s.attained[i] for key, s in scores.items() if key[3] == arm]
            figures[f"attainment_{name}{end}"] = float(np.mean(own))
        for trace in _of(scores, 0):
            for load in _of(scores, 1):
                ours, off = (
                    np.mean([s.attained[i] for key, s in scores.items() if key[:2] == (trace, load)
                             and key[3] == arm])
                    for arm in (OURS, OFF)
                )  # fmt: skip
                margins.append(float(ours - off))
    figures["attainment_margin"] = min(margins)
    return figures


def _ratio(scores: Scores, trace: str, load: float, seed: int) -> Interval:
    """Goodput of ours over the best other arm's, by the mean over scales and seeds."""
    peers = [arm for arm in _of(scores, 3) if arm != OURS]
    best = max(peers, key=lambda arm: _goodput(scores, trace, load, arm))
    pairs = [
        [
            tuple(max(scores[trace, load, scale, arm, s].goodput, _TINY) for arm in (OURS, best))
            for s in _of(scores, 4)
        ]
        for scale in _of(scores, 2)
    ]
    return ratio_interval(pairs, seed)  # type: ignore[arg-type]


def _goodput(scores: Scores, trace: str, load: float, arm: str) -> float:
    own = [s.goodput for key, s in scores.items() if key[:2] == (trace, load) and key[3] == arm]
    return float(np.mean(own))


def _of(scores: Scores, place: int) -> list:  # type: ignore[type-arg]
    """What there is of one part of the keys, in order."""
    return list(dict.fromkeys(key[place] for key in scores))
