"""Bounds of what is reachable at a speed: our rule, told which steps will match."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from .policy import EndedCall, PlanPolicy
from .rule import Survival, losses
from .space import PLAN_SPACE, PlanEstimates, observe
from .state import MAX_AHEAD, Ahead, PlanState
from .structure import steps_ahead

Future = Callable[[PlanState], Sequence[bool]]
"""Whether A's proposal matches, for every step that is not settled, the first one first."""


class Oracle(PlanPolicy):
    """Knows the matches of the future, not its times.

    Args:
        future: tells them.
        estimates: what is known of calls before; None for nothing.
    """

    name: ClassVar[str] = "oracle"
    about: ClassVar[str] = "knows which steps will match: the best that is reachable"

    def __init__(self, future: Future, estimates: PlanEstimates | None = None) -> None:
        self._future = future
        self.estimates = PlanEstimates() if estimates is None else estimates

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``."""
        matches = self._future(state)
        self.estimates.crowd(state.free)
        raw = observe(state, self.estimates)
        survival = np.zeros(MAX_AHEAD)
        known = np.cumprod(matches[:MAX_AHEAD])
        survival[: len(known)] = known
        raw[_SURVIVAL] = survival
        # No target call is needed beyond the last step.
        raw[_REACH] = min(float(raw[_REACH]), max(len(matches) - 1, 0))
        loss = losses(raw) / steps_ahead(raw[None])[0]
        return Ahead(int(loss.argmin()), values=tuple(loss.tolist()))

    def ended(self, call: EndedCall, state: PlanState) -> None:  # noqa: ARG002
        """Learn what a call took."""
        self.estimates.calls.ended(call)


class Judge(Survival):
    """Knows of every proposal, once it is made, whether it matches; of later steps as the rule.

    What is left is what A's calls cost and what its proposals come too late for: no estimate of
    chances that rests on proposals, however good, does better.

    Args:
        future: tells the matches.
    """

    name: ClassVar[str] = "judge"
    about: ClassVar[str] = "knows whether a proposal will match once it is made: a bound"

    def __init__(self, future: Future) -> None:
        super().__init__(budget=0.0)
        self._future = future

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``."""
        self.estimates.crowd(state.free)
        raw = observe(state, self.estimates)
        known = list(self._future(state)[: len(state.proposed)])[:MAX_AHEAD]
        known += [False] * (min(len(state.proposed), MAX_AHEAD) - len(known))
        chances = self.estimates.matches.chances(state)
        chances[: len(known)] = known
        raw[_SURVIVAL] = np.cumprod(chances)
        loss = losses(raw) / steps_ahead(raw[None])[0]
        return Ahead(int(loss.argmin()), values=tuple(loss.tolist()))


_SURVIVAL = PLAN_SPACE.slice("survival_1", MAX_AHEAD)
_REACH = PLAN_SPACE.index("reach")
