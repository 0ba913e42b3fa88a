"""The gate before a snapshot is promoted: a list of checks, the first reason refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ..policies.snapshot import Snapshot
from ..policies.spaces import SPEED_INDEX, Array
from .evaluate import Comparison

LOW, HIGH = -0.5, 20.0
"""Bounds of both components: off = 1.0, no depth is twenty times worse, and none is below zero by
more than a fit may be off at a depth that was hardly tried."""

Check = Callable[[Snapshot, Array], str | None]
"""A candidate and recent raw observations to a reason against it, or None."""


def finite(candidate: Snapshot, recent: Array) -> str | None:
    """Every value of every depth is a number, at every speed."""
    for speed in (0.0, 0.5, 1.0):
        if not np.isfinite(candidate.values(_at(recent, speed))).all():
            return f"values are not finite at speed {speed}"
    return None


def bounded(candidate: Snapshot, recent: Array) -> str | None:
    """Components are within their bounds."""
    for speed in (0.0, 0.5, 1.0):
        components = candidate.values(_at(recent, speed))[..., :2]
        least, most = float(components.min()), float(components.max())
        if least < LOW or most > HIGH:
            return f"components from {least:.3g} to {most:.3g}, not in [{LOW}, {HIGH}]"
    return None


MARGIN: Final = 0.02
"""How much worse than the current snapshot a candidate may be, of an objective near 1. Training
moves back and forth by about as much; what is surely worse than this has gone wrong."""

FEWEST: Final = 50.0
"""Effective rows below which a comparison goes by the structure more than by what was measured."""

FAR: Final = 0.1
"""How much worse a candidate may then be. It goes where the current snapshot hardly went; what
the structure calls far worse needs evidence, and a structure is not wrong by so much for long."""


def no_worse(comparison: Comparison | None, margin: float = MARGIN, unseen: float = FAR) -> Check:
    """The check that a candidate is no worse than the current snapshot, off-policy.

    Args:
        comparison: of both on recent decisions; None where they cannot be compared.
        margin: by which it may be worse.
        unseen: the same with fewer than ``FEWEST`` effective rows.

    Returns:
        A check. It refuses where the whole interval of the difference is below -margin.
    """

    def check(candidate: Snapshot, recent: Array) -> str | None:  # noqa: ARG001 - a Check
        if comparison is None:
            return None
        difference = comparison.difference
        most = margin if difference.ess >= FEWEST else unseen
        if not difference.high < -most:
            return None
        return (
            f"worse than the current snapshot by {-difference.value:.3f} "
            f"[{-difference.high:.3f}, {-difference.low:.3f}] (at most {most}): doubly robust "
            f"value {comparison.candidate.value:.3f} after {comparison.current.value:.3f} on "
            f"{difference.n} decisions, {difference.ess:.0f} effective"
        )

    return check


CHECKS: Final[tuple[Check, ...]] = (finite, bounded)
"""What a snapshot must pass."""


def examine(candidate: Snapshot, recent: Array, checks: Sequence[Check] = CHECKS) -> str | None:
    """The first reason against a candidate, or None.

    Args:
        candidate: the snapshot, whose weights are finite already.
        recent: recent raw observations, shape (n, DEPTH_SPACE.size), n at least 1.
        checks: what it must pass.
    """
    for check in checks:
        reason = check(candidate, recent)
        if reason is not None:
            return reason
    return None


def _at(recent: Array, speed: float) -> Array:
    raw = recent.copy()
    raw[:, SPEED_INDEX] = speed
    return raw
