"""How likely drafts survive: an estimate by request class and position, and how sure it is.

Position j of a draft is tried when all before it were accepted. Its hazard is the probability that
it is then rejected; the survival of position j is that none of 1..j is. The table of hazards is
one drafter's: an engine has one drafter, so it has one estimator.

On top of its class's table, a request has a frailty (``frailty``), a multiplier on its hazards that
is learned from its own history, so that requests are told apart that say nothing of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar, Final

import numpy as np

from .frailty import FRAILTY_PRIOR, FrailtyEstimator
from .spaces import CLASSES, MAX_DEPTH
from .transition import Floats
from .verified import Verified

Interval = tuple[Floats, Floats]
"""Lower and upper bounds, of one shape."""


class SurvivalEstimator:
    """Moving estimates of acceptance by class and position, for one drafter.

    Counts are decayed, and each estimate is the mean of a Beta posterior whose prior is what is
    known nearby: for all traffic together, the position before it; for a class, the hazard behind
    all traffic at this position times the class's own frailty. So what is not tried for long (deep
    positions while drafts are short) drifts to what is known nearby.

    Attributes:
        position: P(position j accepted | all before it were) of all traffic, shape (MAX_DEPTH,).
        acceptance: the same by class, shape (CLASSES, MAX_DEPTH).
        later: the same of a class's positions after the first together, shape (CLASSES,).
        expected: rejections expected of the first t positions tried by a request of frailty 1, as
            ``expected[slot][t]``, in plain floats for the hot path.
        frailties: what a request's own history tells, by class.
    """

    MEMORY: ClassVar[float] = 0.97
    """Weight of the past, per interval."""

    PRIOR: Final = 4.0
    """Strength of an estimate's prior: as much as this many positions tried."""

    START: ClassVar[float] = 0.7
    """Acceptance before anything was verified."""

    USUAL_MEMORY: ClassVar[float] = 0.999
    """Weight of the past of what is usual, per interval in which something was drafted."""

    USUAL_PRIOR: ClassVar[float] = 40.0
    """Strength of ``START`` in what is usual: as much as this many first positions tried."""

    ROUNDS: Final = 2
    """Times that hazards and classes' frailties are solved for in turn, from where they were."""

    HOPE: Final = 1.64
    """Standard errors from an estimate to what it may be at best: right in 19 of 20 cases."""

    TINY: Final = 1e-9
    """Least exposure that is divided by."""

    def __init__(self) -> None:
        self._tried: Floats = np.zeros((CLASSES, MAX_DEPTH))
        self._accepted: Floats = np.zeros((CLASSES, MAX_DEPTH))
        self._exposed: Floats = np.zeros((CLASSES, MAX_DEPTH))
        self._usual = (0.0, 0.0)  # first positions tried and accepted, long memory
        self._frailty: Floats = np.ones((CLASSES, 1))
        self.frailties = FrailtyEstimator()
        self._new: list[Verified] = []
        self._solve()

    def add(self, new: Verified) -> None:
        """Take what one interval verified. Estimates stay as they are until ``refresh``."""
        self._new.append(new)

    def refresh(self) -> None:
        """Bring the estimates up to date with what was added.

        An interval in which nothing was drafted makes what is known older, too: otherwise a depth
        of 0, once chosen for traffic that is hard, would be kept by what that traffic had told.
        What is known then drifts to what is usual, and hope grows.
        """
        news, self._new = self._new, []
        for new in news:
            tried, accepted = new.table()
            weight = self._kept(tried[:, :1].astype(np.float64))
            self._tried = self._tried * weight + tried
            self._accepted = self._accepted * weight + accepted
            self._exposed = self._exposed * weight + new.exposure()
            self.frailties.add(new, tried[:, 0], self.MEMORY)
            if first := int(tried[:, 0].sum()):
                memory, kept = self.USUAL_MEMORY, self._usual
                self._usual = (
                    kept[0] * memory + first,
                    kept[1] * memory + int(accepted[:, 0].sum()),
                )
        if news:
            self._solve()

    @property
    def first(self) -> Floats:
        """P(position 1 accepted) by class, shape (CLASSES,)."""
        return self.acceptance[:, 0]

    def survival(self, slots: Sequence[int], frailties: Sequence[float]) -> Floats:
        """P(positions 1..j all accepted) of some requests, shape (n, MAX_DEPTH).

        Args:
            slots: their classes.
            frailties: multipliers on their classes' hazards.
        """
        return self._alive(self._tables[0, slots], frailties)

    def hope(self, slots: Sequence[int], frailties: Sequence[float]) -> Floats:
        """What their survival may be at best, shape (n, MAX_DEPTH); arguments as ``survival``.

        Only what was verified of the very class and position counts: what is told by those nearby
        is where the estimate comes from, but no reason not to look.
        """
        hope: Floats = self.outlook(slots, frailties)[1]
        return hope

    def outlook(self, slots: Sequence[int], frailties: Sequence[float]) -> Floats:
        """``survival`` and ``hope`` at the price of one: shape (2, n, MAX_DEPTH)."""
        return self._alive(self._tables[:, slots], frailties)

    @property
    def tables(self) -> Floats:
        """Hazards of requests of frailty 1, and what they are at best; (2, CLASSES, MAX_DEPTH)."""
        return self._tables

    def _kept(self, drafts: Floats) -> Floats | float:
        """Weight of the past beside an interval's drafts by class, shape (CLASSES, 1)."""
        del drafts
        return self.MEMORY

    def _alive(self, hazards: Floats, frailties: Sequence[float]) -> Floats:
        """Survival under hazards of shape (..., n, MAX_DEPTH) of frailty 1; of the same shape."""
        alive = hazards * np.array(frailties)[:, None]
        np.minimum(alive, 1.0, out=alive)
        np.subtract(1.0, alive, out=alive)
        survival: Floats = alive.cumprod(axis=-1)
        return survival

    def predict(self, slot: int, frailty: float, positions: int) -> list[float]:
        """The same of one request up to a position, in plain floats."""
        alive, out = 1.0, []
        for hazard in self._rows[slot][:positions]:
            alive *= 1.0 - min(1.0, hazard * frailty)
            out.append(alive)
        return out

    def variance(self) -> Floats:
        """Variance of ``acceptance``'s posterior, shape (CLASSES, MAX_DEPTH).

        That of the Beta posterior, and what is passed on from its prior's own uncertainty.
        """
        before, behind = 0.0, np.empty(MAX_DEPTH)
        exposure = self._exposure()
        for j in range(MAX_DEPTH):
            before = behind[j] = float(self._spread(self._hazard[j], exposure[j], before))
        rate = FRAILTY_PRIOR + (self._tried * self._hazard).sum(1, keepdims=True)
        prior = self._frailty**2 * behind + self._hazard**2 * self._frailty / rate
        return self._spread(self.acceptance, self._tried, prior)

    def interval(self, level: float = 0.9) -> Interval:
        """Bounds of ``acceptance``, each of shape (CLASSES, MAX_DEPTH).

        Decayed counts allow for acceptance that slowly moves: where it has long stood still, the
        bounds are wider than they need be; where it jumps, they lag.

        Args:
            level: probability that a bound pair holds the truth, in (0, 1).

        Raises:
            ValueError: if the level is not one.
        """
        return _interval(self.acceptance, self.variance(), level)

    def survival_interval(self, level: float = 0.9) -> Interval:
        """Bounds of the survival over a class's requests together; otherwise as ``interval``."""
        # Positions are taken as independent given the counts, so second moments multiply.
        squares = (self.variance() + self.acceptance**2).cumprod(1)
        survival = self.acceptance.cumprod(1)
        return _interval(survival, squares - survival**2, level)

    def _spread(self, mean: Floats | float, tried: Floats | float, prior: Floats | float) -> Floats:
        """Variance of a Beta posterior whose prior's mean has a variance of its own."""
        weight = self.PRIOR + np.asarray(tried)
        passed = np.asarray(prior) * (self.PRIOR / weight) ** 2
        most = np.asarray(mean) * (1.0 - np.asarray(mean))
        passed = np.minimum(passed, most)
        spread: Floats = passed + (most - passed) / (weight + 1.0)
        return spread

    def _solve(self) -> None:
        """The estimates from the counts."""
        tried, accepted = self._tried, self._accepted
        rejected = tried - accepted
        self.position: Floats = 1.0 - self._chain(rejected.sum(0), tried.sum(0))
        for _ in range(self.ROUNDS):
            self._hazard = self._chain(rejected.sum(0), self._exposure())
            expected = (tried * self._hazard).sum(1, keepdims=True)
            self._frailty = (FRAILTY_PRIOR + rejected.sum(1, keepdims=True)) / (
                FRAILTY_PRIOR + expected
            )
        behind = self._behind()
        prior = 1.0 - behind
        self.acceptance: Floats = (accepted + self.PRIOR * prior) / (tried + self.PRIOR)
        self.later: Floats = (accepted[:, 1:].sum(1) + self.PRIOR * prior[:, 1:].mean(1)) / (
            tried[:, 1:].sum(1) + self.PRIOR
        )
        # A class's deep positions are tried by its easier requests, so its hazards of frailty 1
        # are, as those behind the classes, Breslow's: rejections over the frailties of who tried.
        hazards = (rejected + self.PRIOR * behind) / (self._exposed + self.PRIOR)
        self._hazards: Floats = np.minimum(hazards, 1.0)
        # Of the Beta posterior by itself.
        error = np.sqrt(self._hazards * (1.0 - self._hazards) / (tried + self.PRIOR + 1.0))
        hopeful = np.maximum(self._hazards - self.HOPE * error, 0.0)
        self._tables: Floats = np.array((self._hazards, hopeful))
        self._rows: list[list[float]] = self._hazards.tolist()
        self.expected: list[list[float]] = [[0.0, *row] for row in self._hazards.cumsum(1).tolist()]
        self.frailties.solve(tried[:, 0])

    def _behind(self) -> Floats:
        """Hazards that those of classes are pulled to, shape (CLASSES, MAX_DEPTH)."""
        behind: Floats = np.minimum(self._frailty * self._hazard, 1.0)
        return behind

    def _exposure(self) -> Floats:
        """Positions tried, each as many times as its class is frail; shape (MAX_DEPTH,).

        Deep positions are tried by those that survive: without this their hazards would be those
        of the easiest class, and a hard one would seem easy wherever it was never tried. Rejections
        over this exposure are Breslow's estimate of the hazards behind all classes (Breslow 1972).
        At the first position, which all try, the exposure is the count.
        """
        exposure = (self._tried * self._frailty).sum(0)
        first: Floats = exposure * (self._tried[:, 0].sum() / max(exposure[0], self.TINY))
        return first

    def _chain(self, rejected: Floats, exposure: Floats) -> Floats:
        """Hazards by position, each pulled to the one before it; shape (MAX_DEPTH,)."""
        tried, accepted = self._usual
        usual = (accepted + self.USUAL_PRIOR * self.START) / (tried + self.USUAL_PRIOR)
        before, out = 1.0 - usual, []
        for r, n in zip(rejected.tolist(), exposure.tolist(), strict=True):
            before = min((r + self.PRIOR * before) / (n + self.PRIOR), 1.0)
            out.append(before)
        return np.array(out)


def _interval(mean: Floats, variance: Floats, level: float) -> Interval:
    """Normal bounds, cut to [0, 1].

    With the prior's counts in the mean they are about as good as exact ones (Agresti and Coull
    1998, The American Statistician 52), and need no inverse of the incomplete beta function.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level of an interval must be in (0, 1), not {level}")
    half = NormalDist().inv_cdf(0.5 + 0.5 * level) * np.sqrt(np.maximum(variance, 0.0))
    return np.maximum(mean - half, 0.0), np.minimum(mean + half, 1.0)
