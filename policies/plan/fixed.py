"""The same number of steps ahead at all times."""

from __future__ import annotations

from typing import ClassVar

from .policy import PlanPolicy
from .state import MAX_AHEAD, Ahead, PlanState


class Fixed(PlanPolicy):
    """Runs k steps ahead, always.

    Args:
        steps: k, in [0, MAX_AHEAD]; 0 is the target agent alone.
        barrier: in rounds of k steps, each waited for, as the published systems run.

    Raises:
        ValueError: k is out of its range.
    """

    name: ClassVar[str] = "fixed"
    about: ClassVar[str] = "always k steps ahead"

    def __init__(self, steps: int, barrier: bool = False) -> None:
        if not 0 <= steps <= MAX_AHEAD:
            raise ValueError(f"fixed takes 0 to {MAX_AHEAD} steps, got {steps}")
        self.barrier = barrier
        self._ahead = Ahead(steps)

    def decide(self, state: PlanState) -> Ahead:  # noqa: ARG002 - always the same
        """Decide; see ``PlanPolicy``."""
        return self._ahead
