"""How long after a cold start a policy is as good as the best depth in hindsight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ...policies.transition import Floats
from .simulated import Course

BIN: Final = 10.0
"""Seconds over which regret is taken."""

WINDOW: Final = 6
"""Bins over which it is averaged: shorter stretches are the luck of a few requests."""


def seconds_to_regret(
    ours: Course,
    fixed: Mapping[int, Course],
    best: Sequence[Sequence[int]],
    phase_seconds: Sequence[float],
    limit: float,
) -> float:
    """Seconds of serving after which the regret in latency stays at or under a limit.

    The time by which every later minute's regret against the best depth of its phase in hindsight
    is at most the limit, mean over seeds. The end of the run, where that never is.

    Args:
        ours: of the engines at the greatest speed, one per seed.
        fixed: of the same seeds, by depth.
        best: the best depth in hindsight, by seed and phase.
        phase_seconds: how long the phases last.
        limit: such as .05.
    """
    ends = np.cumsum(phase_seconds)
    bins = int(ends[-1] // BIN)
    mine = _binned(ours, bins)
    theirs = {depth: _binned(course, bins) for depth, course in fixed.items()}
    phases = np.minimum(np.searchsorted(ends, (np.arange(bins) + 0.5) * BIN), len(ends) - 1)
    chosen = np.stack(
        [
            np.stack([theirs[best[seed][phase]][seed, i] for i, phase in enumerate(phases)])
            for seed in range(len(mine))
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # minutes without a request
        regret = _per_token(mine) / _per_token(chosen) - 1.0
    late = np.flatnonzero(regret > limit)
    return float((late[-1] + 1) * BIN) if len(late) else 0.0


def _binned(course: Course, bins: int) -> Floats:
    """Request seconds and tokens, shape (engines, bins, 2)."""
    out = np.zeros((len(course.clock), bins, 2))
    where = np.minimum((course.clock // BIN).astype(int), bins - 1)
    for engine, at in enumerate(where):
        np.add.at(out[engine], at, course.sums[engine, :, :2])
    return out


def _per_token(binned: Floats) -> Floats:
    """Seconds per token over windows, the seeds together: shape (bins - WINDOW + 1,)."""
    total = binned.sum(0)
    sums = np.stack([np.convolve(column, np.ones(WINDOW), "valid") for column in total.T])
    seconds: Floats = sums[0] / np.maximum(sums[1], 1.0)
    return seconds
