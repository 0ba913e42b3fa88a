"""What runs ahead are expected to take, from observations: seconds and dollars of every choice.

The analytic part of every policy of ours at the plan control point; ``schedule`` says how.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ..spaces import Array
from ..transition import Floats
from .compiling import compiled
from .estimates import remaining
from .schedule import (
    A_PRICE,
    A_SECONDS,
    AT_ONCE,
    BEGUN,
    CHOICES,
    CROWD,
    PROPOSED,
    REACH,
    T_PRICE,
    T_SECONDS,
    best_schedules,
    follow_schedule,
)
from .space import PLAN_SPACE, PLAN_SPEED_INDEX
from .state import MAX_AHEAD

Schedules = npt.NDArray[np.int64]

_AT: Final = {name: PLAN_SPACE.index(name) for name in PLAN_SPACE.names}
_BEGUN, _PROPOSED, _REACH = _AT["begun"], _AT["unverified"], _AT["reach"]
_SURVIVAL, _ELAPSED = _AT["survival_1"], _AT["elapsed_0"]
_A_SECONDS, _T_SECONDS, _SPREAD = _AT["a_seconds"], _AT["t_seconds"], _AT["t_spread"]
_A_PRICE, _T_PRICE, _AT_ONCE = _AT["a_dollars"], _AT["t_dollars"], _AT["t_at_once"]
_STEP_SECONDS, _STEP_DOLLARS = _AT["step_seconds"], _AT["step_dollars"]
_CROWD, _SPEED = _AT["congestion"], PLAN_SPEED_INDEX

_TINY: Final = 1e-9


@compiled
def _read(raw: Any, survival: Floats, left: Floats, ages: Floats, run: Floats) -> None:
    """Fill what ``schedule`` takes from one observation; money in steps' mean dollars."""
    survival[0] = 1.0
    middle = math.log(max(raw[_T_SECONDS], 1e-3)) - 0.5 * raw[_SPREAD] ** 2
    spread = max(raw[_SPREAD], 1e-2)
    for j in range(CHOICES):
        ages[j] = raw[_ELAPSED + j]
        left[j] = max(raw[_T_SECONDS], 1e-3)
        if j < raw[_BEGUN] and ages[j] < 0.0:
            left[j], ages[j] = 0.0, left[j]
        elif j < raw[_BEGUN]:
            left[j] = remaining(middle, spread, ages[j])
        if j > 0:
            survival[j] = raw[_SURVIVAL + j - 1]
    price = max(raw[_STEP_DOLLARS], _TINY)
    run[BEGUN], run[PROPOSED], run[REACH] = raw[_BEGUN], raw[_PROPOSED], raw[_REACH]
    run[A_SECONDS], run[T_SECONDS] = raw[_A_SECONDS], raw[_T_SECONDS]
    run[A_PRICE], run[T_PRICE] = raw[_A_PRICE] / price, raw[_T_PRICE] / price
    run[AT_ONCE], run[CROWD] = raw[_AT_ONCE], raw[_CROWD]


@compiled
def _components(raw: Any, components: Floats, schedules: Any) -> None:
    survival, left, ages = np.empty(CHOICES), np.empty(CHOICES), np.empty(CHOICES)
    run = np.empty(9)
    for row in range(len(raw)):
        _read(raw[row], survival, left, ages, run)
        unit = max(raw[row, _STEP_SECONDS], _TINY)
        speed = raw[row, _SPEED]
        found = components[row]
        best_schedules(survival, left, ages, run, speed / unit, 1.0 - speed, found, schedules[row])
        # Less than what runs already cannot be chosen, more than the reach brings nothing.
        first = 0
        while not np.isfinite(found[first, 0]):
            first += 1
        last = CHOICES - 1
        while not np.isfinite(found[last, 0]):
            last -= 1
        for a in range(CHOICES):
            given = min(max(a, first), last)
            found[a] = found[given]
            schedules[row, a] = schedules[row, given]
        found[:, 0] /= unit


@compiled
def _hindsight(raw: Any, schedules: Any, matched: Any, seconds: Any, components: Floats) -> None:
    survival, left, ages = np.empty(CHOICES), np.empty(CHOICES), np.empty(CHOICES)
    run = np.empty(9)
    for row in range(len(raw)):
        _read(raw[row], survival, left, ages, run)
        known = 0
        while known < MAX_AHEAD and not np.isnan(matched[row, known]):
            survival[known + 1] = survival[known] * matched[row, known]
            known += 1
        if known > 0 and survival[known] == 0.0:
            survival[known:] = 0.0  # whatever ran beyond the mismatch was in vain
        else:
            run[REACH] = min(run[REACH], known)
        for j in range(CHOICES):
            if not np.isnan(seconds[row, j]):
                left[j] = seconds[row, j]
        unit = max(raw[row, _STEP_SECONDS], _TINY)
        steps = survival[: int(run[REACH]) + 1].sum()
        for a in range(CHOICES):
            taken, paid = follow_schedule(schedules[row, a], survival, left, ages, run)
            components[row, a, 0], components[row, a, 1] = taken / unit - steps, paid - steps


class Foreseen(NamedTuple):
    """What choices are expected to take.

    Attributes:
        components: seconds and dollars from now to the end of the run ahead, in a step's mean
            seconds and dollars without running ahead; float64, shape (n, CHOICES, 2).
        schedules: how each choice would go on, as in ``schedule``; shape (n, CHOICES, CHOICES).
    """

    components: Floats
    schedules: Schedules


def foresee(raw: Array) -> Foreseen:
    """Expected seconds and dollars of every number of steps ahead, each going on as is best.

    Args:
        raw: raw observations with the speed set, float32, shape (n, PLAN_SPACE.size).
    """
    out = Foreseen(
        np.zeros((len(raw), CHOICES, 2)), np.zeros((len(raw), CHOICES, CHOICES), np.int64)
    )
    _components(raw, *out)
    return out


def hindsight(raw: Array, schedules: Schedules, matched: Array, seconds: Array) -> Floats:
    """What schedules would have given, by what became known later.

    A verdict tells of every choice, whichever was taken: what a smaller window would have waited
    for and what a larger one would have wasted follow from matches and times alone.

    Args:
        raw: as for ``foresee``.
        schedules: of every choice, shape (n, CHOICES, CHOICES).
        matched: whether the next steps matched, 1 or 0, NaN from the first on of which that is
            not known; shape (n, MAX_AHEAD).
        seconds: that their target calls took, from now on if they were running; NaN where that
            is not known; shape (n, CHOICES).

    Returns:
        As ``Foreseen.components``, but less what as many steps take without running ahead: up
        to the first mismatch, or to where nothing is known.
    """
    components = np.zeros((len(raw), CHOICES, 2))
    _hindsight(raw, schedules, matched, seconds, components)
    return components


def weighed(components: Floats, speed: Any) -> Floats:
    """Speed x latency + (1 - speed) x cost, lower is better: shape (n, CHOICES)."""
    weight = np.asarray(speed, np.float64)[..., None]
    loss: Floats = weight * components[..., 0] + (1.0 - weight) * components[..., 1]
    return loss


def steps_ahead(raw: Array) -> Floats:
    """Expected steps of a run ahead: what all choices alike are divided by, for people; (n,)."""
    beyond = np.arange(MAX_AHEAD) < raw[:, [_REACH]]
    survival = raw[:, _SURVIVAL : _SURVIVAL + MAX_AHEAD]
    steps: Floats = 1.0 + np.where(beyond, survival, 0.0).sum(1, dtype=np.float64)
    return steps
