"""Figures of a live run whose phases were all visited more than once.

The phases are given, not drawn: every one counts the same, however different they are, and what is
resampled are the visits of each (stratified; of n visits n - 1 are drawn, which keeps the variance
right where n is small: Rao and Wu 1988). All arms of a visit, which met the same requests, stay
together. So the intervals say how far other visits to these phases would have moved the figures.

Figures, per speed S:
    j_S, best_static_ratio_S, best_peer_ratio_S: as in ``figures``, with such intervals.
    regret_S: J over that of the best fixed depth of each phase in hindsight, less 1. The least of
        several noisy means flatters hindsight: this regret is too high.
    regret_crossfit_S: the same, but in each visit against the depth that was best in the other
        visits of its phase. No depth gains by its luck in the visit where it is compared; that
        which was chosen from fewer visits need not be the best: this regret is rather too low.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ...policies.transition import Floats
from ..stats import Interval
from .figures import OFF, OURS, fixed_policies, objectives, peer_policies
from .tally import Tally

_RESAMPLES: Final = 4000

Statistic = Callable[[Floats], Floats]
"""Of means by phase, shape (..., phases, rows), over the last two axes."""


def paired_figures(tally: Tally, speeds: Sequence[float], seed: int) -> dict[str, float]:
    """Every such figure; none where a phase was visited but once."""
    visits = by_phase(tally)
    if not visits or min(len(v) for v in visits) < 2:
        return {}
    rng = np.random.default_rng(seed)
    drawn = [
        rng.multinomial(len(v) - 1, np.full(len(v), 1.0 / len(v)), _RESAMPLES) / (len(v) - 1)
        for v in visits
    ]
    out: dict[str, float] = {}
    for speed in speeds:
        for name, interval in _at_speed(tally, speed, visits, drawn).items():
            out |= interval.figures(f"{name}_{speed:g}")
    return out


def by_phase(tally: Tally) -> list[npt.NDArray[np.intp]]:
    """Which units are visits to the same phase."""
    names = np.array([phase for _, phase in tally.units])
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]


def crossfit(fixed: Floats, visits: Sequence[npt.NDArray[np.intp]]) -> Floats:
    """J in every unit of the depth that was best in the other visits to its phase.

    Args:
        fixed: J by depth and unit.
        visits: of each phase, two or more.
    """
    out = np.zeros(fixed.shape[1])
    for units in visits:
        for unit in units:
            others = fixed[:, units[units != unit]]
            out[unit] = fixed[others.mean(1).argmin(), unit]
    return out


def _at_speed(
    tally: Tally, speed: float, visits: Sequence[npt.NDArray[np.intp]], drawn: Sequence[Floats]
) -> dict[str, Interval]:
    ours = tally.objective(tally.arm(OURS, speed), OFF, speed)
    fixed = objectives(tally, fixed_policies(tally), speed)
    peers = objectives(tally, peer_policies(tally, speed), speed)
    found = {"j": _interval(ours[None], lambda m: m[..., 0].mean(-1), visits, drawn)}
    if fixed is not None:
        best = fixed[_means(fixed, visits).mean(0).argmin()]
        chosen = crossfit(fixed, visits)
        found["best_static_ratio"] = _interval(np.stack([best, ours]), _ratio, visits, drawn)
        found["regret"] = _interval(np.stack([ours, *fixed]), _regret, visits, drawn)
        of_chosen = np.stack([ours, chosen])
        found["regret_crossfit"] = _interval(of_chosen, _regret, visits, drawn)
    if peers is not None:
        best = peers[_means(peers, visits).mean(0).argmin()]
        found["best_peer_ratio"] = _interval(np.stack([best, ours]), _ratio, visits, drawn)
    return found


def _means(rows: Floats, visits: Sequence[npt.NDArray[np.intp]]) -> Floats:
    """Means by phase of rows by unit: shape (phases, rows)."""
    means: Floats = np.stack([rows[:, units].mean(1) for units in visits])
    return means


def _ratio(means: Floats) -> Floats:
    """The first row's mean over the second's."""
    of: Floats = means.mean(-2)
    return of[..., 0] / of[..., 1]


def _regret(means: Floats) -> Floats:
    """The first row over the least of the others in each phase, less 1."""
    least = means[..., 1:].min(-1).mean(-1)
    regret: Floats = means[..., 0].mean(-1) / least - 1.0
    return regret


def _interval(
    rows: Floats,
    statistic: Statistic,
    visits: Sequence[npt.NDArray[np.intp]],
    drawn: Sequence[Floats],
) -> Interval:
    """A statistic of rows by unit, and how far other visits would move it.

    Args:
        rows: J, shape (rows, units).
        statistic: of their means by phase.
        visits: the units of each phase.
        drawn: for each phase, the weights of its visits in every resample, shape (resamples, n).
    """
    means = [weights @ rows[:, units].T for weights, units in zip(drawn, visits, strict=True)]
    found = statistic(np.stack(means, axis=1))
    low, high = np.percentile(found, (2.5, 97.5))
    return Interval(float(statistic(_means(rows, visits))), float(low), float(high))
