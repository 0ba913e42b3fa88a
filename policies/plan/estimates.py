"""Seconds and dollars of both agents' calls, by step, learned online from calls that ended.

Seconds are log-normal, as times of generations are: their spread is one number per agent, their
middle drifts with the step, since prompts and answers grow over a run. A call that was cancelled
after t seconds says that it would have taken longer: it counts as what a log-normal above t is
on average (one step of expectation-maximisation, Dempster et al. 1977), so that cancelling long
calls does not make calls look short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from ..transition import Floats
from .compiling import compiled
from .policy import CallKind, EndedCall

STEPS: Final = 16
"""Steps told apart by index; later ones count as the last of them."""

_MEMORY: Final = 0.998  # per call of an agent
_NEARBY: Final = 3.0  # calls that what is known of all steps weighs as much as, at one of them
_FIRST: Final = 2.0  # calls that what is assumed before any weighs as much as
_SECONDS: Final = {"A": 1.5, "T": 9.0}  # assumed before any call
_DOLLARS: Final = {"A": 2e-4, "T": 8e-4}
_SPREAD: Final = 0.5  # standard deviation of the logarithm of seconds, before any call
_AT_ONCE: Final = 0.5  # share of a call's dollars due when it starts, before any was cancelled
_TINY: Final = 1e-9


@compiled
def _upper(z: float) -> float:
    """P(a standard normal exceeds z)."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


@compiled
def remaining(middle: float, spread: float, elapsed: float) -> float:
    """Expected further seconds of a log-normal time that is longer than what has passed.

    Args:
        middle: mean of its logarithm.
        spread: standard deviation of its logarithm, above 0.
        elapsed: seconds that have passed.
    """
    mean = math.exp(middle + 0.5 * spread * spread)
    if elapsed <= 0.0:
        return mean
    z = (math.log(elapsed) - middle) / spread
    survived = _upper(z)
    if survived < 1e-12:
        # Far out the hazard of a log-normal is z / (spread x elapsed).
        return spread * elapsed / z
    return max(mean * _upper(z - spread) / survived - elapsed, 0.0)


@compiled
def _at(by_step: Floats, every: Floats, at: int, column: int) -> float:
    """A mean of one step's calls, drawn to that of all."""
    known = by_step[at, column] + _NEARBY * every[column] / every[0]
    mean: float = known / (by_step[at, 0] + _NEARBY)
    return mean


@compiled
def _means(steps: Floats, by_step: Floats, every: Floats, spread: float) -> tuple[float, float]:
    """As ``AgentCalls.means`` has it."""
    counted = steps.sum()
    if counted == 0.0:
        logs = every[1] / every[0]
        variance = max(every[2] / every[0] - logs**2, 0.0)
        return math.exp(logs + 0.5 * variance), every[3] / every[0]
    seconds = dollars = 0.0
    for i in range(len(steps)):
        share = steps[i] / counted
        seconds += share * math.exp(_at(by_step, every, i, 1) + 0.5 * spread**2)
        dollars += share * _at(by_step, every, i, 3)
    return seconds, dollars


class AgentCalls:
    """What the calls of one agent take.

    Args:
        kind: whose calls.
    """

    def __init__(self, kind: CallKind) -> None:
        log = math.log(_SECONDS[kind])
        first = [_FIRST, log, log * log + _SPREAD**2, _DOLLARS[kind]]
        # Of all steps: weight, then sums of log seconds, their squares and dollars.
        self.every: Floats = _FIRST * np.array([1.0, *first[1:]])
        self.by_step: Floats = np.zeros((STEPS, 4))
        # Of cancelled calls: products and squares that the share due at once follows from.
        self.cancelled: Floats = np.array([_AT_ONCE, 1.0])
        self._spread = math.nan  # not known yet

    def add(self, call: EndedCall) -> None:
        """Take a call that ended."""
        at = min(call.index, STEPS - 1)
        if call.done:
            log = math.log(max(call.seconds, 1e-3))
            self._count(at, log, log * log, call.dollars)
        elif call.seconds > 0.0:
            self._add_cancelled(at, call)

    def seconds(self, index: int) -> float:
        """Expected seconds of a call for a step."""
        return math.exp(self._mean(index, 1) + 0.5 * self.spread**2)

    def dollars(self, index: int) -> float:
        """Expected dollars of a call for a step that is not cancelled."""
        return self._mean(index, 3)

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of seconds, what steps explain left out."""
        if math.isnan(self._spread):
            self._spread = self._found_spread()
        return self._spread

    def changed(self) -> None:
        """Learn that the sums changed."""
        self._spread = math.nan

    def _found_spread(self) -> float:
        weight, logs, squares, _ = self.every
        steps = self.by_step[:, 0] > 0.0
        counts, sums = self.by_step[steps, 0], self.by_step[steps, 1]
        mean = logs / weight
        explained = float((counts * (sums / counts - mean) ** 2).sum()) / weight
        return math.sqrt(max(squares / weight - mean**2 - 0.5 * explained, 0.01))

    def means(self, steps: Floats) -> tuple[float, float]:
        """Expected seconds and dollars of a call.

        Args:
            steps: how often each step counts, shape (STEPS,); where none does, steps count as
                often as there were calls for them.
        """
        found: tuple[float, float] = _means(steps, self.by_step, self.every, self.spread)
        return found

    @property
    def at_once(self) -> float:
        """Share of a call's dollars that is due even if it is cancelled as it starts, in [0, 1].

        The rest grows with its time: prompts are charged in full, tokens as they are generated.
        """
        return min(max(float(self.cancelled[0] / self.cancelled[1]), 0.0), 1.0)

    def _mean(self, index: int, column: int) -> float:
        return float(_at(self.by_step, self.every, min(index, STEPS - 1), column))

    def _count(self, at: int, log: float, square: float, dollars: float) -> None:
        row = 1.0, log, square, dollars
        self.every *= _MEMORY
        self.by_step *= _MEMORY
        self.every += row
        self.by_step[at] += row
        self.changed()

    def _add_cancelled(self, at: int, call: EndedCall) -> None:
        whole, share = self.dollars(at), min(call.seconds / self.seconds(at), 1.0)
        if whole > _TINY:
            # dollars / whole = at_once + (1 - at_once) x share, by least squares.
            due = (call.dollars / whole - share) * (1.0 - share)
            self.cancelled *= _MEMORY
            self.cancelled += min(max(due, -1.0), 1.0), (1.0 - share) ** 2
        middle, spread = self._mean(at, 1), self.spread
        z = (math.log(call.seconds) - middle) / spread
        if z < -3.0:
            return  # it was cancelled so early that any call would have been running
        hazard = _hazard(z)
        log = middle + spread * hazard
        variance = spread**2 * max(1.0 + z * hazard - hazard**2, 0.0)
        self._count(at, log, log * log + variance, whole)


class CallEstimates:
    """What the calls of both agents take."""

    def __init__(self) -> None:
        self.a = AgentCalls("A")
        self.t = AgentCalls("T")
        self.steps: Floats = np.zeros(STEPS)  # that were settled, by index
        self._sequential: tuple[float, float] | None = None

    def ended(self, call: EndedCall) -> None:
        """Take a call that ended."""
        (self.a if call.kind == "A" else self.t).add(call)
        self._sequential = None

    def settled(self, index: int) -> None:
        """Take a step that was settled."""
        self.steps *= _MEMORY
        self.steps[min(index, STEPS - 1)] += 1.0
        self._sequential = None

    @property
    def sequential(self) -> tuple[float, float]:
        """Mean seconds and dollars of a step without running ahead.

        Over the steps that were settled, and not over the calls: what runs far ahead calls for
        late steps, which take longer, more often than any of them is reached.
        """
        if self._sequential is None:
            self._sequential = self.t.means(self.steps)
        return self._sequential

    def arrays(self) -> dict[str, Floats]:
        """What was learned, as named arrays."""
        return {name: own.copy() for name, own in self._arrays().items()}

    def load(self, arrays: Mapping[str, Floats]) -> None:
        """Carry on from ``arrays()``.

        Raises:
            ValueError: naming the array that is missing or does not fit.
        """
        mine = self._arrays()
        for key, own in mine.items():
            given = arrays.get(key)
            if given is None or given.shape != own.shape or not np.isfinite(given).all():
                raise ValueError(f"{key} must be finite numbers of shape {own.shape}")
        for key, own in mine.items():
            own[:] = arrays[key]
        for calls in (self.a, self.t):
            calls.changed()
        self._sequential = None

    def _arrays(self) -> dict[str, Floats]:
        """What was learned, by name; the arrays themselves."""
        parts = {
            f"{kind}/{name}": getattr(calls, name)
            for kind, calls in (("a", self.a), ("t", self.t))
            for name in _PARTS
        }
        return parts | {"steps": self.steps}


def _hazard(z: float) -> float:
    """Density over upper tail of a standard normal: its mean above z."""
    survived = _upper(z)
    if survived < 1e-12:
        return z + 1.0 / z
    return math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) / survived


_PARTS: Final = ("every", "by_step", "cancelled")
