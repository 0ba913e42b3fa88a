"""What older checkpoints lack: what was added since is filled in, or learned anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..policies.spaces import DEPTH_SPACE, MAX_DEPTH
from ..policies.step_time import FEATURES
from ..policies.transition import CHECKED, COLUMN, ROW_SIZE, Reason
from .checkpoint import Tensors


def migrated(tensors: Tensors) -> dict[str, Any]:
    """The columns of ``Rows``, those added since filled in where an older checkpoint has none."""
    if "actions" not in tensors:
        return tensors
    count = len(tensors["actions"])
    filled = dict(tensors)
    if "numbers" not in filled:  # then no row is known to follow another
        filled["numbers"] = 2 * np.arange(count, dtype=np.int64)
    if "propensities" not in filled:  # learned from as before, left out of off-policy evaluation
        filled["chosen"] = filled["actions"].astype(np.int8)
        filled["propensities"] = np.full(count, np.nan, np.float32)
        filled["reasons"] = np.full(count, Reason.STATIC, np.int8)
    if is_depth_2(filled):
        for name in ("observations", "following"):
            filled[name] = _with_kept(filled[name])
    outcomes = filled.get("outcomes")
    if outcomes is not None and outcomes.shape == (count, ROW_SIZE - MAX_DEPTH):
        filled["outcomes"] = _with_checked(outcomes)
    return filled


def lacks_features(tensors: Tensors) -> bool:
    """Whether a step-time model is from when making a draft was not told from verifying it."""
    target = tensors.get("target")
    return target is not None and target.shape == (len(FEATURES) - 1,)


def is_depth_2(tensors: Tensors) -> bool:
    """Whether the buffer's observations are of the space ``depth/2``, which had no ``kept``."""
    columns = [tensors.get(name) for name in ("observations", "following")]
    return all(c is not None and c.shape[1:] == (DEPTH_SPACE.size - MAX_DEPTH,) for c in columns)


def _with_kept(raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Observations from when all drafts were verified."""
    first = DEPTH_SPACE.index("kept_1")
    kept = np.ones((len(raw), MAX_DEPTH), raw.dtype)
    return np.hstack([raw[:, :first], kept, raw[:, first:]])


def _with_checked(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows from when every request verified all that was drafted: at every position of the depth.

    So ``checked`` is ``request_steps`` there, but for requests that had no drafts yet.
    """
    depths, requests = rows[:, COLUMN["depth"]], rows[:, COLUMN["request_steps"]]
    each = (rows[:, COLUMN["verified"]] - requests) / np.maximum(depths, 1.0)
    checked = np.where(np.arange(MAX_DEPTH) < depths[:, None], each[:, None], 0.0)
    first: int = CHECKED.start
    return np.hstack([rows[:, :first], checked.astype(rows.dtype), rows[:, first:]])
