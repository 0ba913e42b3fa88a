"""How likely drafts survive: an estimate by request class and position, and how sure it is.

Position j of a draft is tried when all before it were accepted. Its hazard is the probability that
it is then rejected; the survival of position j is that none of 1..j is. The table of hazards is
one drafter's: an engine has one drafter, so it has one estimator.

On top of its class's table, a request has a frailty, a multiplier on its hazards that is learned
from its own history (the gamma frailty of survival analysis: Vaupel, Manton and Stallard 1979,
Demography 16), so that requests are told apart that say nothing of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from .spaces import CLASSES, MAX_DEPTH
from .transition import Floats

Interval = tuple[Floats, Floats]
"""Lower and upper bounds, of one shape."""

FRAILTY_PRIOR: Final = 2.0
"""Strength of a frailty's prior: as much as a history with this many rejections expected.

Of 0.5 to 8, 2 predicted the embedded models' own drafts best (Brier score, held-out prompts)."""

_WIDTH: Final = MAX_DEPTH + 1


class Verified:
    """Counts of verification, by class and position; counting one is a matter of two additions."""

    __slots__ = ("_accepted", "_tried")

    def __init__(self) -> None:
        # Verifications by class and by how far they got, 0..MAX_DEPTH.
        self._tried = [0] * (CLASSES * _WIDTH)
        self._accepted = [0] * (CLASSES * _WIDTH)

    def add(self, slot: int, tried: int, accepted: int) -> None:
        """One request's drafts: its class, the positions tried and those accepted."""
        self._tried[slot * _WIDTH + tried] += 1
        self._accepted[slot * _WIDTH + accepted] += 1

    def table(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions tried and accepted, each of shape (CLASSES, MAX_DEPTH)."""
        return _reached(self._tried), _reached(self._accepted)

    def positions(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions tried and accepted, of all classes together, each MAX_DEPTH long."""
        tried, accepted = self.table()
        return tuple(tried.sum(0).tolist()), tuple(accepted.sum(0).tolist())


def _reached(ends: list[int]) -> npt.NDArray[np.int64]:
    """How many got to each position or beyond, from how many ended at each."""
    table = np.array(ends, np.int64).reshape(CLASSES, _WIDTH)
    return table[:, :0:-1].cumsum(1)[:, ::-1]


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
        expected: rejections expected of the first t positions tried, as ``expected[slot][t]``, in
            plain floats for the hot path.
    """

    MEMORY: Final = 0.97
    """Weight of the past, per interval in which something was verified."""

    PRIOR: Final = 4.0
    """Strength of an estimate's prior: as much as this many positions tried."""

    START: Final = 0.7
    """Acceptance before anything was verified."""

    ROUNDS: Final = 2
    """Times that hazards and classes' frailties are solved for in turn, from where they were."""

    TINY: Final = 1e-9
    """Least exposure that is divided by."""

    def __init__(self) -> None:
        self._tried: Floats = np.zeros((CLASSES, MAX_DEPTH))
        self._accepted: Floats = np.zeros((CLASSES, MAX_DEPTH))
        self._frailty: Floats = np.ones((CLASSES, 1))
        self._new: list[Verified] = []
        self._solve()

    def add(self, new: Verified) -> None:
        """Take what one interval verified. Estimates stay as they are until ``refresh``."""
        self._new.append(new)

    def refresh(self) -> None:
        """Bring the estimates up to date with what was added."""
        news, self._new = self._new, []
        tables = [tried_accepted for new in news if (tried_accepted := new.table())[0].any()]
        for tried, accepted in tables:
            self._tried = self._tried * self.MEMORY + tried
            self._accepted = self._accepted * self.MEMORY + accepted
        if tables:
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
        hazards = self._hazards[np.asarray(slots, np.intp)] * np.asarray(frailties)[:, None]
        np.minimum(hazards, 1.0, out=hazards)
        survival: Floats = np.cumprod(1.0 - hazards, axis=1)
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
        """Bounds of the survival of a request of frailty 1; otherwise as ``interval``."""
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
        prior = 1.0 - np.minimum(self._frailty * self._hazard, 1.0)
        self.acceptance: Floats = (accepted + self.PRIOR * prior) / (tried + self.PRIOR)
        self.later: Floats = (accepted[:, 1:].sum(1) + self.PRIOR * prior[:, 1:].mean(1)) / (
            tried[:, 1:].sum(1) + self.PRIOR
        )
        self._hazards = 1.0 - self.acceptance
        self._rows: list[list[float]] = self._hazards.tolist()
        self.expected: list[list[float]] = [[0.0, *row] for row in self._hazards.cumsum(1).tolist()]

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
        before, out = 1.0 - self.START, []
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
