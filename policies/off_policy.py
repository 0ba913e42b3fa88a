"""What a policy would have been worth, told from what another one did: off-policy estimators.

A logged bandit: in state s the logging policy chose a with a known propensity p and got r. For a
target policy with chances pi(. | s) the importance weight of a row is w = pi(a | s) / p. Three
estimates of the target's mean reward (Dudik et al. 2014, "Doubly robust policy evaluation and
optimization"; Swaminathan & Joachims 2015 for the self-normalised one):

    IPS     mean of w r
    SNIPS   sum of w r / sum of w
    DR      mean of sum_a pi(a | s) q(s, a) + w (r - q(s, a_logged)),  q a model of the reward

Weights are clipped at max(10, n / 20), so that no row is more than a twentieth of an estimate; the
bias this brings vanishes as n grows (Ionides 2008, "Truncated importance sampling", who clips at
sqrt(n): at a few hundred rows that halves the IPS value of a depth that was tried once in seventy).
With DR it is what the model misses on the rows that were clipped, no more. What clipping took off
an estimate is known, if not well, so the interval is widened by it.

Importance weights are 1 on average wherever the logging policy may do all that the target may. A
guard whose budget for exploration is spent leaves but one or two actions; IPS then counts what the
target would have done besides as worth nothing. Where that shows, in weights that are below 1 on
average beyond noise, its interval is widened by what is missing. SNIPS takes it to be worth what
the rest is, DR what the model says.

Intervals hold for rows in the order in which they were logged. Neighbours are alike: an engine
serves the same requests for tens of intervals. The spread of an estimate therefore comes from the
means of ``BLOCKS`` stretches of its terms, with Student's quantile (batch means; Schmeiser 1982,
"Batch size effects in the analysis of simulation output"). As if rows were independent, the DR
interval of a policy's value in the simulator held 4 to 6 times in ten instead of 95 in a hundred.
It speaks of traffic that goes on as in the rows; no interval knows of traffic not seen.
An empirical-Bernstein interval holds for every n, but its width goes with the largest weight over
n: at a few hundred rows it would never tell two policies apart.
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

BLOCKS = 16
"""Stretches of rows whose means give an estimate its spread: few, so that each is long."""


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


@dataclass(frozen=True)
class Weights:
    """Importance weights, shape (n,).

    Attributes:
        clipped: what is used.
        excess: what clipping took off each.
    """

    clipped: Floats
    excess: Floats

    @property
    def ess(self) -> float:
        """Effective sample size; 0 if all are nought."""
        return effective(self.clipped)


@dataclass(frozen=True)
class Terms:
    """What an estimate is the mean of, row by row, shape (n,).

    Attributes:
        kept: with clipped weights.
        cut: what clipping took off each.
    """

    kept: Floats
    cut: Floats

    def less(self, other: Terms, times: float = 1.0) -> Terms:
        """These less others of the same rows, those multiplied by a number."""
        return Terms(self.kept - times * other.kept, self.cut - times * other.cut)

    def over(self, number: float) -> Terms:
        """These divided by a number."""
        return Terms(self.kept / number, self.cut / number)


def importance(target: Floats, propensities: Floats) -> Weights:
    """Importance weights of n rows.

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
    raw = target / propensities
    clipped = np.minimum(raw, bound(len(target)))
    return Weights(clipped, raw - clipped)


def bound(n: int) -> float:
    """The greatest importance weight of n rows."""
    return max(10.0, n / 20)


def effective(weights: Floats) -> float:
    """Effective sample size of some weights; 0 if all are nought."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def ips(rewards: Floats, target: Floats, propensities: Floats, level: float = LEVEL) -> Estimate:
    """Inverse propensity scoring. All arguments of shape (n,), as for ``importance``."""
    weights = importance(target, propensities)
    terms = weighed(rewards, weights)
    value = float(terms.kept.mean())
    return interval(value, terms, weights.ess, level, unsupported(rewards, weights, level))


def unsupported(rewards: Floats, weights: Weights, level: float = LEVEL) -> float:
    """What actions that the logging policy could not have taken may be worth, 0 or more.

    The share of the target's actions that is missing from the weights, if that is beyond noise,
    times the mean size of a reward.
    """
    raw = weights.clipped + weights.excess
    missing = 1.0 - float(raw.mean())
    if missing <= half_width(raw, level):
        return 0.0
    return missing * float(np.abs(rewards).mean())


def snips(rewards: Floats, target: Floats, propensities: Floats, level: float = LEVEL) -> Estimate:
    """Self-normalised: a constant added to all rewards is added to the value.

    Raises:
        ValueError: if the target policy takes none of the logged actions.
    """
    weights = importance(target, propensities)
    if not weights.clipped.any():
        raise ValueError("the target policy takes none of the logged actions")
    ones = np.ones(len(rewards))
    return ratio(weighed(rewards, weights), weighed(ones, weights), weights.ess, level)


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
    terms = corrected(rewards, actions, target, weights, model)
    return interval(float(terms.kept.mean()), terms, weights.ess, level)


def weighed(values: Floats, weights: Weights) -> Terms:
    """Values of shape (n,) times the importance weights."""
    return Terms(weights.clipped * values, weights.excess * values)


def corrected(
    rewards: Floats,
    actions: Actions,
    target: Floats,
    weights: Weights,
    model: Floats,
) -> Terms:
    """The doubly robust estimate's terms: their mean is the estimate. As ``doubly_robust``."""
    missed = weighed(rewards - model[np.arange(len(actions)), actions], weights)
    return Terms((target * model).sum(1) + missed.kept, missed.cut)


def ratio(
    numerator: Terms, denominator: Terms, ess: float, level: float = LEVEL, besides: float = 0.0
) -> Estimate:
    """A ratio of two means from their terms, by linearisation.

    Args:
        numerator: terms.
        denominator: terms, their mean above nought.
        ess: effective sample size of the importance weights.
        level: coverage of the interval.
        besides: what the numerator's mean may be off by, whatever its terms say.
    """
    value, terms = linearised(numerator, denominator)
    return interval(value, terms, ess, level, besides / float(denominator.kept.mean()))


def linearised(numerator: Terms, denominator: Terms) -> tuple[float, Terms]:
    """A ratio of means, and the terms, of mean nought, that its error is the mean of.

    Raises:
        ValueError: unless the denominator's mean is above nought.
    """
    below = float(denominator.kept.mean())
    if not below > 0.0:
        raise ValueError(f"the denominator's mean must be above 0, not {below:.3g}")
    value = float(numerator.kept.mean()) / below
    return value, numerator.less(denominator, value).over(below)


def interval(
    value: float, terms: Terms, ess: float, level: float = LEVEL, besides: float = 0.0
) -> Estimate:
    """An estimate whose error is that of the mean of its terms, which are in the order logged."""
    spread = half_width(terms.kept, level) + abs(float(terms.cut.mean())) + besides
    return Estimate(value, value - spread, value + spread, len(terms.kept), ess)


def half_width(terms: Floats, level: float = LEVEL) -> float:
    """Half the width of an interval for the mean of a series; infinite for less than two terms.

    Args:
        terms: in their order, shape (n,).
        level: coverage.
    """
    n, blocks = len(terms), min(BLOCKS, len(terms))
    if n < 2:
        return float("inf")
    edges = np.linspace(0, n, blocks + 1).astype(np.intp)
    sums = np.add.reduceat(terms - terms.mean(), edges[:-1])
    error = float(np.sqrt((sums**2).sum() * blocks / (blocks - 1))) / n
    return student(level, blocks - 1) * error


def student(level: float, freedom: int) -> float:
    """Quantile of Student's t for a two-sided interval.

    By the expansion of Abramowitz & Stegun (1964), 26.7.5; within 0.1 % from 8 degrees of freedom
    on at a level of .95.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
