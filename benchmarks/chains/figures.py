"""What was measured of a chain, and what a result says of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...inference.models import family
from ...policies.chains.plan import Plan
from ...policies.chains.prediction import Prediction

NAMES: Final = (family.DRAFT, family.MIDDLE, family.TARGET)
"""Smallest first."""

_TRIM: Final = 0.1  # share of slowest and of fastest passes that is left out


@dataclass
class Measured:
    """A chain at a batch size: what was predicted and what came of it.

    Attributes:
        batch: requests at a time.
        plan: the chain, and its windows.
        prediction: of its steps.
        seconds: of each step.
        tokens: emitted per request in each step.
    """

    batch: int
    plan: Plan
    prediction: Prediction
    seconds: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    @property
    def per_token(self) -> float:
        """Measured seconds per token of each request."""
        return trimmed(self.seconds) / float(np.mean(self.tokens))

    @property
    def error(self) -> float:
        """Relative error of the predicted seconds per token."""
        return abs(self.prediction.per_token / self.per_token - 1.0)

    @property
    def errors(self) -> tuple[float, float]:
        """The same of the seconds of a step, and of its tokens."""
        seconds, tokens = trimmed(self.seconds), float(np.mean(self.tokens))
        return abs(self.prediction.seconds / seconds - 1), abs(self.prediction.tokens / tokens - 1)


def figures(found: Sequence[Measured]) -> dict[str, float]:
    """What a result says of them.

    ``chain_prediction_error`` is the mean relative error over chains and batch sizes,
    ``..._worst`` the greatest, ``..._seconds`` and ``..._tokens`` the means of those of a step's
    seconds and tokens apart; ``chain_three_over_two_B`` the seconds per token of the chain of all
    models over those of the best one with one drafter, at batch size B.
    """
    errors = [measured.error for measured in found]
    out = {
        "chain_prediction_error": float(np.mean(errors)),
        "chain_prediction_error_worst": max(errors),
        "chain_prediction_error_seconds": float(np.mean([m.errors[0] for m in found])),
        "chain_prediction_error_tokens": float(np.mean([m.errors[1] for m in found])),
    }
    for batch in sorted({measured.batch for measured in found}):
        mine = [measured for measured in found if measured.batch == batch]
        by_length = {
            length: min(m.per_token for m in mine if len(m.plan.models) == length)
            for length in (1, len(NAMES) - 1)
        }
        out[f"chain_three_over_two_{batch}"] = by_length[len(NAMES) - 1] / by_length[1]
    return out


def trimmed(values: Sequence[float]) -> float:
    """Mean without the greatest and the least."""
    ordered = np.sort(values)
    cut = int(_TRIM * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())
