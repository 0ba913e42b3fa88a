"""Our rule: run ahead as far as what it is likely to save is worth what it is likely to waste."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..exploration import chances
from ..spaces import Array
from ..transition import Floats
from .policy import EndedCall, FinishedRun, PlanPolicy
from .space import PLAN_SPEED_INDEX, PlanEstimates, observe
from .state import MAX_AHEAD, Ahead, PlanState
from .structure import foresee, steps_ahead, weighed


class Survival(PlanPolicy):
    """Decides by survival, seconds and dollars, anew at every event.

    The loss is speed x seconds / sequential seconds + (1 - speed) x dollars / sequential dollars,
    and what is chosen is the best first part of the best schedule (``schedule``). That A's next
    proposal may change what is best after it is not counted: counting it, as the value of
    information (Howard 1966), gave the same curves at twice the time of a decision.

    Args:
        estimates: what is known before; None for nothing.
        budget: expected loss of a decision that may be spent, at speed 1, on calling A in order
            to learn; in proportion less at lower speeds.
        seed: of what is tried in order to learn.
    """

    name: ClassVar[str] = "survival"
    about: ClassVar[str] = "runs ahead while P(survives) x seconds saved outweighs the waste"

    def __init__(
        self,
        estimates: PlanEstimates | None = None,
        budget: float = 0.005,
        seed: int = 0,
    ) -> None:
        self.estimates = PlanEstimates() if estimates is None else estimates
        self.budget = budget
        self._rng = np.random.default_rng(seed)

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``. Values are losses per step; sequential is 1."""
        self.estimates.crowd(state.free)
        raw = observe(state, self.estimates)
        loss = losses(raw) / steps_ahead(raw[None])[0]
        budget = self.budget if self.explore else 0.0
        return self._choose(loss, len(state.proposed), budget * state.speed)

    def _choose(self, loss: Floats, proposed: int, budget: float) -> Ahead:
        """The best choice, or now and then one step more than is proposed, to learn.

        Where A is not called its proposals are never judged, and a chance that was told too low
        would stay so. A call of A alone costs little: whether T follows is decided when it has
        proposed. How often is bounded by inverse gap weighting (``exploration``).

        Args:
            loss: of every choice, shape (CHOICES,).
            proposed: steps that are proposed now.
            budget: expected loss that may be spent.
        """
        best, other = int(loss.argmin()), min(proposed + 1, MAX_AHEAD)
        values = tuple(loss.tolist())
        if budget <= 0.0 or best >= other:
            return Ahead(best, values=values)
        odds = chances(-loss[[best, other]], budget)
        explored = bool(self._rng.random() < odds[1])
        chosen = other if explored else best
        return Ahead(chosen, float(odds[int(explored)]), explored, values)

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:
        """Learn from a verdict."""
        self.estimates.matches.settled(state, matched)
        self.estimates.calls.settled(index)

    def ended(self, call: EndedCall, state: PlanState) -> None:  # noqa: ARG002
        """Learn what a call took."""
        self.estimates.calls.ended(call)

    def finished(self, run: FinishedRun) -> None:
        """Remember what was done."""
        self.estimates.matches.finished(run.task, run.committed)


def losses(raw: Array, correction: Floats | None = None) -> Floats:
    """Expected loss of every number of steps ahead, from now to the end of the run ahead.

    Args:
        raw: one raw observation with the speed set, float32, shape (PLAN_SPACE.size,).
        correction: what is to be added to what is foreseen of each choice, as
            ``Foreseen.components``, shape (CHOICES, 2); None for nothing.

    Returns:
        Shape (CHOICES,), in a step's loss without running ahead.
    """
    components = foresee(raw[None]).components[0]
    if correction is not None:
        components += correction
    return weighed(components, raw[PLAN_SPEED_INDEX])
