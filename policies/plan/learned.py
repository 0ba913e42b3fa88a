"""Our rule with a learned correction on top of it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from ..spaces import Array
from ..transition import Floats
from .rule import Survival, losses
from .snapshot import PlanSnapshot, uncorrected
from .space import PlanEstimates, observe
from .state import Ahead, PlanState
from .structure import steps_ahead


class Learned(Survival):
    """The rule's expected losses, plus what a snapshot says that they leave out.

    Attributes:
        snapshot: what was learned; may be replaced at any time.

    Args:
        snapshot: what was learned; None for nothing yet: the rule.
        estimates: what is known before; None for nothing.
        seed: of what is tried in order to learn.
    """

    name: ClassVar[str] = "learned"
    about: ClassVar[str] = "our rule with a correction that is learned from finished runs"

    def __init__(
        self,
        snapshot: PlanSnapshot | None = None,
        estimates: PlanEstimates | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(estimates, seed=seed)
        self.snapshot = uncorrected() if snapshot is None else snapshot

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``."""
        self.estimates.crowd(state.free)
        state = self.serving(state)
        raw = observe(state, self.estimates)
        snapshot, steps = self.snapshot, steps_ahead(raw[None])[0]
        loss = corrected_losses(raw, snapshot)
        budget = snapshot.meta.budget if snapshot.meta.number else self.budget
        budget = budget if self.explore else 0.0
        return self._choose(loss / steps, len(state.proposed), budget * state.speed)

    def serving(self, state: PlanState) -> PlanState:
        """The state at the speed that serves the snapshot's reward at this knob."""
        speed = self.snapshot.speed_at(state.speed)
        return state if speed == state.speed else replace(state, speed=speed)


def corrected_losses(raw: Array, snapshot: PlanSnapshot) -> Floats:
    """The rule's losses of one observation, with what a snapshot adds to them; see ``losses``."""
    return losses(raw, snapshot.correction(raw).astype(np.float64))
