"""The step-time model of a profile: a linear one, corrected by batch size and depth.

What is fitted are relative errors. The linear part says what each request, drafted position,
prompt token and cached token costs; the correction what is not linear about them, such as kernels
that work in tiles. How wrong it is where nothing was measured is told by leaving out every batch
size and depth in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..policies.step_time import FEATURES, PRIOR, solve_nonnegative
from ..policies.transition import Floats
from .profile import Condition

# How strongly coefficients are held to the prior's proportions, in conditions at a fiftieth of
# their step: enough to decide what the conditions do not.
_RIDGE: Final = 1e-3

# Steps beyond which further ones do not make a condition weigh more.
_ENOUGH: Final = 48.0

# Widths of the correction's kernel, in factors of two of the batch and in tokens of depth.
_WIDTHS: Final = (0.5, 0.75)

# Steps that the correction's absence (a factor of 1) weighs.
_SHRINK: Final = 4.0

# Quartiles of a normal distribution are so many standard deviations apart.
_QUARTILES: Final = 1.349


@dataclass(frozen=True)
class Fit:
    """A step-time model.

    Attributes:
        coefficients: seconds per unit of each of ``FEATURES``, none below zero, shape (7,).
        batches: batch sizes of the grid, ascending, shape (b,).
        grid: correction by batch size and depth, shape (b, k_max + 1).
        noise: standard deviation of the logarithm of an interval's seconds per step.
    """

    coefficients: Floats
    batches: Floats
    grid: Floats
    noise: float

    def seconds(self, conditions: Sequence[Condition]) -> Floats:
        """Predicted seconds per step, shape (n,)."""
        return features(conditions) @ self.coefficients * self._correction(conditions)

    def _correction(self, conditions: Sequence[Condition]) -> Floats:
        at = np.log2(_column(conditions, "batch"))
        depths = _column(conditions, "depth").astype(np.int64)
        nodes = np.log2(self.batches)
        columns = [np.interp(at, nodes, column) for column in self.grid.T]
        found: Floats = np.stack(columns, axis=1)[np.arange(len(depths)), depths]
        return found


def features(conditions: Sequence[Condition]) -> Floats:
    """Mean features per step, in the order of ``FEATURES``, shape (n, 7)."""
    batch, depth = _column(conditions, "batch"), _column(conditions, "depth")
    context, prefill = _column(conditions, "context"), _column(conditions, "prefill")
    # Nothing is cut short: what is drafted is verified.
    drafts = batch * depth
    columns = [np.ones(len(batch)), batch, depth, drafts, prefill, batch * context, drafts]
    return np.stack(columns, axis=1)


assert FEATURES == ("step", "requests", "depth", "verified", "prefill", "context", "drafted")


def fit(conditions: Sequence[Condition], k_max: int) -> Fit:
    """Fit the model.

    Args:
        conditions: as measured, at least one.
        k_max: greatest depth of the grid, tokens.

    Raises:
        ValueError: without conditions.
    """
    if not conditions:
        raise ValueError("no conditions to fit step times to")
    rows, seconds = features(conditions), _column(conditions, "seconds")
    weights = np.minimum(_column(conditions, "steps"), _ENOUGH)
    coefficients = _linear(rows, seconds, weights / _ENOUGH)
    batches = np.unique(_cells(conditions)[:, 0])
    # Where prompts run, too, what is left over is also the doing of their coefficient.
    decoding = _column(conditions, "prefill") == 0.0
    kept = decoding if decoding.any() else np.ones(len(rows), bool)
    left = np.log(seconds / (rows @ coefficients))[kept]
    grid = _grid(np.log2(rows[kept, 1]), rows[kept, 2], left, weights[kept], batches, k_max)
    return Fit(coefficients, batches, grid, _noise(conditions))


def held_out(conditions: Sequence[Condition], k_max: int) -> tuple[float, float]:
    """Relative errors in batch sizes and depths that were left out: median, 90th percentile.

    Every pair of a batch size and a depth is left out in turn, with all its conditions; the rest
    is fitted and has to predict them.

    Raises:
        ValueError: with fewer than two such pairs.
    """
    cells = _cells(conditions)
    pairs = np.unique(cells, axis=0)
    if len(pairs) < 2:
        raise ValueError("step times at one batch size and depth alone: nothing can be held out")
    errors: list[float] = []
    for pair in pairs:
        out = (cells == pair).all(axis=1)
        model = fit(_some(conditions, ~out), k_max)
        mine = _some(conditions, out)
        errors += np.abs(model.seconds(mine) / _column(mine, "seconds") - 1.0).tolist()
    median, p90 = np.percentile(errors, (50, 90))
    return float(median), float(p90)


def _linear(rows: Floats, seconds: Floats, weights: Floats) -> Floats:
    """Coefficients, none below zero, with the least squared relative errors."""
    scale = float(np.median(seconds / (rows @ PRIOR)))
    prior = PRIOR * scale
    multiples = np.ones(len(FEATURES))
    predicted = seconds
    # Errors relative to what is predicted: relative to what was measured, rows that noise made
    # short would count most. The first time nothing is predicted yet.
    for _ in range(4):
        relative = rows * prior / predicted[:, None]
        moment = (relative * weights[:, None]).T @ relative + _RIDGE * np.eye(len(FEATURES))
        target = (relative * weights[:, None]).T @ (seconds / predicted) + _RIDGE
        multiples = solve_nonnegative(moment, target)
        predicted = np.maximum(rows @ (prior * multiples), 0.1 * seconds)
    return prior * multiples


def _grid(
    at: Floats, depths: Floats, left: Floats, weights: Floats, batches: Floats, k_max: int
) -> Floats:
    """What the linear part leaves over, as a kernel average (Nadaraya and Watson, 1964).

    Args:
        at: log2 of the batch, shape (n,).
        depths: shape (n,).
        left: logarithm of measured over predicted, shape (n,).
        weights: steps, shape (n,).
        batches: of the grid, shape (b,).
        k_max: greatest depth.

    Returns:
        Shape (b, k_max + 1).
    """
    far = (np.log2(batches)[:, None, None] - at) / _WIDTHS[0]
    deep = (np.arange(k_max + 1.0)[None, :, None] - depths) / _WIDTHS[1]
    kernel = weights * np.exp(-0.5 * (far**2 + deep**2))
    grid: Floats = np.exp((kernel @ left) / (kernel.sum(axis=2) + _SHRINK))
    return grid


def _noise(conditions: Sequence[Condition]) -> float:
    """Spread of intervals around their condition's median, in the typical condition."""
    spread = [
        np.log(c.high / c.low) / _QUARTILES
        for c in conditions
        if c.prefill == 0.0 and c.intervals > 3
    ]
    return float(np.median(spread)) if spread else 0.0


def _cells(conditions: Sequence[Condition]) -> Floats:
    """Batch size, to the nearest power of two, and depth; shape (n, 2)."""
    batch = 2.0 ** np.round(np.log2(_column(conditions, "batch")))
    return np.stack([batch, _column(conditions, "depth")], axis=1)


def _column(conditions: Sequence[Condition], name: str) -> Floats:
    return np.array([getattr(c, name) for c in conditions], np.float64)


def _some(conditions: Sequence[Condition], which: npt.NDArray[np.bool_]) -> list[Condition]:
    return [c for c, wanted in zip(conditions, which, strict=True) if wanted]
