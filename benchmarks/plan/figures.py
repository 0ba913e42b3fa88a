"""Figures of ``flyball bench plan``.

Of the trace's runs where there is a trace, else of generated tasks; of these with ``_generated``
where there are both; with ``_calls_N`` where three generated tasks share N calls at a time; with
``_unseen`` of generated tasks that do not come back; with ``_trace_first`` and ``_trace_again`` of
the trace's runs of tasks not met before, and met before; with ``_trace_whole`` where cancelled
calls are charged in full; with ``_trace_blind`` where, moreover, fixed numbers of steps run on
after A's own TERMINATE. All policies learn from the same tasks, DSP as many times as any. Latency
and dollars are over those of the target agent alone under the same conditions; at equal latency,
each family by its whole curve. ``_low`` and ``_high``: bootstrap over tasks, all runs of a task
together.

dollars_vs_fixed6: dollars of ours over those of rounds of six steps, at the latency of those.
unnecessary_vs_fixed6: the same of unnecessary dollars: what is spent beyond the committed steps'.
dollars_vs_best_fixed: the same against the best fixed k, in rounds or in a rolling window: the
    cheapest of those that are within 5 % of the fastest.
dollars_vs_fixed6_at_best, unnecessary_vs_fixed6_at_best: dollars and unnecessary dollars of ours at
    the latency of the best fixed k, over fixed six's.
dollars_vs_dsp: the greatest ratio over DSP's whole curve, each point at its latency.
dollars_vs_oracle: ours at the least latency of the oracle, over its.
judge_vs_fixed6: dollars over fixed six's, at its latency, of who knows whether a proposal will
    match as soon as it is made: no chances learned of proposals can give less.
latency_short: by how much ours at its fastest is slower than the fastest of those compared with
    above, of sequential; 0 where every latency was reached.
identical_trajectories: share of the runs that count whose actions are the target agent's own.
decide_ms_p99: milliseconds of processor time of a decision of ours.
tasks_to_learn: tasks that ours runs from cold until its loss at speed 0.8 over the next 20, over
    the oracle's on the same, is within 2 % of what it is over the last half.
cold_loss_ratio: that of the first 20 tasks, over that of the last half.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ...policies.transition import Floats
from ..stats import Interval
from .arms import DSP, FIXED, FIXED_6, JUDGE, OFF, ORACLE, OURS, WINDOW, Arm
from .curves import cheapest_of_the_fastest, cost_at, hull
from .running import Job, Rows
from .scenes import GENERATED, TRACE
from .tally import Tally, Where

LEARNING_SPEED: Final = 0.8
"""At which learning from cold is looked at: between the ends, the decision is hardest."""

_RESAMPLES: Final = 1000
_WINDOW: Final = 20  # tasks over which a loss is taken while learning


def plan_figures(found: Mapping[Where, Tally], seed: int) -> dict[str, float]:
    """Those that compare curves, at every place."""
    main = TRACE if any(name == TRACE for name, _ in found) else GENERATED
    figures: dict[str, float] = {}
    for (name, limit), tally in sorted(found.items(), key=lambda item: item[0] != (main, math.inf)):
        suffix = "" if name == main else f"_{name}"
        suffix += "" if math.isinf(limit) else f"_calls_{limit:g}"
        for figure, interval in compared(tally, seed).items():
            figures |= interval.figures(figure + suffix)
    every = [tally.identical for tally in found.values()]
    return {**figures, "identical_trajectories": float(np.mean(every))}


def compared(tally: Tally, seed: int) -> dict[str, Interval]:
    """Ours against each of the others, at equal latency."""
    rng = np.random.default_rng(seed)
    n = len(tally.tasks)
    weights: Floats = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(np.float64)
    drawn = [_comparison(tally, row) for row in weights]
    out = {}
    for name, value in _comparison(tally, None).items():
        low, high = np.percentile([d[name] for d in drawn], (2.5, 97.5))
        out[name] = Interval(value, float(low), float(high))
    return out


def _comparison(tally: Tally, weights: Floats | None) -> dict[str, float]:
    curves = {name: hull(tally.points(name, weights)) for name in (OURS, JUDGE, ORACLE, DSP)}
    ours = curves[OURS]
    fixed = np.concatenate([tally.points(name, weights) for name in (FIXED, WINDOW)])
    six = tally.point(next(arm for arm in tally.sums if arm.spec == FIXED_6), weights)
    best = fixed[cheapest_of_the_fastest(fixed)]
    at_six, at_best = cost_at(ours, six[0]), cost_at(ours, best[0])
    unnecessary = max(six[1] - 1.0, 1e-9)
    fastest = min(six[0], best[0], curves[DSP][0, 0])
    return {
        "dollars_vs_fixed6": at_six / six[1],
        "unnecessary_vs_fixed6": (at_six - 1.0) / unnecessary,
        "dollars_vs_best_fixed": at_best / best[1],
        "dollars_vs_fixed6_at_best": at_best / six[1],
        "unnecessary_vs_fixed6_at_best": (at_best - 1.0) / unnecessary,
        "dollars_vs_dsp": max(cost_at(ours, latency) / cost for latency, cost in curves[DSP]),
        "dollars_vs_oracle": cost_at(ours, curves[ORACLE][0, 0]) / curves[ORACLE][0, 1],
        "judge_vs_fixed6": cost_at(curves[JUDGE], six[0]) / six[1],
        "latency_short": max(float(ours[0, 0] - fastest), 0.0),
    }


def learning_figures(results: Sequence[tuple[Job, Rows]]) -> dict[str, float]:
    """How soon ours is as good as it gets, on generated tasks without a limit."""
    ratio = _learning(results)
    settled = float(np.nanmean(ratio[len(ratio) // 2 :]))
    near = np.flatnonzero(ratio <= 1.02 * settled)
    return {
        "tasks_to_learn": float(near[0] if len(near) else len(ratio)),
        "cold_loss_ratio": float(ratio[0]) / settled,
    }


def _learning(results: Sequence[tuple[Job, Rows]]) -> Floats:
    """Loss of ours over the oracle's, over the tasks from each one on, mean over seeds."""
    sums: dict[str, Floats] = {}
    for family in (FIXED, OURS, ORACLE):
        rows = [rows for job, rows in results if _learns(job, family)]
        sums[family] = np.sum(
            [np.stack([r.column("seconds"), r.column("dollars")]) for r in rows], 0
        )
    window = np.ones(_WINDOW)
    smooth = {
        f: np.stack([np.convolve(row, window, "valid") for row in s]) for f, s in sums.items()
    }
    off = smooth[FIXED]
    knob = np.array([LEARNING_SPEED, 1.0 - LEARNING_SPEED])
    loss = {family: knob @ (smooth[family] / off) for family in (OURS, ORACLE)}
    ratio: Floats = loss[OURS] / loss[ORACLE]
    return ratio


def _learns(job: Job, family: str) -> bool:
    if job.scene.name != GENERATED or not math.isinf(job.limit) or job.arm.family != family:
        return False
    return job.arm.spec == OFF if family == FIXED else job.arm.speed == LEARNING_SPEED


def described(found: Mapping[Where, Tally]) -> dict[str, dict[str, object]]:
    """What every arm came to at every place, for the result's ``arms``."""
    out: dict[str, dict[str, object]] = {}
    for (name, limit), tally in found.items():
        place = name if math.isinf(limit) else f"{name}, {limit:g} calls"
        for arm in tally.sums:
            out.setdefault(arm.name, _settings(arm))[place] = tally.described(arm)
    return out


def _settings(arm: Arm) -> dict[str, object]:
    return {"family": arm.family, "policy": arm.spec, "speed": arm.speed}
