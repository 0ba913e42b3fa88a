"""What policies go by: predicted before an interval, measured after it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ..policy import Integers
from ..prices import cost, latency
from ..spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from ..structure import Structure
from ..transition import Floats
from .options import Objective

BATCH: Final = DEPTH_SPACE.index("batch")
CONTEXT: Final = DEPTH_SPACE.index("context")
ACCEPTANCE: Final = DEPTH_SPACE.slice("acceptance_1", MAX_DEPTH)
SURVIVAL: Final = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)
KEPT: Final = DEPTH_SPACE.slice("kept_1", MAX_DEPTH)

BUCKETS: Final = 9
"""Batch sizes 1, 2-3, 4-7, ..., 256 and more."""

WORST: Final = 4.0
"""J beyond which an interval is no worse: one that was disturbed should not outweigh the others."""


def bucket(raw: Array) -> Integers:
    """Which bucket of batch sizes each observation is in: shape (n,), in [0, BUCKETS)."""
    doublings = np.frexp(raw[:, BATCH])[1].astype(np.int64) - 1
    within: Integers = np.minimum(np.maximum(doublings, 0), BUCKETS - 1)
    return within


def worth(structure: Structure, raw: Array, survival: npt.ArrayLike, objective: Objective) -> Array:
    """What every depth is predicted to be worth, over what depth 0 is: higher is better.

    Args:
        structure: knows step times and prices.
        raw: raw observations, shape (n, DEPTH_SPACE.size).
        survival: P(positions 1..j all accepted) to go by, shape (n, MAX_DEPTH) or (MAX_DEPTH,).
        objective: throughput for tokens per second, J for 1 / J at the observations' speeds.

    Returns:
        float32, shape (n, k_max + 1).
    """
    state = raw.copy()
    state[:, SURVIVAL] = survival
    state[:, KEPT] = 1.0  # whose survival it is does not say who is cut short
    components = structure.components(state)
    if objective == "throughput":
        return 1.0 / components[..., 0]
    return 1.0 / weighed(components, raw[:, SPEED_INDEX])


def weighed(components: Array, speed: Array) -> Array:
    """J of every depth: components (n, depths, 2) and speeds (n,) to shape (n, depths)."""
    weight = speed[:, None]
    total: Array = weight * components[..., 0] + (1.0 - weight) * components[..., 1]
    return total


def first_peak(values: Array) -> Integers:
    """The depth after which values decline for the first time: (n, depths) to shape (n,)."""
    rising = values[:, 1:] > values[:, :-1]
    depths: Integers = np.logical_and.accumulate(rising, axis=1).sum(axis=1)
    return depths


def rewards(structure: Structure, raw: Array, outcomes: Floats, objective: Objective) -> Floats:
    """What intervals were worth, judged against depth 0 in the state they were measured in.

    Args:
        structure: knows step times and prices.
        raw: what was seen when they were decided, shape (n, DEPTH_SPACE.size).
        outcomes: rows as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        objective: J for -(speed x latency + (1 - speed) x cost), in [-WORST, 0]; throughput for
            tokens per second over those of depth 0, in [0, MAX_DEPTH + 1].

    Returns:
        Shape (n,); NaN where nothing was measured.
    """
    unknown = np.full(len(raw), np.nan)  # neither component reads the ratio of parameters
    batch = structure.outcomes(raw, outcomes, unknown)
    seconds = latency(batch)
    if objective == "throughput":
        return 1.0 / np.maximum(seconds, 1.0 / (MAX_DEPTH + 1.0))
    speed = raw[:, SPEED_INDEX]
    return -np.minimum(speed * seconds + (1.0 - speed) * cost(batch, structure.prices), WORST)
