"""How steps go in which suffix memory or draft model draft, whichever promises more."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..policies.structure import KNOTS, nearest
from ..policies.transition import Floats
from .drafters.catalogue import DRAFT, HYBRID
from .flight import Flight

_MOVE: Final = 0.2  # weight of one step in how many passes there are, and tokens read
_SLOW_MOVE: Final = 0.05  # and in seconds beyond those expected, which are mostly noise
_MOST: Final = 10e-3  # seconds beyond that count for one step, besides reading: the rest is a pause
_MEMORY: Final = 0.99  # weight of the past, per step with the model, in what reading takes
_PRIOR: Final = 4.0 * 200.0**2  # tokens squared that a guess of it weighs as much as


def is_hybrids(flight: Flight) -> bool:
    """Whether the draft model could be left out of a step, and was weighed."""
    drafters = {state.drafter for state in flight.requests.values()}
    return HYBRID in drafters and DRAFT not in drafters and flight.depth > 0


class HybridSteps:
    """By batch size: passes of the draft model, and seconds of a step with it beyond its passes.

    A model that runs now and then first reads what it has missed, and what the step verified and
    its prompts are: that is paid however few its passes are, by the token.

    Args:
        k_max: greatest depth.

    Attributes:
        token: seconds that the model takes to read a token.
    """

    def __init__(self, k_max: int) -> None:
        # At first as many as can be.
        self._passes = np.full(KNOTS, float(k_max))
        self._runs = np.ones(KNOTS)
        self._reads = np.zeros(KNOTS)
        self._beyond = np.zeros((2, KNOTS))  # without the model, with it, besides reading
        self._sums: Floats = np.zeros(5)  # of 1, x, x^2, y, x y: tokens read, seconds beyond
        self.token = 0.0

    def add(
        self, requests: int, passes: int, read: int, beyond: float, prompt: float, guess: float
    ) -> None:
        """One step.

        Args:
            requests: that decode in it.
            passes: of the draft model.
            read: tokens that it read before.
            beyond: seconds that it took, less those expected of a step with so many passes.
            prompt: seconds that a token of a prompt takes the target.
            guess: the same of the draft model, before it was measured.
        """
        at, ran = nearest(np.array(requests)), int(passes > 0)
        self._passes[at] += _MOVE * (passes - self._passes[at])
        self._runs[at] += _MOVE * (ran - self._runs[at])
        self._reads[at] += _MOVE * (read - self._reads[at])
        beyond = min(max(beyond, -_MOST), _MOST + prompt * read)
        if ran:
            self._sums *= _MEMORY
            self._sums += (1.0, read, read * read, beyond, read * beyond)
        n, x, xx, y, xy = self._sums.tolist()
        spread, product = (xx - x * x / n, xy - x * y / n) if n else (0.0, 0.0)
        slope = (product + _PRIOR * guess) / (spread + _PRIOR)
        self.token = min(max(slope, 0.0), prompt)
        left = beyond - self.token * read - self._beyond[ran, at]
        self._beyond[ran, at] += _SLOW_MOVE * min(max(left, -_MOST), _MOST)

    def run(self, requests: int) -> float:
        """Seconds that a step takes longer if the model runs, beside reading and its passes."""
        without, ran = self._beyond[:, nearest(np.array(requests))].tolist()
        return float(max(ran - without, 0.0))

    def usual(self, requests: int) -> tuple[float, float]:
        """Passes per step on average, and seconds beside them."""
        at = nearest(np.array(requests))
        beside = self._runs[at] * self.run(requests) + self.token * self._reads[at]
        return float(self._passes[at]), float(beside)
