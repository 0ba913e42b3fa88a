"""How steps go in which suffix memory or draft model draft, whichever promises more."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..policies.structure import KNOTS, nearest
from .drafters.catalogue import DRAFT, HYBRID
from .flight import Flight

_MOVE: Final = 0.2  # weight of one step in how many passes there are
_SLOW_MOVE: Final = 0.05  # and in seconds beyond those expected, which are mostly noise
_MOST: Final = 10e-3  # seconds beyond that count for one step: the rest is a pause


def is_hybrids(flight: Flight) -> bool:
    """Whether the draft model could be left out of a step, and was weighed."""
    drafters = {state.drafter for state in flight.requests.values()}
    return HYBRID in drafters and DRAFT not in drafters and flight.depth > 0


class HybridSteps:
    """By batch size: passes of the draft model, and seconds of a step with it beyond its passes.

    A model that runs now and then first reads what it has missed, and what the step verified: that
    is paid however few its passes are.

    Args:
        k_max: greatest depth.
    """

    def __init__(self, k_max: int) -> None:
        # At first as many as can be.
        self._passes = np.full(KNOTS, float(k_max))
        self._runs = np.ones(KNOTS)
        self._beyond = np.zeros((2, KNOTS))  # without the model, with it

    def add(self, requests: int, passes: int, beyond: float) -> None:
        """One step.

        Args:
            requests: that decode in it.
            passes: of the draft model.
            beyond: seconds that it took, less those expected of a step with so many passes.
        """
        at, ran = nearest(np.array(requests)), int(passes > 0)
        self._passes[at] += _MOVE * (passes - self._passes[at])
        self._runs[at] += _MOVE * (ran - self._runs[at])
        beyond = min(max(beyond, -_MOST), _MOST)
        self._beyond[ran, at] += _SLOW_MOVE * (beyond - self._beyond[ran, at])

    def run(self, requests: int) -> float:
        """Seconds that a step takes longer if the model runs, beside what its passes take."""
        without, ran = self._beyond[:, nearest(np.array(requests))].tolist()
        return float(max(ran - without, 0.0))

    def usual(self, requests: int) -> tuple[float, float]:
        """Passes per step on average, and seconds beside them."""
        at = nearest(np.array(requests))
        return float(self._passes[at]), float(self._runs[at]) * self.run(requests)
