"""What a policy would have been worth, told from what another one did: off-policy estimators.

A logged bandit: in state s the logging policy chose a with a known propensity p and got r. For a
target policy with chances pi(. | s) the importance weight of a row is w = pi(a | s) / p. Three
estimates of the target's mean reward (Dudik et al. 2014, "Doubly robust policy evaluation and
optimization"; Swaminathan & Joachims 2015 for the self-normalised one):

    IPS     mean of w r
    SNIPS   sum of w r / sum of w
    DR      mean of sum_a pi(a | s) q(s, a) + w (r - q(s, a_logged)),  q a model of the reward

Weights are clipped at max(10, sqrt(n)), so that an extreme propensity cannot be all of an
estimate; the bias this brings vanishes as n grows (Ionides 2008, "Truncated importance sampling").
With DR it is what the model misses on the rows that were clipped, no more.

Intervals are normal, from the estimate's own terms (for SNIPS and ratios by linearisation). With
clipped weights and some tens of effective rows, which callers ask for, the mean of the terms is
close to normal. An empirical-Bernstein interval holds for every n, but its width goes with the
largest weight over n: at a few hundred rows it would never tell two policies apart. A bootstrap
gives what the linearisation gives, at a thousand times the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from .transition import Floats

Actions = npt.NDArray[np.integer]

LEVEL = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval.

    Attributes:
        value: in the rewards' unit.
        low: lower end of the interval.
        high: upper end.
        n: rows it is from.
        ess: effective sample size of the weights, (sum w)^2 / sum w^2 (Kish 1965).
    """

    value: float
    low: float
    high: float
    n: int
    ess: float


def importance(target: Floats, propensities: Floats) -> Floats:
    """Clipped importance weights, shape (n,).

    Args:
        target: chances with which the target policy takes the logged actions, shape (n,).
        propensities: with which the logging policy took them, in (0, 1], shape (n,).

    Raises:
        ValueError: if there are no rows, or a chance is not one.
    """
    if not len(target) or len(target) != len(propensities):
        raise ValueError(f"{len(target)} target chances for {len(propensities)} propensities")
    if not ((propensities > 0.0) & (propensities <= 1.0)).all():
        raise ValueError("propensities must be in (0, 1]")
    if not ((target >= 0.0) & (target <= 1.0 + 1e-9)).all():
        raise ValueError("target chances must be in [0, 1]")
    return np.minimum(target / propensities, bound(len(target)))


def bound(n: int) -> float:
    """The greatest importance weight of n rows."""
    return float(max(10.0, n**0.5))


def effective(weights: Floats) -> float:
    """Effective sample size of some weights; 0 if all are nought."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def ips(rewards: Floats, target: Floats, propensities: Floats, level: float = LEVEL) -> Estimate:
    """Inverse propensity scoring. All arguments of shape (n,), as for ``importance``."""
    weights = importance(target, propensities)
    return _estimate(weights * rewards, weights, level)


def snips(rewards: Floats, target: Floats, propensities: Floats, level: float = LEVEL) -> Estimate:
    """Self-normalised: a constant added to all rewards is added to the value.

    Raises:
        ValueError: if the target policy takes none of the logged actions.
    """
    weights = importance(target, propensities)
    if not weights.any():
        raise ValueError("the target policy takes none of the logged actions")
    return ratio(weights * rewards, weights, weights, level)


def doubly_robust(
    rewards: Floats,
    actions: Actions,
    target: Floats,
    propensities: Floats,
    model: Floats,
    level: float = LEVEL,
) -> Estimate:
    """Doubly robust: right if the propensities are, and the surer the better the model is.

    Args:
        rewards: shape (n,).
        actions: the logged ones, shape (n,).
        target: chances of every action under the target policy, shape (n, actions).
        propensities: of the logged actions, shape (n,).
        model: expected reward of every action, shape (n, actions).
        level: coverage of the interval.
    """
    weights = importance(target[np.arange(len(actions)), actions], propensities)
    return _estimate(corrected(rewards, actions, target, weights, model), weights, level)


def corrected(
    rewards: Floats,
    actions: Actions,
    target: Floats,
    weights: Floats,
    model: Floats,
) -> Floats:
    """The doubly robust estimate's terms, shape (n,): their mean is the estimate."""
    logged = model[np.arange(len(actions)), actions]
    terms: Floats = (target * model).sum(1) + weights * (rewards - logged)
    return terms


def ratio(numerator: Floats, denominator: Floats, weights: Floats, level: float) -> Estimate:
    """A ratio of two means from their terms, by linearisation.

    Args:
        numerator: terms, shape (n,).
        denominator: terms, shape (n,), their mean above nought.
        weights: importance weights, for the effective sample size.
        level: coverage of the interval.
    """
    value, terms = linearised(numerator, denominator)
    spread = half_width(terms, level)
    return Estimate(value, value - spread, value + spread, len(terms), effective(weights))


def linearised(numerator: Floats, denominator: Floats) -> tuple[float, Floats]:
    """A ratio of means, and the terms, of mean nought, that its error is the mean of.

    Raises:
        ValueError: unless the denominator's mean is above nought.
    """
    below = float(denominator.mean())
    if not below > 0.0:
        raise ValueError(f"the denominator's mean must be above 0, not {below:.3g}")
    value = float(numerator.mean()) / below
    return value, (numerator - value * denominator) / below


def half_width(terms: Floats, level: float = LEVEL) -> float:
    """Half the width of a normal interval for a mean; infinite for fewer than two terms."""
    if len(terms) < 2:
        return float("inf")
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    return z * float(terms.std(ddof=1)) / float(np.sqrt(len(terms)))


def _estimate(terms: Floats, weights: Floats, level: float) -> Estimate:
    value, spread = float(terms.mean()), half_width(terms, level)
    return Estimate(value, value - spread, value + spread, len(terms), effective(weights))
