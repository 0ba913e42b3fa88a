"""How likely proposed steps match, learned online from every verdict.

Step i of a run ahead is tried when all before it matched. The likelihood of what is then seen is
that of a discrete hazard: a run of matches that ends with a mismatch at step f gives
q_1 x ... x q_(f-1) x (1 - q_f), one factor for each verdict. Steps after f have the factor 1: their
prefix was void, so whatever the target agent said of them was said about another state. A step
whose verdict never came (cancelled, failed, the run ended before) has the factor 1, too: what is
censored by something that does not depend on its outcome tells of it that it was tried and nothing
more. So a run that is cut off after three matches still tells three matches in full.

q_i is a logistic function of hashed features, on top of a Beta posterior by position. Weights are
those of FTRL-proximal (McMahan et al. 2013, "Ad click prediction: a view from the trenches") with
steps by coordinate: a feature seen rarely, such as a tool in a task, learns fast.

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
from .compiling import compiled
from .features import (
    PLACES,
    Encoder,
    Features,
    StepContext,
    TaskMemory,
    context_features,
    contexts,
    proposal_features,
)
from .state import MAX_AHEAD, Committed, PlanState, Proposed

POSITIONS: Final = 16
"""Steps told apart by position; later ones count as the last of them."""

_LEAST: Final = 0.005  # no chance is told closer to 0 or 1
_START: Final = 0.6  # chance of a match before any verdict
_STRENGTH: Final = 4.0  # verdicts that it weighs as much as, at every position
_TOLD: Final = 0.1  # share of what there is to tell that proposals tell, before any verdict
_MEMORY: Final = 0.999  # of counts and sums of squares, per verdict


@compiled
def dot(
    z: Floats, n: Floats, places: Any, values: Floats, alpha: float, beta: float, ridge: float
) -> float:
    """The weights times the features; arguments as in ``update``."""
    total = 0.0
    for i in range(len(places)):
        at = places[i]
        total -= values[i] * z[at] / ((beta + math.sqrt(n[at])) / alpha + ridge)
    return total


@compiled
def update(
    z: Floats,
    n: Floats,
    places: Any,
    values: Floats,
    miss: float,
    alpha: float,
    beta: float,
    ridge: float,
) -> None:
    """One step of FTRL-proximal, in place.

    Args:
        z: sums that the weights follow from, shape (PLACES + dense,).
        n: sums of squared gradients, of the same shape.
        places: of the features, shape (f,).
        values: of the features, shape (f,).
        miss: predicted probability less what came true.
        alpha: scale of the steps.
        beta: squared gradients' root before anything was seen.
        ridge: strength of the pull to nought.
    """
    for i in range(len(places)):
        at = places[i]
        weight = -z[at] / ((beta + math.sqrt(n[at])) / alpha + ridge)
        g = miss * values[i]
        sigma = (math.sqrt(n[at] + g * g) - math.sqrt(n[at])) / alpha
        z[at] += g - sigma * weight
        n[at] += g * g


class HashedLogistic:
    """Logistic regression on hashed features, learned online.

    Args:
        dense: dense features behind the hashed ones.
        alpha: scale of the steps.
        beta: as in ``update``.
        ridge: as in ``update``.
    """

    def __init__(
        self, dense: int = 0, alpha: float = 0.4, beta: float = 1.0, ridge: float = 0.5
    ) -> None:
        self.sums: Floats = np.zeros((2, PLACES + dense))
        self._rates = (alpha, beta, ridge)

    def logit(self, features: Features) -> float:
        """The weights times the features."""
        return dot(self.sums[0], self.sums[1], *features, *self._rates)

    def learn(self, features: Features, offset: float, matched: bool) -> None:
        """Take one outcome.

        Args:
            features: of what it came of.
            offset: log-odds that are known besides.
            matched: what came true.
        """
        miss = sigmoid(offset + self.logit(features)) - matched
        update(self.sums[0], self.sums[1], *features, miss, *self._rates)


class MatchModel:
    """P(a step's proposal matches | all before it did), by step.

    Args:
        encoder: adds dense features of tasks and actions; None for hashed ones alone.
    """

    def __init__(self, encoder: Encoder | None = None) -> None:
        dense = 0 if encoder is None else encoder.size
        self._encoder = encoder
        self._counts: Floats = np.zeros((2, POSITIONS))  # verdicts and matches, decayed
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
            matched: the verdict; None where nothing was proposed, which teaches nothing.
        """
        if matched is None or not state.proposed:
            return
        context, proposed = _steps(state)[0]
        features = context_features(context, self._encoder)
        offset = self._offset(context)
        known = offset + self._before.logit(features)
        if proposed is not None:
            added = self._added(state.committed, (), context, proposed)
            before = sigmoid(known)
            change = sigmoid(known + self._proposal.logit(added)) - before
            self._told *= _MEMORY
            self._told += change**2, before * (1.0 - before)
            self._proposal.learn(added, known, matched)
        self._before.learn(features, offset, matched)
        at = min(context.index, POSITIONS - 1)
        self._counts *= _MEMORY
        self._counts[:, at] += 1.0, float(matched)

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
            "positions": self._counts,
            "told": self._told,
            "before": self._before.sums,
            "proposal": self._proposal.sums,
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
        logit = self._offset(context)
        logit += self._before.logit(context_features(context, self._encoder))
        if proposed is not None:
            logit += self._proposal.logit(self._added(committed, before, context, proposed))
        return min(max(sigmoid(logit), _LEAST), 1.0 - _LEAST)

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

    def _offset(self, context: StepContext) -> float:
        """Log-odds by position alone: the mean of a Beta posterior around that of all."""
        tried, matched = self._counts
        mean = (matched.sum() + _STRENGTH * _START) / (tried.sum() + _STRENGTH)
        at = min(context.index, POSITIONS - 1)
        chance = (matched[at] + _STRENGTH * mean) / (tried[at] + _STRENGTH)
        return math.log(chance / (1.0 - chance))


def sigmoid(logit: float) -> float:
    """The logistic function."""
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def _steps(state: PlanState) -> list[tuple[StepContext, Proposed | None]]:
    """The next steps' contexts, with what is proposed for them."""
    proposed: list[Proposed | None] = [*state.proposed[:MAX_AHEAD]]
    proposed += [None] * (MAX_AHEAD - len(proposed))
    return list(zip(contexts(state, MAX_AHEAD), proposed, strict=True))
