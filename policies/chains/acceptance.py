"""How often one model accepts what another drafts, by pair, request class and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..spaces import CLASSES, MAX_DEPTH
from ..transition import Floats

Pair = tuple[str, str]
"""Who drafts and who verifies."""


def overlap(drafter: npt.ArrayLike, verifier: npt.ArrayLike) -> Floats:
    """Acceptance at one position from both models' next-token distributions: 1 - total variation.

    Under rejection sampling a token drafted from the one is accepted by the other with exactly this
    probability (Leviathan et al. 2023, arXiv 2211.17192). SpecRouter (arXiv 2505.07680) calls its
    mean the similarity of two models. For a drafter that proposes its likeliest token, its
    distribution is that token's alone.

    Args:
        drafter: probabilities, shape (..., vocabulary).
        verifier: of the same shape.

    Returns:
        In [0, 1], shape (...,).
    """
    shared: Floats = np.minimum(np.asarray(drafter, np.float64), verifier).sum(-1)
    return shared


class ChainAcceptance:
    """Posteriors of acceptance between models: decayed counts by pair, class and position.

    Position k of a draft is tried when all before it were accepted. Where the distributions are
    known, what counts as accepted there is their ``overlap`` rather than 0 or 1: of the same mean,
    with less noise. Each estimate is the mean of a Beta posterior whose prior is what is known
    nearby: for a class, all traffic at that position; for all traffic, the position before; for the
    first position, ``START``. Classes are kept apart because the expected run of accepted drafts is
    convex in acceptance, so that one average would under-predict it.
    """

    MEMORY: Final = 0.995
    """Weight of the past, per ``fade``."""

    PRIOR: Final = 4.0
    """Strength of an estimate's prior: as much as this many positions tried."""

    START: Final = 0.7
    """Acceptance before anything was verified."""

    def __init__(self) -> None:
        self._counts: dict[Pair, Floats] = {}

    def add(self, pair: Pair, slot: int, accepted: Sequence[float], tried: int) -> None:
        """Take in one verification.

        Args:
            pair: who drafted and who verified.
            slot: the request's class, in [0, CLASSES).
            accepted: of each position tried, 1 or 0, or the overlap of the distributions.
            tried: positions that count: with 0s and 1s those up to the first 0, it included;
                positions beyond MAX_DEPTH are left out.

        Raises:
            ValueError: if an acceptance is not in [0, 1], or there are fewer than tried.
        """
        values = np.asarray(accepted[: min(tried, MAX_DEPTH)], np.float64)
        if len(accepted) < tried or not ((values >= 0.0) & (values <= 1.0)).all():
            raise ValueError(f"{tried} acceptances in [0, 1] are needed, not {list(accepted)}")
        counts = self._of(pair)
        counts[0, slot, : len(values)] += 1.0
        counts[1, slot, : len(values)] += values

    def add_run(self, pair: Pair, slot: int, drafted: int, accepted: int) -> None:
        """Take in one verification of which only the length is known.

        Args:
            pair: who drafted and who verified.
            slot: the request's class.
            drafted: tokens verified.
            accepted: of them, from the first.
        """
        tried = min(accepted + 1, drafted)
        self.add(pair, slot, [float(k < accepted) for k in range(tried)], tried)

    def fade(self) -> None:
        """Let the past count for less; once per interval in which something was verified."""
        for pair in self._counts:
            self._counts[pair] *= self.MEMORY

    def pairs(self) -> list[Pair]:
        """Pairs of which something is known."""
        return list(self._counts)

    def table(self, pair: Pair) -> Floats:
        """P(position accepted | all before it were), shape (CLASSES, MAX_DEPTH)."""
        tried, accepted = self._counts.get(pair, np.zeros((2, CLASSES, MAX_DEPTH)))
        before, overall = self.START, np.empty(MAX_DEPTH)
        for k, (n, a) in enumerate(zip(tried.sum(0), accepted.sum(0), strict=True)):
            before = overall[k] = (a + self.PRIOR * before) / (n + self.PRIOR)
        table: Floats = (accepted + self.PRIOR * overall) / (tried + self.PRIOR)
        return table

    def survival(self, pair: Pair) -> Floats:
        """P(positions 1..k all accepted), shape (CLASSES, MAX_DEPTH)."""
        survival: Floats = self.table(pair).cumprod(1)
        return survival

    def tried(self, pair: Pair) -> float:
        """First positions tried, decayed: how much is known."""
        return float(self._counts[pair][0, :, 0].sum()) if pair in self._counts else 0.0

    def state(self) -> dict[str, Any]:
        """Everything needed to carry on."""
        return {
            "pairs": [list(pair) for pair in self._counts],
            "counts": np.array(list(self._counts.values())),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from ``state()``.

        Raises:
            ValueError: if it is not one.
        """
        counts = np.array(state["counts"], np.float64)
        pairs = [(str(low), str(high)) for low, high in state["pairs"]]
        if pairs and counts.shape != (len(pairs), 2, CLASSES, MAX_DEPTH):
            raise ValueError(f"acceptance between models: counts of shape {counts.shape}")
        if not (np.isfinite(counts).all() and (counts >= 0.0).all()):
            raise ValueError("acceptance between models: counts are not finite, or below zero")
        self._counts = dict(zip(pairs, counts, strict=True))

    def _of(self, pair: Pair) -> Floats:
        return self._counts.setdefault(pair, np.zeros((2, CLASSES, MAX_DEPTH)))
