"""Bayesian logistic regression on hashed features, learned online, one outcome at a time.

Weights are independent normal variables. An outcome moves each by its own variance, and takes of
that what the outcome tells of it: one step of an extended Kalman filter with a diagonal
covariance, which differs from "AdPredictor" (Graepel et al. 2010, ICML) in the link alone. A
feature's value is the standard deviation of what it adds before anything is known of it, so that
what is special (an action at one step of one task) is learned from one or two outcomes and what is
general from many, and credit goes to what is least certain. A chance is the mean over the weights'
distribution, drawn towards one half by what is not known (MacKay 1992, "The evidence framework
applied to classification networks"): it needs no further shrinkage.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..transition import Floats
from .compiling import compiled
from .features import PLACES, Features

_DRIFT: Final = (
    0.0002  # share of what was learned of a weight's variance that an outcome takes back
)
_FLOOR: Final = 0.02  # no outcome is taken to be more certain than this p (1 - p)


@compiled
def moments(means: Floats, variances: Floats, places: Any, values: Floats) -> tuple[float, float]:
    """Mean and variance of the weights times the features; arguments as in ``update``."""
    mean, variance = 0.0, 0.0
    for i in range(len(places)):
        mean += values[i] * means[places[i]]
        variance += values[i] * values[i] * variances[places[i]]
    return mean, variance


@compiled
def chance_of(mean: float, variance: float) -> float:
    """Mean of the logistic function of a normal variable, as it is usually approximated."""
    logit = mean / math.sqrt(1.0 + math.pi * variance / 8.0)
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


@compiled
def update(
    means: Floats,
    variances: Floats,
    places: Any,
    values: Floats,
    offset: float,
    doubt: float,
    came_true: float,
) -> None:
    """Take one outcome, in place.

    Args:
        means: of the weights, shape (PLACES + dense,).
        variances: of the weights, of the same shape, in (0, 1].
        places: of the features, shape (f,).
        values: of the features, shape (f,).
        offset: mean of the log-odds that are known besides.
        doubt: their variance.
        came_true: 1 or 0.
    """
    mean, variance = moments(means, variances, places, values)
    mean += offset
    variance += doubt
    chance = chance_of(mean, variance)
    told = max(chance * (1.0 - chance), _FLOOR)
    all_told = 1.0 + told * variance
    for i in range(len(places)):
        at, value = places[i], values[i]
        own = variances[at]
        means[at] += value * own * (came_true - chance) / all_told
        own -= (value * own) ** 2 * told / all_told
        variances[at] = own + _DRIFT * (1.0 - own)


class HashedLogistic:
    """Logistic regression on hashed features.

    Args:
        dense: dense features behind the hashed ones.

    Attributes:
        weights: their means and variances, shape (2, PLACES + dense).
    """

    def __init__(self, dense: int = 0) -> None:
        self.weights: Floats = np.zeros((2, PLACES + dense))
        self.weights[1] = 1.0
        self._means, self._variances = self.weights

    def moments(self, features: Features) -> tuple[float, float]:
        """Mean and variance of the log-odds that features add."""
        found: tuple[float, float] = moments(self._means, self._variances, *features)
        return found

    def learn(self, features: Features, offset: float, doubt: float, came_true: bool) -> None:
        """Take one outcome.

        Args:
            features: of what it came of.
            offset: mean of the log-odds that are known besides.
            doubt: their variance.
            came_true: the outcome.
        """
        update(self._means, self._variances, *features, offset, doubt, float(came_true))
