"""Full information: what an interval would have given at other depths than the one it had.

Drafting K and accepting a reveals what every k < K would have emitted, min(a, k) + 1 tokens, as the
drafts of a shallower depth are the first of a deeper one's (design, section 4). Only its seconds
are not revealed: they are those measured, times the ratio that the step-time model gives. Beyond K
nothing is revealed; there an outcome can only be foretold, from how likely drafts survive.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .replay import Rows
from .spaces import DEPTH_SPACE, MAX_DEPTH
from .structure import Structure, measured_states
from .transition import ACCEPTED, CHECKED, COLUMN, ROW_SIZE, TRIED, Floats

_DEPTH: Final = DEPTH_SPACE.index("depth")
_SURVIVAL: Final = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)
_KEPT: Final = DEPTH_SPACE.slice("kept_1", MAX_DEPTH)
_LEAST: Final = 1e-3  # a share that is divided by
_POSITIONS: Final = np.arange(1, MAX_DEPTH + 1)


def shallower(
    rows: npt.NDArray[Any], depths: npt.NDArray[Any], scale: Floats, before: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Outcomes at other depths, at most those that were applied.

    Args:
        rows: outcomes as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        depths: in [0, depth applied], shape (n,).
        scale: seconds of a step at that depth over those at the depth applied, shape (n,).
        before: depths in force before the interval, shape (n,).

    Returns:
        New rows, shape (n, ROW_SIZE).
    """
    assert rows.shape[1] == ROW_SIZE
    out = rows.copy()
    beyond = depths[:, None] < _POSITIONS
    lost = np.where(beyond, rows[:, ACCEPTED], 0).sum(1)
    request_steps, emitted = rows[:, COLUMN["request_steps"]], rows[:, COLUMN["emitted"]]
    out[:, COLUMN["depth"]] = depths
    out[:, COLUMN["seconds"]] *= scale
    out[:, COLUMN["request_seconds"]] *= scale
    # A request that ended had less room than its drafts: it emitted one token a step at least.
    least = np.minimum(request_steps, emitted)
    out[:, COLUMN["emitted"]] = np.maximum(emitted - lost, least)
    out[:, COLUMN["drafted"]] = request_steps * depths
    out[:, COLUMN["switched"]] = before != depths
    for counts in (CHECKED, TRIED, ACCEPTED):
        out[:, counts][beyond] = 0
    out[:, COLUMN["verified"]] = request_steps + out[:, CHECKED].sum(1)
    return out


def deeper(
    rows: npt.NDArray[Any],
    depths: npt.NDArray[Any],
    scale: Floats,
    before: npt.NDArray[Any],
    survival: npt.NDArray[Any],
    kept: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Outcomes foretold at depths beyond those that were applied: expectations, not whole numbers.

    Requests of which fewer drafts were verified than were made stay as they are: what cut them
    short does not depend on the positions that follow. All others are carried on, as far as the
    share of requests that would verify a position falls from the depth applied on; where that says
    nothing of cuts, all of them verify all positions.

    Args:
        rows: outcomes as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        depths: above the depth applied, shape (n,).
        scale: seconds of a step at that depth over those at the depth applied, shape (n,).
        before: depths in force before the interval, shape (n,).
        survival: P(positions 1..j all accepted), shape (n, MAX_DEPTH).
        kept: share of requests that would verify each position, shape (n, MAX_DEPTH).

    Returns:
        New rows, shape (n, ROW_SIZE).
    """
    out = rows.copy()
    n, request_steps = np.arange(len(rows)), rows[:, COLUMN["request_steps"]]
    applied = rows[:, COLUMN["depth"]].astype(np.int64)
    # How many drafts survived all positions applied, and how likely that was: all of none.
    survived = np.hstack([request_steps[:, None], rows[:, ACCEPTED]])[n, applied]
    reached = survived[:, None] * _onward(survival, applied)
    checked = _carried_on(rows, kept)
    more = (applied[:, None] < _POSITIONS) & (depths[:, None] >= _POSITIONS)
    # Drafts for urgent requests may have gone deeper already: they are foretold, too.
    gained = np.where(more, reached[:, 1:] - rows[:, ACCEPTED], 0.0).sum(1)
    for counts, foretold_counts in (
        (CHECKED, checked),
        (TRIED, np.minimum(reached[:, :-1], checked)),
        (ACCEPTED, reached[:, 1:]),
    ):
        out[:, counts][more] = foretold_counts[more]
    out[:, COLUMN["depth"]] = depths
    out[:, COLUMN["seconds"]] *= scale
    out[:, COLUMN["request_seconds"]] *= scale
    out[:, COLUMN["emitted"]] += gained
    out[:, COLUMN["drafted"]] = request_steps * depths
    out[:, COLUMN["verified"]] = request_steps + out[:, CHECKED].sum(1)
    out[:, COLUMN["switched"]] = before != depths
    return out


def foretold(
    rows: Rows, structure: Structure
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Rows]:
    """Every row at all depths beyond its own.

    Returns:
        Which row, which depth, and the transitions: all of one length.
    """
    which, depths = np.nonzero(np.arange(structure.k_max + 1) > rows.actions[:, None])
    every = rows.take(which)
    seen = every.observations
    scale = _seconds_over(rows, structure, which, depths)
    fares = seen[:, _SURVIVAL], seen[:, _KEPT]
    outcomes = deeper(every.outcomes, depths, scale, seen[:, _DEPTH], *fares)
    return which, depths, replace(every, actions=depths.astype(np.int64), outcomes=outcomes)


def full_information(
    rows: Rows, structure: Structure
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Rows]:
    """Every row at its own depth and at all shallower ones.

    Returns:
        Which row, which depth, and the transitions, the own depth of each row among them: all of
        one length.
    """
    which, depths = np.nonzero(np.arange(structure.k_max + 1) <= rows.actions[:, None])
    scale = _seconds_over(rows, structure, which, depths)
    every = rows.take(which)
    before = every.observations[:, _DEPTH]
    outcomes = shallower(every.outcomes, depths, scale, before)
    own = depths == every.actions
    outcomes[own] = every.outcomes[own]
    return which, depths, replace(every, actions=depths.astype(np.int64), outcomes=outcomes)


def _seconds_over(
    rows: Rows,
    structure: Structure,
    which: npt.NDArray[np.intp],
    depths: npt.NDArray[np.intp],
) -> Floats:
    """Seconds of a step of some rows at some depths over those at their own, shape as given."""
    states = measured_states(rows.observations, rows.outcomes)
    drafts = np.zeros((len(rows), structure.k_max + 1))
    checked = _carried_on(rows.outcomes, rows.observations[:, _KEPT])
    drafts[:, 1:] = checked.cumsum(1)[:, : structure.k_max]
    drafts /= np.maximum(rows.outcomes[:, COLUMN["steps"], None], 1.0)
    seconds = structure.seconds(states, drafts).astype(np.float64)
    ratio: Floats = seconds[which, depths] / seconds[which, rows.actions[which]]
    return ratio


def _onward(shares: npt.NDArray[Any], applied: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Shares that fall with position 1, 2, ..., of that at the depth applied: from position 0 on.

    Shape (n, MAX_DEPTH + 1), at most 1; of depth 0 the share is all.
    """
    every = np.hstack([np.ones((len(shares), 1)), shares])
    here = np.maximum(every[np.arange(len(shares)), applied], _LEAST)
    onward: npt.NDArray[Any] = np.minimum(every / here[:, None], 1.0)
    return onward


def _carried_on(rows: npt.NDArray[Any], kept: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How many requests verify each position, had the depth been the greatest.

    Beyond the depth applied they are of those of which all of its positions were verified.

    Args:
        rows: outcomes as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        kept: share of requests that would verify each position, shape (n, MAX_DEPTH).

    Returns:
        Shape (n, MAX_DEPTH).
    """
    applied = rows[:, COLUMN["depth"]].astype(np.intp)
    counts = np.hstack([rows[:, COLUMN["request_steps"], None], rows[:, CHECKED]])
    uncut = counts[np.arange(len(rows)), applied]
    onward = uncut[:, None] * _onward(kept, applied)[:, 1:]
    return np.where(applied[:, None] < _POSITIONS, onward, rows[:, CHECKED])
