"""Full information: what an interval would have given at every depth below the one it had.

Drafting K and accepting a reveals what every k < K would have emitted, min(a, k) + 1 tokens, as the
drafts of a shallower depth are the first of a deeper one's (design, section 4). Only its seconds
are not revealed: they are those measured, times the ratio that the step-time model gives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .replay import Rows
from .spaces import DEPTH_SPACE, MAX_DEPTH
from .structure import Structure, measured_states
from .transition import ROW_SIZE, Floats, OutcomeBatch

_COLUMN: Final = {name: i for i, name in enumerate(OutcomeBatch.SCALARS)}
_TRIED: Final = len(OutcomeBatch.SCALARS)
_ACCEPTED: Final = _TRIED + MAX_DEPTH
_DEPTH: Final = DEPTH_SPACE.index("depth")
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
    lost = np.where(beyond, rows[:, _ACCEPTED:], 0).sum(1)
    request_steps, emitted = rows[:, _COLUMN["request_steps"]], rows[:, _COLUMN["emitted"]]
    out[:, _COLUMN["depth"]] = depths
    out[:, _COLUMN["seconds"]] *= scale
    out[:, _COLUMN["request_seconds"]] *= scale
    # A request that ended had less room than its drafts: it emitted one token a step at least.
    least = np.minimum(request_steps, emitted)
    out[:, _COLUMN["emitted"]] = np.maximum(emitted - lost, least)
    out[:, _COLUMN["drafted"]] = request_steps * depths
    most = request_steps * (1.0 + depths)
    out[:, _COLUMN["verified"]] = np.minimum(rows[:, _COLUMN["verified"]], most)
    out[:, _COLUMN["switched"]] = before != depths
    for first in (_TRIED, _ACCEPTED):
        out[:, first : first + MAX_DEPTH][beyond] = 0
    return out


def full_information(
    rows: Rows, structure: Structure
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Rows]:
    """Every row at its own depth and at all shallower ones.

    Returns:
        Which row, which depth, and the transitions, the own depth of each row among them: all of
        one length.
    """
    which, depths = np.nonzero(np.arange(structure.k_max + 1) <= rows.actions[:, None])
    seconds = structure.seconds(measured_states(rows.observations, rows.outcomes)).astype(
        np.float64
    )
    scale = seconds[which, depths] / seconds[which, rows.actions[which]]
    every = rows.take(which)
    before = every.observations[:, _DEPTH]
    outcomes = shallower(every.outcomes, depths, scale, before)
    own = depths == every.actions
    outcomes[own] = every.outcomes[own]
    return which, depths, replace(every, actions=depths.astype(np.int64), outcomes=outcomes)
