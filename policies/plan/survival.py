"""How likely proposed steps match, learned online from every verdict.

Step i of a run ahead is tried when all before it matched. The likelihood of what is then seen is
that of a discrete hazard: a run of matches that ends with a mismatch at step f gives
q_1 x ... x q_(f-1) x (1 - q_f), one factor for each verdict. Steps after f have the factor 1: their
prefix was void, so whatever the target agent said of them was said about another state. A step
whose verdict never came (cancelled, failed, the run ended before) has the factor 1, too: what is
censored by something that does not depend on its outcome tells of it that it was tried and nothing
more. So a run that is cut off after three matches still tells three matches in full. An answer that
is of no use (no tool does what it proposes) is a mismatch: it is paid for as one.

q_i is a logistic function of hashed features whose weights are learned with their uncertainty
(``logistic``), so that it is right at first by what holds of all steps, and soon by what holds of
this step of this task, as far as its outcomes bear that out.

There are two layers. The first foretells a step from what is known before it is proposed, so that
steps not proposed yet have a chance, too; the second adds what the proposal tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..transition import Floats
from .features import (
    Encoder,
    Features,
    StepContext,
    TaskMemory,
    context_features,
    contexts,
    proposal_features,
)
from .logistic import HashedLogistic, chance_of
from .state import MAX_AHEAD, Committed, PlanState, Proposed

_LEAST: Final = 0.005  # no chance is told closer to 0 or 1
_START: Final = math.log(0.6 / 0.4)  # log-odds of a match before any verdict
_STRENGTH: Final = 4.0  # verdicts that what is assumed of proposals weighs as much as
_TOLD: Final = 0.1  # share of what there is to tell that proposals tell, before any verdict
_MEMORY: Final = 0.999  # of sums of squares, per verdict


class MatchModel:
    """P(a step's proposal matches | all before it did), by step.

    Args:
        encoder: adds dense features of tasks and actions; None for hashed ones alone.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        dense = 0 if encoder is None else encoder.size
        self._encoder = encoder
        # What proposals tell, and all there is to tell: sums of squares, decayed.
        self._told: Floats = np.array([_TOLD, 1.0]) * _STRENGTH
        self._memory = TaskMemory()
        self._before = HashedLogistic(dense)
        self._proposal = HashedLogistic(2 * dense)

    def chances(self, state: PlanState) -> Floats:
        """Chances of the first steps that are not settled, shape (MAX_AHEAD,).

        Those of steps that are proposed rest on their proposals, others on what precedes them.
        """
        return np.array(
            [
                self._chance(state.committed, state.proposed[:i], context, proposed)
                for i, (context, proposed) in enumerate(_steps(state))
            ]
        )

    @property
    def told(self) -> float:
        """Share of a chance's variance q (1 - q) that its proposal, once seen, resolves."""
        return min(float(self._told[0] / self._told[1]), 1.0)

    def settled(self, state: PlanState, matched: bool | None) -> None:
        """Learn from the verdict on the first step that is not settled.

        Args:
            state: the plan just before.
            matched: the verdict; None where nothing was proposed, which teaches nothing. False
                without a proposal, where A's answer was of no use, tells of the step alone.
        """
        if matched is None or (matched and not state.proposed):
            return
        context, proposed = _steps(state)[0]
        features = context_features(context, self._encoder)
        mean, variance = self._known(context)
        if proposed is not None:
            added = self._added(state.committed, (), context, proposed)
            more, doubt = self._proposal.moments(added)
            before = chance_of(mean, variance)
            change = chance_of(mean + more, variance + doubt) - before
            self._told *= _MEMORY
            self._told += change**2, before * (1.0 - before)
            self._proposal.learn(added, mean, variance, matched)
        self._before.learn(features, _START, 0.0, matched)

    def finished(self, task: str, committed: Sequence[Committed]) -> None:
        """Remember what the target agent did in a run that ended."""
        self._memory.add(task, committed)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was learned, as named arrays."""
        return {name: array.copy() for name, array in self._own().items()}

    def load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Carry on from ``arrays()``.

        Raises:
            ValueError: naming the array that is missing or does not fit.
        """
        mine = self._own()
        for name, own in mine.items():
            given = arrays.get(name)
            if given is None or given.shape != own.shape or not np.isfinite(given).all():
                raise ValueError(f"{name} must be finite numbers of shape {own.shape}")
        for name, own in mine.items():
            own[:] = arrays[name]

    def _own(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "told": self._told,
            "before": self._before.weights,
            "proposal": self._proposal.weights,
            "memory": self._memory.actions,
        }

    def _chance(
        self,
        committed: Sequence[Committed],
        before: Sequence[Proposed],
        context: StepContext,
        proposed: Proposed | None,
    ) -> float:
        if proposed is not None and proposed.judged:
            return 1.0  # the target agent has given this very action already
        mean, variance = self._known(context)
        if proposed is not None:
            more, doubt = self._proposal.moments(self._added(committed, before, context, proposed))
            mean, variance = mean + more, variance + doubt
        return min(max(chance_of(mean, variance), _LEAST), 1.0 - _LEAST)

    def _known(self, context: StepContext) -> tuple[float, float]:
        """Mean and variance of a step's log-odds before it is proposed."""
        mean, variance = self._before.moments(context_features(context, self._encoder))
        return _START + mean, variance

    def _added(
        self,
        committed: Sequence[Committed],
        before: Sequence[Proposed],
        context: StepContext,
        proposed: Proposed,
    ) -> Features:
        earlier = [step.action for step in committed] + [step.action for step in before]
        usual = self._memory.usual(context, proposed)
        return proposal_features(context, proposed, earlier, usual, self._encoder)


def sigmoid(logit: float) -> float:
    """The logistic function."""
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def _steps(state: PlanState) -> list[tuple[StepContext, Proposed | None]]:
    """The next steps' contexts, with what is proposed for them."""
    proposed: list[Proposed | None] = [*state.proposed[:MAX_AHEAD]]
    proposed += [None] * (MAX_AHEAD - len(proposed))
    return list(zip(contexts(state, MAX_AHEAD), proposed, strict=True))
