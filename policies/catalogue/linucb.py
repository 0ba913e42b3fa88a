"""A linear bandit over a few features of the observation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

import numpy as np
from msgspec import Meta

from ..policy import Choice, Integers
from ..spaces import DEPTH_SPACE, SPEED_INDEX, Array
from ..transition import Floats
from .base import CataloguePolicy
from .objective import ACCEPTANCE, BATCH, CONTEXT, rewards
from .options import OfObjective, Options

FEATURES: Final = (
    "one",
    "batch",
    "context",
    "acceptance",
    "speed",
    "speed x batch",
    "speed x acceptance",
)
"""What rewards are linear in: observations normalised to [0, 1], acceptance the mean over
positions; the products let the speed weigh what load and acceptance mean for it."""

_PICKED: Final = [BATCH, CONTEXT, SPEED_INDEX]


class LinUcbOptions(Options, frozen=True):
    """Options of ``linucb``."""

    objective: OfObjective = "J"
    alpha: Annotated[
        float, Meta(ge=0, description="a number from 0: weight of the confidence bound")
    ] = 0.1
    ridge: Annotated[
        float, Meta(gt=0, description="a number above 0: pull of the weights towards 0")
    ] = 1.0


class LinUcb(CataloguePolicy):
    """LinUCB with a model per depth (Li et al. 2010, arXiv 1003.0146, algorithm 1).

    The inverse of each model's moment matrix is kept up to date by rank-one updates.
    """

    name = "linucb"
    about = "linear bandit over batch, context, acceptance and speed (LinUCB)"
    kind: ClassVar[type[Options]] = LinUcbOptions
    options: LinUcbOptions

    def _prepare(self) -> None:
        shape = self.engines, self.k_max + 1, len(FEATURES)
        self._inverse: Floats = np.tile(
            np.eye(len(FEATURES)) / self.options.ridge, (*shape[:2], 1, 1)
        )
        self._target: Floats = np.zeros(shape)
        self._weights: Floats = np.zeros(shape)

    def act(self, raw: Array) -> Choice:
        """Choose the greatest upper bound."""
        x = features(raw)
        mean = self._mean(x)
        spread = np.einsum("nkij,ni,nj->nk", self._inverse, x, x)
        bound = mean + self.options.alpha * np.sqrt(np.maximum(spread, 0.0))
        actions = bound.argmax(axis=1)
        return Choice(actions, np.ones(len(raw)), actions != mean.argmax(axis=1))

    def exploit(self, raw: Array) -> Choice:
        """Choose the greatest predicted reward."""
        return Choice.certain(self._mean(features(raw)).argmax(axis=1))

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:
        """Fit the models of the depths that were in force."""
        reward = rewards(self.structure, raw, outcomes, self.options.objective)
        rows = np.flatnonzero(np.isfinite(reward))
        at = rows, actions[rows]
        x = features(raw)[rows]
        inverse = self._inverse[at]
        turned = (inverse @ x[:, :, None])[:, :, 0]
        shrink = 1.0 + (turned * x).sum(axis=1)
        inverse -= turned[:, :, None] * (turned / shrink[:, None])[:, None, :]
        self._inverse[at] = inverse
        self._target[at] += reward[rows, None] * x
        self._weights[at] = (inverse @ self._target[at][:, :, None])[:, :, 0]

    def _mean(self, x: Floats) -> Floats:
        """Predicted rewards, shape (n, k_max + 1)."""
        mean: Floats = (self._weights @ x[:, :, None])[:, :, 0]
        return mean


def features(raw: Array) -> Floats:
    """What rewards are linear in: shape (n, len(FEATURES))."""
    batch, context, speed = DEPTH_SPACE.normalise(raw)[:, _PICKED].T
    acceptance = raw[:, ACCEPTANCE].mean(axis=1)
    one = np.ones(len(raw))
    columns = (one, batch, context, acceptance, speed, speed * batch, speed * acceptance)
    return np.stack(columns, axis=1)
