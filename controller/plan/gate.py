"""The gate before a plan's snapshot is promoted.

What a finished run revealed of every choice tells what a snapshot would have come to on it, so a
candidate is compared on whole information, with no propensities: what it would have chosen, by what
that choice came to by the first mismatch, and by the averaged network from there on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ...policies.plan.learned import corrected_losses
from ...policies.plan.rows import PlanRows
from ...policies.plan.snapshot import PlanSnapshot
from ...policies.plan.space import PLAN_SPEED_INDEX
from ...policies.plan.structure import weighed
from ...policies.plan.vector_dqn import BOUND, PlanDQN

MARGIN: Final = 0.02
"""How much worse than the snapshot in force a candidate may be, in a step's loss."""

FEWEST: Final = 50
"""Transitions below which two snapshots are not told apart."""

_SURE: Final = 2.0  # standard errors


class PlanComparison(NamedTuple):
    """Mean loss of two snapshots on the same decisions, in a step's loss; lower is better.

    Attributes:
        candidate: of the new one.
        current: of the one in force.
        error: standard error of the difference.
        n: decisions.
    """

    candidate: float
    current: float
    error: float
    n: int


def compare(
    model: PlanDQN, candidate: PlanSnapshot, current: PlanSnapshot, rows: PlanRows
) -> PlanComparison:
    """Compare two snapshots on what runs revealed.

    Args:
        model: whose averaged network tells what follows.
        candidate: the new one.
        current: the one in force.
        rows: recent transitions, at least one.
    """
    targets = model.targets(rows)
    loss = weighed(targets.every.astype(np.float64), rows.observations[:, PLAN_SPEED_INDEX])
    found = []
    for snapshot in (candidate, current):
        chosen = [int(corrected_losses(raw, snapshot).argmin()) for raw in rows.observations]
        found.append(loss[np.arange(len(rows)), chosen])
    difference = found[0] - found[1]
    error = float(difference.std() / np.sqrt(len(rows)))
    return PlanComparison(float(found[0].mean()), float(found[1].mean()), error, len(rows))


def examine(candidate: PlanSnapshot, rows: PlanRows) -> str | None:
    """What speaks against a candidate by itself, or None.

    Args:
        candidate: the snapshot, whose weights are finite already.
        rows: recent transitions, at least one.
    """
    values = candidate.correction(rows.observations)
    if not np.isfinite(values).all():
        return "corrections are not finite"
    most = float(np.abs(values).max())
    if most > BOUND:
        return f"corrections up to {most:.3g} steps, not {BOUND:g}"
    return None


def no_worse(found: PlanComparison) -> str | None:
    """What speaks against a candidate beside the one in force, or None."""
    worse = found.candidate - found.current
    if found.n < FEWEST or worse - _SURE * found.error <= MARGIN:
        return None
    return (
        f"worse than what is in force by {worse:.3f} of a step's loss, "
        f"standard error {found.error:.3f}, on {found.n} decisions"
    )
