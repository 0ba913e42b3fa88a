"""Policies that predict tokens per second from acceptance and step times."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Final

import numpy as np
from msgspec import Meta

from ..policy import Choice, Integers
from ..spaces import MAX_DEPTH, Array
from ..transition import ACCEPTED, COLUMN, TRIED, Floats
from .base import CataloguePolicy
from .objective import ACCEPTANCE, first_peak, worth
from .options import OfObjective, Options

STEPS_PER_DECISION: Final = 8
"""Engine steps that a decision holds for, unless it is cut short."""

_POSITIONS: Final = np.arange(1.0, MAX_DEPTH + 1.0)


class GoodputOptions(Options, frozen=True):
    """Options of ``goodput``."""

    objective: OfObjective = "throughput"
    keep: Annotated[
        float,
        Meta(ge=0, lt=1, description="a number in [0, 1): weight of past acceptance per step"),
    ] = 0.85
    start: Annotated[
        float, Meta(ge=0, le=1, description="a number in [0, 1]: acceptance before any is measured")
    ] = 0.7
    every: Annotated[
        int, Meta(ge=1, description="a whole number from 1: engine steps between searches")
    ] = 20
    bonus: Annotated[
        float, Meta(gt=0, description="a number above 0: what depth 0 is multiplied by")
    ] = 1.1


class Goodput(CataloguePolicy):
    """SmartSpec and TurboSpec (Liu et al. 2024, arXiv 2406.14066).

    One acceptance rate alpha, a moving average over engine steps; depth k yields
    (1 - alpha^(k+1)) / (1 - alpha) tokens per request, divided by the predicted step time. The
    depth is searched for every 20 steps from 0 upwards and the search stops at the first decline;
    depth 0 counts for 1.1 times what it yields, so that it is not left for little. Here an
    interval's acceptance enters with the weight of its steps, and steps are counted as 8 to a
    decision.
    """

    name = "goodput"
    about = "most tokens per second by a moving acceptance rate (SmartSpec, TurboSpec)"
    kind: ClassVar[type[Options]] = GoodputOptions
    options: GoodputOptions

    def _prepare(self) -> None:
        self.alpha: Floats = np.full(self.engines, self.options.start)
        self._depth: Integers = np.zeros(self.engines, np.int64)
        self._age: Integers = np.full(self.engines, self.options.every)

    def act(self, raw: Array) -> Choice:
        """Keep the depth, or search anew where that is due."""
        due = self._age >= self.options.every
        if due.any():
            survival = self.alpha[:, None] ** _POSITIONS
            goodput = worth(self.structure, raw, survival, self.options.objective)
            goodput[:, 0] *= self.options.bonus
            self._depth[due] = first_peak(goodput)[due]
            self._age[due] = 0
        self._age += STEPS_PER_DECISION
        return Choice.certain(self._depth)

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:  # noqa: ARG002
        """Follow the acceptance rate."""
        tried = outcomes[:, TRIED].sum(axis=1)
        rate = outcomes[:, ACCEPTED].sum(axis=1) / np.maximum(tried, 1.0)
        kept = np.where(tried > 0, self.options.keep ** outcomes[:, COLUMN["steps"]], 1.0)
        self.alpha += (1.0 - kept) * (rate - self.alpha)


class AdaSpecOptions(Options, frozen=True):
    """Options of ``adaspec``."""

    objective: OfObjective = "throughput"
    slo_ms: Annotated[
        float,
        Meta(ge=0, description="a number from 0: most milliseconds per engine step; 0 for any"),
    ] = 0.0


class AdaSpec(CataloguePolicy):
    """AdaSpec's efficiency rule (2025, arXiv 2503.05096).

    Efficiency is predicted tokens A = 1 + sum over j of the product of q_1..q_j, over predicted
    time; drafting goes on while it rises and the step keeps within the objective. Its q are the
    drafter's confidences in the very tokens that it drafts, and its stop is per token. A
    scheduler sees neither, so here q_j is the recent acceptance of position j, and the stop is
    decided once per interval. In verification q is a request's own expected acceptance. The
    simulator's planner ``adaspec`` has confidences, and stops token by token.
    """

    name = "adaspec"
    about = "draft while tokens over step time rise, within a step-time objective (AdaSpec)"
    kind: ClassVar[type[Options]] = AdaSpecOptions
    options: AdaSpecOptions

    def act(self, raw: Array) -> Choice:
        """Choose the first depth after which efficiency falls, or the objective is missed."""
        survival = np.cumprod(raw[:, ACCEPTANCE], axis=1)
        efficiency = worth(self.structure, raw, survival, self.options.objective)
        if self.options.slo_ms:
            seconds = self.structure.decode_seconds(raw)
            efficiency[seconds > 1e-3 * self.options.slo_ms] = 0.0
        return Choice.certain(first_peak(efficiency))

    def verify(
        self, survival: Floats, depth: int, seconds: Floats, factors: Floats
    ) -> Integers | None:
        """Leave the least confident requests without drafts, where that is more efficient."""
        from ..adaspec import verify  # compiled, and numba with it: only where it is used

        limit = 1e-3 * self.options.slo_ms or math.inf
        lengths = np.empty(len(survival), np.int64)
        verify(survival, depth, seconds, float(factors[depth]), limit, lengths)
        return lengths
