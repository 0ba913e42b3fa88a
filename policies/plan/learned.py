"""Our rule with a learned correction on top of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from .policy import EndedCall, FinishedRun
from .rows import PlanRecorder, PlanRows
from .rule import Survival, losses
from .snapshot import PlanSnapshot, uncorrected
from .space import PlanEstimates, observe
from .state import Ahead, PlanState
from .structure import steps_ahead


class Learned(Survival):
    """The rule's expected losses, plus what a snapshot says that they leave out.

    Args:
        snapshot: what was learned; None for nothing yet: the rule. May be replaced at any time.
        estimates: what is known before; None for nothing.
        report: takes the transitions of every complete run; None for nobody.
        seed: of what is tried in order to learn.
    """

    name: ClassVar[str] = "learned"
    about: ClassVar[str] = "our rule with a correction that is learned from finished runs"

    def __init__(
        self,
        snapshot: PlanSnapshot | None = None,
        estimates: PlanEstimates | None = None,
        report: Callable[[PlanRows], None] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(estimates, seed=seed)
        self.snapshot = uncorrected() if snapshot is None else snapshot
        self._report = report
        self._recorder = PlanRecorder()

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``."""
        self.estimates.crowd(state.free)
        raw = observe(state, self.estimates)
        snapshot, steps = self.snapshot, steps_ahead(raw[None])[0]
        correction = snapshot.correction(raw).astype(np.float64)
        loss = losses(raw, self.look, correction)
        budget = snapshot.meta.budget if snapshot.meta.number else self.budget
        ahead = self._choose(loss / steps, len(state.proposed), budget * state.speed)
        self._recorder.decided(state, raw, ahead)
        return ahead

    def ended(self, call: EndedCall, state: PlanState) -> None:
        """Learn what a call took."""
        super().ended(call, state)
        self._recorder.ended(call, state)

    def finished(self, run: FinishedRun) -> None:
        """Remember what was done, and report the run's transitions."""
        super().finished(run)
        rows = self._recorder.finished(run)
        if rows is not None and self._report is not None:
            self._report(rows)
