"""Our rule: run ahead as far as what it is likely to save is worth what it is likely to waste."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ..exploration import chances
from ..spaces import Array
from ..transition import Floats
from .policy import EndedCall, FinishedRun, PlanPolicy
from .schedule import CHOICES
from .space import PLAN_SPACE, PLAN_SPEED_INDEX, PlanEstimates, observe
from .state import MAX_AHEAD, Ahead, PlanState
from .structure import foresee, steps_ahead, weighed


class Survival(PlanPolicy):
    """Decides by survival, seconds and dollars, anew at every event.

    The loss is speed x seconds / sequential seconds + (1 - speed) x dollars / sequential dollars,
    and what is chosen is the best first part of the best schedule (``schedule``), with what A's
    next proposal may yet tell taken into account (``losses``).

    Args:
        estimates: what is known before; None for nothing.
        look: whether to count what proposals tell; False takes the next one's chance as if it
            would stay what it is.
        budget: expected loss of a decision that may be spent, at speed 1, on calling A in order
            to learn; in proportion less at lower speeds.
        seed: of what is tried in order to learn.
    """

    name: ClassVar[str] = "survival"
    about: ClassVar[str] = "runs ahead while P(survives) x seconds saved outweighs the waste"

    def __init__(
        self,
        estimates: PlanEstimates | None = None,
        look: bool = True,
        budget: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.estimates = PlanEstimates() if estimates is None else estimates
        self.look = look
        self.budget = budget
        self._rng = np.random.default_rng(seed)

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``. Values are losses per step; sequential is 1."""
        self.estimates.crowd(state.free)
        raw = observe(state, self.estimates)[None]
        loss = losses(raw[0], self.look) / steps_ahead(raw)[0]
        return self._choose(loss, len(state.proposed), self.budget * state.speed)

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

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:  # noqa: ARG002
        """Learn from a verdict."""
        self.estimates.matches.settled(state, matched)

    def ended(self, call: EndedCall, state: PlanState) -> None:  # noqa: ARG002
        """Learn what a call took."""
        self.estimates.calls.ended(call)

    def finished(self, run: FinishedRun) -> None:
        """Remember what was done."""
        self.estimates.matches.finished(run.task, run.committed)


def losses(raw: Array, look: bool = True, correction: Floats | None = None) -> Floats:
    """Expected loss of every number of steps ahead, from now to the end of the run ahead.

    Calling A for the next step shows its proposal, and with it a better chance of that step,
    before T is started on it. So the chance q is taken as two equally likely ones, q - d and
    q + d, with d by the share of its variance that proposals resolved until now; for each, T is
    then started or not, whichever is better: the value of information (Howard 1966).

    Args:
        raw: one raw observation with the speed set, float32, shape (PLAN_SPACE.size,).
        look: whether to; False for one chance.
        correction: what is to be added to what is foreseen of each choice, as
            ``Foreseen.components``, shape (CHOICES, 2); None for nothing.

    Returns:
        Shape (CHOICES,), in a step's loss without running ahead.
    """
    speed, proposed = float(raw[PLAN_SPEED_INDEX]), int(raw[_PROPOSED])
    both = _two_chances(raw) if look else raw[None]
    components = foresee(both).components
    if correction is not None:
        components += correction
    found = weighed(components, both[:, PLAN_SPEED_INDEX])
    if len(both) == 1:
        certain: Floats = found[0]
        return certain
    survived = float(raw[_SURVIVAL.start + proposed - 1]) if proposed else 1.0
    price = float(raw[_A_PRICE]) / max(float(raw[_STEP_PRICE]), 1e-9)
    # With A's proposal seen, T may still be left out: what that costs is A's call alone.
    left_out = found[:, [proposed]] + (1.0 - speed) * survived * price
    seen = np.minimum(found, left_out)
    loss: Floats = np.where(np.arange(CHOICES) > proposed, seen, found).mean(0)
    return loss


def _two_chances(raw: Array) -> Array:
    """An observation with a lower and a higher chance of the step to be proposed next: (2, size).

    Just the one, shape (1, size), where nothing more can be proposed.
    """
    proposed, reach = int(raw[_PROPOSED]), int(raw[_REACH])
    if proposed >= min(reach, MAX_AHEAD):
        return raw[None]
    survival = raw[_SURVIVAL]
    before = float(survival[proposed - 1]) if proposed else 1.0
    chance = float(survival[proposed]) / max(before, 1e-12)
    spread = math.sqrt(float(raw[_TOLD]) * chance * (1.0 - chance))
    spread = min(spread, chance - 1e-3, 1.0 - 1e-3 - chance)
    both = np.stack([raw, raw])
    for row, other in zip(both, (chance - spread, chance + spread), strict=True):
        row[_SURVIVAL][proposed:] *= other / chance
    return both


_SURVIVAL = PLAN_SPACE.slice("survival_1", MAX_AHEAD)
_PROPOSED, _REACH = PLAN_SPACE.index("unverified"), PLAN_SPACE.index("reach")
_TOLD, _A_PRICE = PLAN_SPACE.index("told"), PLAN_SPACE.index("a_dollars")
_STEP_PRICE = PLAN_SPACE.index("step_dollars")
