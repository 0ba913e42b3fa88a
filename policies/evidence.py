"""What transitions are evidence of: outcomes at which depths, and how much each of them counts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .columns import concatenate
from .counterfactual import foretold
from .replay import Rows
from .snapshot import VALUES
from .structure import Structure
from .transition import COLUMN, Floats

Told = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Rows]
"""Which row tells it, of which depth, and the outcome there: all of one length."""

_EMITTED = COLUMN["emitted"]
_STEPS = COLUMN["steps"]
_REQUEST_STEPS = COLUMN["request_steps"]

# A row may weigh this much more than the average one.
_HEAVIEST: Final = 5.0


def own_depth(rows: Rows) -> Told:
    """What rows tell of the depth that was applied."""
    return np.arange(len(rows)), rows.actions.astype(np.intp), rows


def with_foretold(rows: Rows, told: Told, structure: Structure) -> Told:
    """What rows tell, and behind it what is foretold of depths beyond their own.

    Both components have the structure to stand on where nothing was measured; a reward of its own
    has not, and would be whatever the network makes of depths that were hardly tried.
    """
    which, depths, more = foretold(rows, structure)
    return (
        np.concatenate([told[0], which]),
        np.concatenate([told[1], depths]),
        concatenate([told[2], more]),
    )


def beliefs(
    depths: npt.NDArray[Any], applied: npt.NDArray[Any], imagined: float, share: float
) -> Floats:
    """How much outcomes count, by how they are known: measured, revealed or foretold.

    Args:
        depths: of the outcomes.
        applied: depths that were applied, of the same length.
        imagined: weight of what is revealed of shallower depths, by that of what was measured.
        share: weight of what is foretold of deeper ones, by that of what is revealed.
    """
    found: Floats = np.select(
        [depths == applied, depths < applied], [1.0, imagined], imagined * share
    )
    return found


def row_weights(
    outcomes: npt.NDArray[Any], finite: npt.NDArray[np.bool_], linear: bool
) -> npt.NDArray[np.float32]:
    """How much each row and value counts, shape (n, VALUES), about 1 on average.

    Args:
        outcomes: as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        finite: which values are known, shape (n, VALUES).
        linear: whether the reward is the two components' sum, and not learned by itself.
    """
    emitted, steps = outcomes[:, _EMITTED], outcomes[:, _STEPS]
    weight = emitted * steps / np.maximum(outcomes[:, _REQUEST_STEPS], 1.0)
    weight = np.minimum(weight / max(float(weight.mean()), 1e-6), _HEAVIEST)
    out = np.repeat(weight[:, None], VALUES, axis=1) * finite
    out[:, 2] = 0.0 if linear else finite[:, 2]
    return out.astype(np.float32)
