"""How long an engine's steps take, with what drafts in them told apart.

vLLM's draft model runs inside of a step, at times that nobody outside can take; its passes are told
with the step, and what one takes is learned by regression, as for depth (``StepTimeModel``). Other
drafters say themselves how long they took. That is taken off the step, and learned per drafter: a
line over the requests that it drafted for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..policies.prices import Prices
from ..policies.spaces import MAX_DEPTH
from ..policies.step_time import PRIOR, StepTimeModel
from ..policies.structure import Structure
from ..policies.transition import Floats
from .drafters.catalogue import runs_model
from .drafters.exchange import Costs
from .flight import Flight
from .hybrid_steps import HybridSteps, is_hybrids

STEPS: Final = 8
"""Steps of one kind that one row of the regression is the mean of, at most."""

_FORGETTING: Final = 0.998  # per row
_LINE_FORGETTING: Final = 0.98  # per proposal
_LINE_PRIOR: Final = 0.05  # of a proposal, as which no time per request weighs
_INSTANT: Final = 1e-6  # seconds that are divided by
_LONGEST: Final = 1.0  # second that a step is taken to last at most


class DrafterTimes:
    """Step times of one engine that offers several drafters.

    Args:
        k_max: greatest depth.
        prior: seconds per feature of a step before anything was measured, shape (7,).

    Attributes:
        hybrid: what steps of the hybrid's are like.
    """

    def __init__(self, k_max: int, prior: npt.ArrayLike = PRIOR) -> None:
        self._k_max = k_max
        self._model = StepTimeModel(_FORGETTING, prior)
        self._lines: dict[str, _Line] = {}
        self._sums = _Sums()
        self._rows: list[_Sums] = []
        self._structure: Structure | None = None
        self.hybrid = HybridSteps(k_max)

    def landed(self, flight: Flight, seconds: float) -> None:
        """A step's outcome is known; steps of prompts alone are no matter.

        Args:
            flight: the step, with what its drafters told.
            seconds: that it took.
        """
        for name, (requests, spent) in flight.spent.items():
            line = self._lines.get(name)
            if line is None:
                line = self._lines[name] = _Line()
            line.add(requests, spent)
        if not flight.requests or not 0.0 < seconds < _LONGEST:
            return
        passes = flight.made
        own = max(seconds - sum(spent for _, spent in flight.spent.values()), 1e-5)
        if is_hybrids(flight):
            beyond = own - self._expected(flight, passes)
            self.hybrid.add(len(flight.requests), passes, flight.read, beyond, *self._reading())
            own = max(own - self.hybrid.token * flight.read, 1e-5)
        sums = self._sums
        if sums.steps and (sums.passes != passes or sums.steps >= STEPS):
            self._rows.append(sums)
            sums = self._sums = _Sums()
        sums.add(flight, passes, own)

    def settle(self) -> None:
        """Learn from the steps that landed since this was last called."""
        rows, self._rows = self._rows, []
        if rows:
            features = np.array([row.features() for row in rows])
            self._model.update_many(features, np.array([row.seconds / row.steps for row in rows]))
            self._structure = None

    def structure(self, prices: Prices) -> Structure:
        """Step times as ``Structure`` has them; its depth is passes of vLLM's draft model."""
        if self._structure is None or self._structure.prices != prices:
            model = self._model
            self._structure = Structure(self._k_max, model.coefficients, prices, model.grid)
        return self._structure

    def spent(self, drafter: str) -> tuple[float, float]:
        """Seconds per step that one of flyball's drafters takes, and per request."""
        line = self._lines.get(drafter)
        return (0.0, 0.0) if line is None else line.solve()

    def costs(self, requests: int, context: float, prices: Prices) -> Costs:
        """What drafting and verifying add to a step, over one without.

        Args:
            requests: that decode in it, at least 1.
            context: mean cached tokens of one.
            prices: what things cost.
        """
        step = self.structure(prices).step_costs(requests, context)
        beside = self.hybrid.run(requests)
        passes = (step.passes + beside * (step.passes > 0.0)) / step.base
        return Costs(passes, step.position / step.base, self.hybrid.token / step.base)

    def used(self, drafter: str) -> bool:
        """Whether it was used often enough to say what it takes; vLLM's own is held to be."""
        line = self._lines.get(drafter)
        return runs_model(drafter) or (line is not None and line.settled)

    def _expected(self, flight: Flight, passes: int) -> float:
        """Seconds of a step, by the model."""
        step = _Sums()
        step.add(flight, passes, 0.0)
        return float(self._model.coefficients @ np.array(step.features()))

    def _reading(self) -> tuple[float, float]:
        """Seconds per prompt token: the target's, and the draft model's by how quick it is else."""
        one, _, pass_, _, prompt, *_ = self._model.coefficients.tolist()
        return prompt, prompt * pass_ / max(one + pass_, _INSTANT)

    @property
    def known(self) -> bool:
        """Whether any step has been learned from."""
        return self._model.count > 0


@dataclass(slots=True)
class _Sums:
    """Sums over some steps with as many passes of the draft model."""

    passes: int = 0
    steps: int = 0
    requests: int = 0
    drafts: int = 0
    prefill: int = 0
    context: int = 0
    seconds: float = 0.0

    def add(self, flight: Flight, passes: int, seconds: float) -> None:
        decoding = len(flight.requests)
        self.passes = min(passes, MAX_DEPTH)
        self.steps += 1
        self.requests += decoding
        self.drafts += flight.verified - decoding
        self.prefill += flight.prefill
        self.context += flight.context
        self.seconds += seconds

    def features(self) -> tuple[float, ...]:
        """Means per step, in the order of ``step_time.FEATURES``."""
        n = self.steps
        means = (self.drafts / n, self.prefill / n, self.context / n)
        return (1.0, self.requests / n, self.passes, *means, self.passes * self.requests / n)


class _Line:
    """Seconds of a proposal over its requests: a line, neither part below zero."""

    def __init__(self) -> None:
        self._sums: Floats = np.zeros(5)  # of 1, x, x^2, y, x y

    def add(self, requests: int, seconds: float) -> None:
        if not math.isfinite(seconds):
            return
        if self.settled:
            # A pause of the machine's is none of the drafter's doing.
            fixed, each = self.solve()
            seconds = min(seconds, _PAUSE * (fixed + each * requests))
        x = float(requests)
        self._sums *= _LINE_FORGETTING
        self._sums += (1.0, x, x * x, seconds, x * seconds)

    @property
    def settled(self) -> bool:
        return bool(self._sums[0] > _SETTLED)

    def solve(self) -> tuple[float, float]:
        n, x, xx, y, xy = self._sums.tolist()
        spread = xx - x * x / n + _LINE_PRIOR * xx / n
        each = min(max((xy - x * y / n) / spread, 0.0), y / x)
        return max((y - each * x) / n, 0.0), each


_SETTLED: Final = 8.0  # proposals, decayed, after which one may count as a pause
_PAUSE: Final = 3.0
