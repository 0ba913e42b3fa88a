"""Bandits that know nothing of step times or survival: one arm per depth and batch bucket.

Rewards are judged against depth 0 in the same state (see ``objective``), so that arms tried under
different loads can be compared. The speed is no part of what they remember: after a turn of the
knob, what they know is of the old speed until new rewards outweigh it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from ..policy import Choice, Integers
from ..spaces import Array
from ..transition import Floats
from .base import CataloguePolicy
from .objective import BUCKETS, bucket, rewards
from .options import OfObjective, Options


class BanditOptions(Options, frozen=True):
    """Options of every bandit with arms."""

    objective: OfObjective = "J"
    discount: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="a number in (0, 1]: weight of the past per interval in its bucket; "
            "1 forgets nothing",
        ),
    ] = 1.0


class Bandit(CataloguePolicy):
    """Counts and sums of rewards per engine, batch bucket and depth."""

    kind: ClassVar[type[Options]] = BanditOptions
    options: BanditOptions

    def _prepare(self) -> None:
        self.counts: Floats = np.zeros((self.engines, BUCKETS, self.k_max + 1))
        self.sums: Floats = np.zeros_like(self.counts)

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:
        """Add the rewards to the arms that earned them."""
        reward = rewards(self.structure, raw, outcomes, self.options.objective)
        rows = np.flatnonzero(np.isfinite(reward))
        cells = bucket(raw)[rows]
        if self.options.discount < 1.0:
            self.counts[rows, cells] *= self.options.discount
            self.sums[rows, cells] *= self.options.discount
        self.counts[rows, cells, actions[rows]] += 1.0
        self.sums[rows, cells, actions[rows]] += reward[rows]

    def _arms(self, raw: Array) -> tuple[Floats, Floats]:
        """Counts and sums of the buckets that the engines are in, shapes (n, k_max + 1)."""
        cells = bucket(raw)
        return self.counts[self._each, cells], self.sums[self._each, cells]


class UcbOptions(BanditOptions, frozen=True):
    """Options of ``ucb``."""

    c: Annotated[
        float, Meta(ge=0, description="a number from 0: weight of the confidence bound")
    ] = 0.1


class Ucb(Bandit):
    """UCB1 (Auer et al. 2002) over depths, as BanditSpec and TapOut use it.

    Mean reward plus c sqrt(2 ln t / n), an arm not yet tried first. UCB1's rewards span 1, for
    which c = 1 is right; depths differ by far less, and about 0.1 loses least. A discount below 1
    makes it the discounted UCB of Garivier and Moulines (2008, arXiv 0805.3415), for content that
    changes.
    """

    name = "ucb"
    about = "UCB1 bandit over depths per batch bucket (BanditSpec, TapOut)"
    kind: ClassVar[type[Options]] = UcbOptions
    options: UcbOptions

    def act(self, raw: Array) -> Choice:
        """Choose the greatest upper bound."""
        counts, sums = self._arms(raw)
        pulls = np.maximum(counts, _TINY)
        tried = counts > 0.0
        mean = sums / pulls
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        bound = mean + self.options.c * np.sqrt(2.0 * np.log(total) / pulls)
        actions = np.where(tried, bound, np.inf).argmax(axis=1)
        explored = actions != np.where(tried, mean, -np.inf).argmax(axis=1)
        return Choice(actions, np.ones(len(raw)), explored)

    def exploit(self, raw: Array) -> Choice:
        """Choose the greatest mean of the arms that were tried."""
        counts, sums = self._arms(raw)
        mean = np.where(counts > 0.0, sums / np.maximum(counts, _TINY), -np.inf)
        return Choice.certain(mean.argmax(axis=1))


_TINY = 1e-12


class ThompsonOptions(BanditOptions, frozen=True):
    """Options of ``thompson``."""

    noise: Annotated[
        float, Meta(gt=0, description="a number above 0: standard deviation of one reward")
    ] = 0.1
    prior: Annotated[
        float,
        Meta(gt=0, description="a number above 0: standard deviation of an arm before it is tried"),
    ] = 0.5
    draws: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            description="a whole number in [1, 4096]: posterior draws, for the propensity",
        ),
    ] = 64


class Thompson(Bandit):
    """Gaussian Thompson sampling (Russo et al. 2018, arXiv 1707.02038) over depths.

    As TapOut and Nightjar use it. Every arm starts at what depth 0 gives, with a standard deviation
    of ``prior``.

    The probability with which a posterior draw favours an arm has no closed form. So ``draws``
    draws are made, one of them decides, and the propensity is the share of all that agree with it.
    The draws are exchangeable: the action is distributed as in plain Thompson sampling, and given
    the draws its propensity is exact, so inverse-propensity estimates are unbiased but for arms
    that no draw favoured (about 1 / draws likely at most).
    """

    name = "thompson"
    about = "Gaussian Thompson sampling over depths per batch bucket (TapOut, Nightjar)"
    kind: ClassVar[type[Options]] = ThompsonOptions
    options: ThompsonOptions

    def act(self, raw: Array) -> Choice:
        """Choose what one draw from the posterior favours."""
        mean, deviation = self._posterior(raw)
        draws = self.rng.standard_normal((self.options.draws, *mean.shape), np.float32)
        draws *= deviation
        draws += mean
        favoured = draws.argmax(axis=2)
        actions = favoured[0]
        propensities = (favoured == actions).mean(axis=0)
        return Choice(actions, propensities, actions != mean.argmax(axis=1))

    def exploit(self, raw: Array) -> Choice:
        """Choose the greatest posterior mean."""
        return Choice.certain(self._posterior(raw)[0].argmax(axis=1))

    def _posterior(self, raw: Array) -> tuple[Floats, Floats]:
        """Mean and standard deviation of every arm, shapes (n, k_max + 1)."""
        options = self.options
        counts, sums = self._arms(raw)
        start = -1.0 if options.objective == "J" else 1.0
        prior = (options.noise / options.prior) ** 2  # in rewards of one interval
        weight = counts + prior
        return (sums + prior * start) / weight, options.noise / np.sqrt(weight)
