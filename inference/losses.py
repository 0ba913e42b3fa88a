"""What an interval cost, as the engine itself measured it: the loss that the guard compares.

The loss is J = speed x latency + (1 - speed) x cost, both over what no speculation would have given
in the same state. That state is the one *at the decision*, and what no speculation would have
given is a function of it and of the past alone, so that every arm is divided by the same number.
Nothing here is taken from a snapshot but the prices, which like the speed say what is wanted.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from ..policies.prices import Prices
from ..policies.transition import Outcome

_MEMORY: Final = 0.98  # per interval of a bucket
_SLOPE: Final = 0.05  # what a position adds to a step, over the step, before it was measured
_PRIOR: Final = 4.0  # intervals that this counts for
_FEWEST: Final = 2  # intervals in a bucket before it says anything
_SPOILED: Final = 3.0  # a step this many times as long as the mean counts as just that
_BUCKETS: Final = 10  # by powers of two: 1, 2-3, 4-7, ...


class OffTimes:
    """Seconds that a step takes without speculation, by bucket of batch sizes, measured here.

    Per bucket a decayed regression of seconds per step on the depth, its slope held to a prior
    where only one depth was run. Depth 0 is read off it.
    """

    def __init__(self) -> None:
        self._buckets = [_Line() for _ in range(_BUCKETS)]

    def add(self, batch: float, depth: int, seconds: float) -> None:
        """One interval: the batch when it was decided, its depth, its seconds per step."""
        self._buckets[bucket(batch)].add(depth, seconds)

    def seconds(self, batch: float) -> float | None:
        """Seconds of a step at depth 0; None while nothing is known of such batches."""
        return self._buckets[bucket(batch)].at_zero()


def bucket(batch: float) -> int:
    """The bucket of a batch size."""
    return min(max(int(batch), 1).bit_length() - 1, _BUCKETS - 1)


class _Line:
    """Decayed least squares of seconds on depth, in one variable."""

    __slots__ = ("_d", "_dd", "_dt", "_t", "_w", "count")

    def __init__(self) -> None:
        self.count = 0
        self._w = self._d = self._dd = self._t = self._dt = 0.0

    def add(self, depth: int, seconds: float) -> None:
        if self.count >= _FEWEST:
            seconds = min(seconds, _SPOILED * self._t / self._w)
        m = _MEMORY
        self._w = m * self._w + 1.0
        self._d = m * self._d + depth
        self._dd = m * self._dd + depth * depth
        self._t = m * self._t + seconds
        self._dt = m * self._dt + depth * seconds
        self.count += 1

    def at_zero(self) -> float | None:
        if self.count < _FEWEST:
            return None
        depth, mean = self._d / self._w, self._t / self._w
        if not 0.0 < mean < inf:
            return None
        spread = max(self._dd - depth * self._d, 0.0)
        slope = (self._dt - depth * self._t + _PRIOR * _SLOPE * mean) / (spread + _PRIOR)
        return min(max(mean - slope * depth, 0.2 * mean), mean)


class Yardstick(NamedTuple):
    """What an interval's loss will be measured by, fixed when it is decided.

    Attributes:
        latency: loss per request-second.
        dollar: loss per dollar.
        weight: of the interval's sums; one over the batch, so that an interval counts as much as
            each of its requests got, and a large batch does not drown a small one.
        prices: what things cost.
    """

    latency: float
    dollar: float
    weight: float
    prices: Prices

    def measure(self, outcome: Outcome) -> tuple[float, float]:
        """Loss and tokens of an interval: J is the ratio of their sums."""
        prices = self.prices
        dollars = (
            prices.verified * outcome.verified
            + prices.drafted * outcome.drafted
            + prices.second * outcome.seconds
        )
        loss = self.latency * outcome.request_seconds + self.dollar * dollars
        return self.weight * loss, self.weight * outcome.emitted


def yardstick(off: float, batch: float, speed: float, prices: Prices) -> Yardstick:
    """The yardstick of a state.

    Args:
        off: seconds of a step without speculation.
        batch: requests that decode.
        speed: the knob, in [0, 1].
        prices: what things cost.
    """
    batch = max(batch, 1.0)
    spent = prices.verified + prices.second * off / batch  # dollars per token at depth 0
    return Yardstick(speed / off, (1.0 - speed) / spent, 1.0 / batch, prices)
