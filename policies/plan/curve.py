"""What the knob gives at the plan control point: the latency and the cost of every speed."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ..policy import Integers
from ..spaces import Array
from ..transition import Floats
from .rows import PlanRows, relative_spent
from .snapshot import PlanSnapshot
from .space import PLAN_SPACE, PLAN_SPEED_INDEX
from .structure import Foreseen, foresee, steps_ahead, weighed

SPEEDS: Final = np.linspace(0.0, 1.0, 11)
"""Speeds of a curve."""

_BEGUN: Final = PLAN_SPACE.index("begun")
_PROPOSED: Final = PLAN_SPACE.index("unverified")
_FORESEEN: Final = 128  # decisions that a curve is the mean of: a tenth of a second
_DOUBT: Final = 2.0  # how much what was foreseen weighs against what came of it, in steps
_LEAST: Final = 0.01


class Curve(NamedTuple):
    """Means of a step, without running ahead 1.0; lower is better.

    Attributes:
        latency: seconds at each of ``SPEEDS``, shape (len(SPEEDS),).
        cost: dollars, likewise.
    """

    latency: Floats
    cost: Floats

    def at(self, speeds: Floats) -> Curve:
        """Between them, shape (len(speeds),) each."""
        return Curve(*(np.interp(speeds, SPEEDS, values) for values in self))


def expected_curve(snapshot: PlanSnapshot, rows: PlanRows) -> Curve:
    """What every speed is expected to give.

    Runs ahead begin anew whenever nothing is on its way, so that a speed gives what those that
    begin at it are foreseen to take by the steps that they are foreseen to settle. What came of
    the speeds that were in force says how far that is to be believed: the savings and the extra
    cost that are foreseen are scaled by a slope of its own each, which a ridge draws to 1.

    Args:
        snapshot: which decides.
        rows: recent transitions, oldest first, with the speeds that they were decided at.

    Returns:
        Sequential throughout if no run ahead began in them.
    """
    begun = rows.take(np.flatnonzero(~rows.observations[:, [_BEGUN, _PROPOSED]].any(1)))
    if len(begun) == 0:
        return Curve(np.ones(len(SPEEDS)), np.ones(len(SPEEDS)))
    slope = _slope(begun, rows)
    raw = begun.observations[-_FORESEEN:]
    table = np.array([_mean(raw, _chosen(raw, snapshot, speed)) for speed in SPEEDS])
    return Curve(*np.maximum(1.0 + slope * (table - 1.0), _LEAST).T)


def measured(rows: PlanRows) -> Floats:
    """Latency and cost of what was done, as in ``Curve``, of one step at least: shape (2,)."""
    known = rows.take(np.isfinite(rows.spent.sum(1)))
    steps = float(known.spent[:, 2].sum())
    if steps < 1.0:
        return np.full(2, np.nan)
    found: Floats = 1.0 + relative_spent(known).sum(0, dtype=np.float64) / steps
    return found


def _chosen(raw: Array, snapshot: PlanSnapshot, speed: float) -> tuple[Foreseen, Integers]:
    """What is foreseen at a speed, and what is chosen of it."""
    raw[:, PLAN_SPEED_INDEX] = speed
    foreseen = foresee(raw)
    corrected = foreseen.components + snapshot.correction(raw)
    return foreseen, weighed(corrected, raw[:, PLAN_SPEED_INDEX]).argmin(-1)


def _mean(raw: Array, decided: tuple[Foreseen, Integers]) -> Floats:
    """Seconds and dollars of a step, by what is foreseen of what was chosen: shape (2,)."""
    foreseen, chosen = decided
    taken = foreseen.components[np.arange(len(raw)), chosen]
    mean: Floats = taken.sum(0) / steps_ahead(raw).sum()
    return mean


def _slope(begun: PlanRows, rows: PlanRows) -> Floats:
    """What came of what was foreseen, of seconds and dollars beyond sequential: shape (2,)."""
    found = measured(rows) - 1.0
    if not np.isfinite(found).all():
        return np.ones(2)
    raw = begun.observations
    told = _mean(raw, (foresee(raw), begun.actions)) - 1.0
    steps = rows.spent[:, 2].sum()
    slope: Floats = (steps * told * found + _DOUBT) / (steps * told * told + _DOUBT)
    return np.clip(slope, 0.0, 4.0)
