"""From tallies to the figures of ``flyball bench depth``.

Figures, for our policy, per speed S in 0, 0.25, 0.5, 0.75, 1:
    j_S: J = speed x latency + (1 - speed) x cost, mean over all units; off = 1.0, lower is better.
    best_static_ratio_S: J of the best single fixed depth (off among them) over ours; above 1 is
        better. The best is chosen in hindsight over the whole run.
    best_peer_ratio_S: J of the best other policy over ours, the best likewise chosen in hindsight.
    warm_ratio_S: J of ours over that of a warm start, where ``warm`` is among the policies; above
        1 the warm start is better.
    regret_S: J over that of the best depth of each phase in hindsight, less 1.
All with ``_low`` and ``_high``: percentile bootstrap over units, arms kept together.
    worst_phase_vs_off: greatest J in any phase (mean over seeds) at any speed; 1 is off.
    hypervolume_ratio_to_best_peer: area that a policy's points of latency and cost dominate, ours
        over the best other policy's.
    switches_per_minute: changes of depth at speed 1.
A live run that visited every phase more than once has the intervals, and the regret, of ``paired``,
and further figures:
    regret_crossfit_S: regret against depths that were chosen on other visits.
    seconds_to_regret_5pct: seconds of ours' serving from a cold start, see ``beginning``.
    visits, visits_asked, sittings, requests, failed_requests: how much was measured.
Beside them, simulated: what ``settling`` and ``changes`` say; and with a profile:
    simulator_step_error: median relative error of its step times in batch sizes and depths that
        were held out of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ...policies.transition import Floats
from ..stats import Interval
from .tally import Arm, Tally

SPEEDS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
OURS: Final = "learned"
WARM: Final = "warm"
"""Ours, begun with what was learned in simulation under other traffic."""
OFF: Final = Arm("off")

_RESAMPLES: Final = 4000
# Where areas are measured from: as slow as off, and as dear as drafting without end would be.
_CORNER: Final = (1.0, 3.0)


def depth_figures(tally: Tally, speeds: Sequence[float], seed: int) -> dict[str, float]:
    """Every figure of our policy that a tally gives."""
    figures: dict[str, float] = {}
    for speed in speeds:
        for name, interval in at_speed(tally, speed, seed).items():
            figures |= interval.figures(f"{name}_{speed:g}")
    figures["worst_phase_vs_off"] = worst_phase(tally, OURS, speeds)
    peers = [*fixed_policies(tally), *peer_policies(tally, max(speeds))]
    areas = {p: hypervolume(tally, p, speeds) for p in peers}
    if areas and max(areas.values()) > 0:
        figures["hypervolume_ratio_to_best_peer"] = hypervolume(tally, OURS, speeds) / max(
            areas.values()
        )
    figures["switches_per_minute"] = tally.switches_per_minute(tally.arm(OURS, max(speeds)))
    return figures


def at_speed(tally: Tally, speed: float, seed: int) -> dict[str, Interval]:
    """J of ours, and its ratios to others', at a speed."""
    ours = tally.objective(tally.arm(OURS, speed), OFF, speed)
    fixed = objectives(tally, fixed_policies(tally), speed)
    peers = objectives(tally, peer_policies(tally, speed), speed)
    out = {"j": interval(ours, lambda j: j.mean(-1), seed)}
    if fixed is not None:
        best = fixed[fixed.mean(1).argmin()]
        out["best_static_ratio"] = ratio(best, ours, seed)
        out["regret"] = less_one(ratio(ours, fixed.min(0), seed))
    if WARM in tally.policies():
        warm = tally.objective(tally.arm(WARM, speed), OFF, speed)
        out["warm_ratio"] = ratio(ours, warm, seed)
    if peers is not None:
        out["best_peer_ratio"] = ratio(peers[peers.mean(1).argmin()], ours, seed)
    return out


def fixed_policies(tally: Tally) -> list[str]:
    """Off and every fixed depth."""
    return [p for p in tally.policies() if p == OFF.policy or p.startswith("fixed")]


def peer_policies(tally: Tally, speed: float) -> list[str]:
    """Every other policy that is neither ours nor fixed, and was measured at a speed."""
    ours = (OURS, WARM, *fixed_policies(tally))
    others = [p for p in tally.policies() if p not in ours]
    return [p for p in others if tally.arm(p, speed) in tally.arms]


def objectives(tally: Tally, policies: Sequence[str], speed: float) -> Floats | None:
    """J of some policies in every unit, shape (policies, units); None without any."""
    if not policies:
        return None
    return np.stack([tally.objective(tally.arm(p, speed), OFF, speed) for p in policies])


def interval(values: Floats, statistic: Callable[[Floats], Any], seed: int) -> Interval:
    """A statistic over units, with a percentile bootstrap over them.

    Args:
        values: shape (..., units).
        statistic: of such an array, over its last axis.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    index = rng.integers(values.shape[-1], size=(_RESAMPLES, values.shape[-1]))
    found = np.array([statistic(values[..., i]) for i in index])
    low, high = np.percentile(found, (2.5, 97.5))
    return Interval(float(statistic(values)), float(low), float(high))


def ratio(above: Floats, below: Floats, seed: int) -> Interval:
    """Mean over mean, resampled together."""
    return interval(np.stack([above, below]), lambda v: v[0].mean(-1) / v[1].mean(-1), seed)


def less_one(of: Interval) -> Interval:
    """An interval of ratios as one of relative excess."""
    return Interval(of.value - 1.0, of.low - 1.0, of.high - 1.0)


def worst_phase(tally: Tally, policy: str, speeds: Sequence[float]) -> float:
    """Greatest J of a policy in any phase, mean over its seeds, at any speed."""
    phases = np.array([phase for _, phase in tally.units])
    worst = 0.0
    for speed in speeds:
        j = tally.objective(tally.arm(policy, speed), OFF, speed)
        worst = max(worst, *(float(j[phases == phase].mean()) for phase in np.unique(phases)))
    return worst


def curve(tally: Tally, policy: str, speeds: Sequence[float]) -> list[tuple[float, float]]:
    """Latency and cost of a policy at every speed that it was measured at, means over units."""
    points = []
    for speed in (s for s in speeds if tally.arm(policy, s) in tally.arms):
        latency, cost = tally.components(tally.arm(policy, speed), OFF).mean(0)
        points.append((float(latency), float(cost)))
    return points


def hypervolume(tally: Tally, policy: str, speeds: Sequence[float]) -> float:
    """Area that a policy's points dominate, up to a corner (Zitzler and Thiele 1998)."""
    area, below = 0.0, _CORNER[1]
    for latency, cost in sorted(curve(tally, policy, speeds)):
        if latency < _CORNER[0] and cost < below:
            area += (_CORNER[0] - latency) * (below - cost)
            below = cost
    return area
