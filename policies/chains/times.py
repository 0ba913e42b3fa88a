"""Seconds of a model's forward pass, by batch size and tokens per request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..step_time import solve_nonnegative
from ..transition import Floats

_RIDGE: Final = 1e-6  # share of a pass's seconds by which coefficients are held to zero


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward pass that was measured.

    Attributes:
        batch: requests in it, at least 1.
        tokens: of each request, at least 1.
        seconds: it took.
    """

    batch: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class PassTimes:
    """Seconds per pass: for every batch size profiled, a call's and those of each of its tokens.

    Between two batch sizes both are interpolated; beyond the largest both grow in proportion, as
    there arithmetic is what takes time; below the smallest the smallest's hold.

    Attributes:
        batches: sizes profiled, ascending, shape (b,).
        call: seconds of a pass before its first token, shape (b,).
        token: seconds of one token of every request of the batch, shape (b,).
    """

    batches: Floats
    call: Floats
    token: Floats

    def seconds(self, batch: float, tokens: float) -> float:
        """Seconds of a pass of so many tokens of each of so many requests."""
        most = float(self.batches[-1])
        call = float(np.interp(batch, self.batches, self.call))
        token = float(np.interp(batch, self.batches, self.token))
        return (call + token * tokens) * max(batch / most, 1.0)


def linear(call: float, token: float) -> PassTimes:
    """Times of which only the two coefficients are known.

    Args:
        call: seconds of a pass.
        token: seconds of one token of one request.
    """
    batches = np.array([1.0, 256.0])
    return PassTimes(batches, np.full(2, call), token * batches)


def fit_times(passes: Iterable[Pass]) -> PassTimes:
    """Fit what was measured: for every batch size the line with the least relative errors.

    Raises:
        ValueError: without passes, or with one that took no time.
    """
    by_batch: dict[int, list[Pass]] = {}
    for measured in passes:
        if not measured.seconds > 0.0 or min(measured.batch, measured.tokens) < 1:
            raise ValueError(f"not a measurement of a forward pass: {measured}")
        by_batch.setdefault(measured.batch, []).append(measured)
    if not by_batch:
        raise ValueError("no forward passes to fit times to")
    batches = sorted(by_batch)
    lines = np.array([_line(by_batch[batch]) for batch in batches])
    return PassTimes(np.array(batches, np.float64), lines[:, 0], lines[:, 1])


def _line(passes: Sequence[Pass]) -> Floats:
    """Seconds per call and per token of one batch size, none below zero; shape (2,)."""
    seconds = np.array([p.seconds for p in passes])
    rows = np.array([(1.0, p.tokens) for p in passes]) / seconds[:, None]
    scale = rows.mean(0)
    moment = rows.T @ rows + _RIDGE * np.diag(scale**2)
    return solve_nonnegative(moment, rows.sum(0))
