"""Whether predicted probabilities come true: Brier score and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .spaces import MAX_DEPTH

BINS: Final = 10
"""Predictions are compared with outcomes in this many ranges of equal width."""


class Calibration:
    """Judges predictions of survival by what became of the drafts, position by position.

    Brier score (Brier 1950): mean of (predicted - outcome) squared, 0 to 1, lower is better; it
    falls as predictions tell drafts apart. Expected calibration error (Naeini et al. 2015): how far
    the predictions in a bin are from the share that came true, weighted by the bin's size.

    Plain lists, not arrays: it is fed at every engine step.
    """

    MEMORY: Final = 0.97
    """Weight of the past per ``BLOCK`` verifications: some two thousand count."""

    BLOCK: Final = 64

    def __init__(self) -> None:
        self._count = 0
        self._weight = [0.0] * MAX_DEPTH
        self._squares = [0.0] * MAX_DEPTH
        self._gaps = [[0.0] * BINS for _ in range(MAX_DEPTH)]  # sums of predicted - outcome

    def add(self, predicted: Sequence[float], accepted: int) -> None:
        """One verification.

        Args:
            predicted: survival of positions 1, 2, ... as it was predicted before, one for each
                position drafted, at most MAX_DEPTH.
            accepted: drafts accepted: those positions survived, the others did not.
        """
        for j, chance in enumerate(predicted):
            error = chance - (accepted > j)
            self._weight[j] += 1.0
            self._squares[j] += error * error
            self._gaps[j][min(int(BINS * chance), BINS - 1)] += error
        self._count += 1
        if self._count % self.BLOCK == 0:
            self._fade()

    def brier(self) -> list[float | None]:
        """Brier score per position; None where nothing was predicted."""
        return [s / w if w else None for s, w in zip(self._squares, self._weight, strict=True)]

    def ece(self) -> list[float | None]:
        """Expected calibration error per position; None where nothing was predicted."""
        return [
            sum(map(abs, gaps)) / w if w else None
            for gaps, w in zip(self._gaps, self._weight, strict=True)
        ]

    def overall(self) -> tuple[float | None, float | None]:
        """Both scores, averaged over the positions as often as each was predicted."""
        return self._average(self.brier()), self._average(self.ece())

    def _average(self, scores: list[float | None]) -> float | None:
        known = [(s, w) for s, w in zip(scores, self._weight, strict=True) if s is not None]
        total = sum(w for _, w in known)
        return sum(s * w for s, w in known) / total if total else None

    def _fade(self) -> None:
        for sums in (self._weight, self._squares, *self._gaps):
            sums[:] = [self.MEMORY * value for value in sums]
