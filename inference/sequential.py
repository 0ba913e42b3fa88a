"""Comparing two arms while they run: evidence that may be looked at after every observation.

All of it is plain floats and takes the same time however much was seen.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Final

CLIP: Final = 0.5
"""A relative loss is winsorised to [-this, this]: an interval that the machine spoiled (a stall of
seconds) says no more than one that was half as dear again."""

_BETS: Final = (0.15 / CLIP, 0.45 / CLIP, 0.9 / CLIP)
"""Stakes per unit of gain. Below 1 / CLIP, so that the wealth stays above nought."""

_BLOCK: Final = 64  # observations between two restarts


class SequentialTest:
    """A test by betting, valid at every moment, that a mean gain is above nought.

    A bettor who starts with 1 stakes on every gain; if no gain has a positive mean given the past,
    the wealth is a supermartingale, so the chance that it *ever* reaches 1 / level is at most the
    level (Ville's inequality; Waudby-Smith & Ramdas 2023, "Estimating means of bounded random
    variables by betting"). The stakes are a mixture of three fixed ones. As the arms may become
    different only later, when the wealth would be long gone, the starting capital is spread over
    restarts: a half now, a sixth after 64 observations, 1 / (j (j + 1)) after j times as many,
    which sums to 1 (the idea of e-detectors, Shin, Ramdas & Rinaldo 2022). What a late change
    costs is a logarithm.

    Args:
        level: chance of a false alarm, ever.
    """

    def __init__(self, level: float) -> None:
        self.bar = 1.0 / level
        self._purses = [0.0] * len(_BETS)
        self._count = 0
        self._allowance()

    @property
    def wealth(self) -> float:
        """The evidence: 1 / level or more is an alarm. An e-value."""
        return sum(self._purses)

    @property
    def alarm(self) -> bool:
        """Whether the gains' mean is above nought, beyond noise."""
        return self.wealth >= self.bar

    def add(self, gain: float) -> None:
        """One observation, in [-CLIP, CLIP]; its bound must not depend on what comes."""
        self._purses = [w * (1.0 + b * gain) for w, b in zip(self._purses, _BETS, strict=True)]
        self._count += 1
        if self._count % _BLOCK == 0:
            self._allowance()

    def _allowance(self) -> None:
        j = self._count // _BLOCK + 1
        share = 1.0 / (j * (j + 1)) / len(_BETS)
        self._purses = [wealth + share for wealth in self._purses]


class RatioSums:
    """A ratio of sums, sum x / sum y, of the recent past, and how sure it is.

    Args:
        memory: weight of the past per observation or ``fade``.
    """

    __slots__ = ("_memory", "_x", "_xx", "_xy", "_y", "_yy", "count", "total")

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self.count = 0.0  # decayed number of observations
        self.total = 0  # observations ever
        self._x = self._y = self._xx = self._xy = self._yy = 0.0

    def fade(self) -> None:
        """Let the past count for less."""
        m = self._memory
        self.count *= m
        self._x *= m
        self._y *= m
        self._xx *= m
        self._xy *= m
        self._yy *= m

    def add(self, x: float, y: float, fades: bool = True) -> None:
        """One observation."""
        if fades:
            self.fade()
        self.count += 1.0
        self.total += 1
        self._x += x
        self._y += y
        self._xx += x * x
        self._xy += x * y
        self._yy += y * y

    @property
    def ratio(self) -> float:
        """Sum x / sum y; infinite before anything was seen."""
        return self._x / self._y if self._y > 0.0 else inf

    @property
    def mean_y(self) -> float:
        """Mean of y."""
        return self._y / self.count if self.count else 0.0

    @property
    def error(self) -> float:
        """Standard error of the ratio, by linearisation; infinite below 2 observations."""
        if self.count < 2.0 or self._y <= 0.0:
            return inf
        ratio = self.ratio
        rest = self._xx - 2.0 * ratio * self._xy + ratio * ratio * self._yy
        return sqrt(max(rest, 0.0) * self.count / (self.count - 1.0)) / self._y


def compare(one: RatioSums, other: RatioSums, z: float = 1.96) -> tuple[float, float, float] | None:
    """One ratio over another, with a normal interval: for people, not for decisions.

    Args:
        one: the numerator.
        other: the denominator.
        z: standard errors on either side.

    Returns:
        The quotient and the interval's ends; None while either is not known.
    """
    a, b, ea, eb = one.ratio, other.ratio, one.error, other.error
    if not (0.0 < a < inf and 0.0 < b < inf and ea < inf and eb < inf):
        return None
    quotient = a / b
    spread = z * quotient * sqrt((ea / a) ** 2 + (eb / b) ** 2)
    return quotient, max(quotient - spread, 0.0), quotient + spread
