"""How long a simulated engine step takes: the step-time model, corrected by a grid, with noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...policies.spaces import MAX_DEPTH
from ...policies.step_time import FEATURES
from ...policies.transition import COLUMN, Floats


@dataclass(frozen=True, eq=False)
class CostModel:
    """Seconds of one engine step: ``(features . coefficients) x grid x noise``.

    Attributes:
        coefficients: seconds per unit of each of ``policies.step_time.FEATURES``, shape (7,).
            Of them, ``verified`` counts the drafts verified in the step, ``depth`` and ``drafted``
            what is drafted in it: where the depth changes, they belong to two decisions.
        batches: batch sizes of the grid's rows, increasing, at least 1.
        grid: factor on the seconds by batch size and depth verified (drafts per request), shape
            (len(batches), D + 1) for depths 0..D. Bilinear in log2(batch) and depth, constant
            beyond its edges. None for no correction.
        noise: standard deviation of the log of a step's seconds around this; the mean stays.

    Raises:
        ValueError: if a number makes no sense.
    """

    coefficients: npt.ArrayLike
    batches: npt.ArrayLike = (1.0,)
    grid: npt.ArrayLike | None = None
    noise: float = 0.0
    _coefficients: Floats = field(init=False, repr=False)
    _logs: Floats = field(init=False, repr=False)
    _grid: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, np.float64)
        batches = np.array(self.batches, np.float64)
        grid = np.ones((batches.size, 1)) if self.grid is None else np.array(self.grid, np.float64)
        _check(coefficients, batches, grid, self.noise)
        object.__setattr__(self, "_coefficients", coefficients)
        object.__setattr__(self, "_logs", np.log2(batches))
        object.__setattr__(self, "_grid", grid)

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Coefficients, log2 of the grid's batch sizes, and the grid."""
        return self._coefficients, self._logs, self._grid

    def seconds(
        self,
        batch: npt.ArrayLike,
        context: npt.ArrayLike,
        verified: npt.ArrayLike,
        depth: npt.ArrayLike,
        prefill: npt.ArrayLike,
    ) -> Floats:
        """Expected seconds of engine steps; the arguments are broadcast together.

        Args:
            batch: requests that decode.
            context: cached tokens of them all.
            verified: positions verified for them all, drafts and bonus.
            depth: tokens drafted per request in this step, for the next one.
            prefill: prompt tokens.
        """
        batch, context, verified, depth, prefill = np.broadcast_arrays(
            *(np.asarray(x, np.float64) for x in (batch, context, verified, depth, prefill))
        )
        drafts = verified - batch
        columns = [np.ones_like(batch), batch, depth, drafts, prefill, context, batch * depth]
        seconds: Floats = np.stack(columns, -1) @ self._coefficients
        return seconds * self._factor(batch, drafts / np.maximum(batch, 1.0))

    def off_seconds(self, rows: Floats) -> Floats:
        """Seconds per step without speculation in the states of outcomes, shape (n,).

        Args:
            rows: as ``outcome_row`` makes them, shape (n, ROW_SIZE).
        """
        steps = np.maximum(rows[:, COLUMN["steps"]], 1.0)
        batch = rows[:, COLUMN["request_steps"]] / steps
        context = rows[:, COLUMN["context"]] / steps
        prefill = rows[:, COLUMN["prefill"]] / steps
        return self.seconds(batch, context, batch, 0.0, prefill)

    def _factor(self, batch: Floats, depth: Floats) -> Floats:
        row, below = _between(np.log2(np.maximum(batch, 1.0)), self._logs)
        column, left = _between(depth, np.arange(self._grid.shape[1], dtype=np.float64))
        grid = np.pad(self._grid, ((0, 1), (0, 1)), mode="edge")
        upper = grid[row, column] * (1 - left) + grid[row, column + 1] * left
        lower = grid[row + 1, column] * (1 - left) + grid[row + 1, column + 1] * left
        factor: Floats = upper * (1 - below) + lower * below
        return factor


def _between(values: Floats, axis: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Index of the axis point at or below each value, and how far it is to the next, in [0, 1)."""
    place = np.interp(values, axis, np.arange(len(axis)))
    index = place.astype(np.intp)
    return index, place - index


def _check(coefficients: Floats, batches: Floats, grid: Floats, noise: float) -> None:
    if coefficients.shape != (len(FEATURES),):
        raise ValueError(f"coefficients must be one per feature: {', '.join(FEATURES)}")
    if not (np.isfinite(coefficients).all() and coefficients.min() >= 0 and coefficients[0] > 0):
        raise ValueError("coefficients must be finite and not negative, a step's own above 0")
    if not (batches.ndim == 1 and len(batches) and np.isfinite(batches).all() and batches[0] >= 1):
        raise ValueError("batches must be batch sizes of at least 1")
    if (np.diff(batches) <= 0).any():
        raise ValueError("batches must increase")
    if grid.ndim != 2 or len(grid) != len(batches) or not 1 <= grid.shape[1] <= MAX_DEPTH + 1:
        raise ValueError(
            f"grid must have a row per batch size and a column per depth from 0, "
            f"at most {MAX_DEPTH + 1}, not shape {grid.shape}"
        )
    if not (np.isfinite(grid).all() and grid.min() > 0):
        raise ValueError("grid must be finite and above 0")
    if not 0.0 <= noise <= 1.0:
        raise ValueError(f"noise must be in [0, 1], not {noise}")
