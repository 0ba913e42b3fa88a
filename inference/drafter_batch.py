"""A batch of requests as ``policies.drafters`` takes it: what drafters yield for each, and take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..policies.drafters import Integers, choose
from ..policies.prices import Prices
from ..policies.transition import Floats
from .drafter_records import DrafterRecords
from .drafter_times import DrafterTimes
from .drafters.catalogue import DRAFT, HYBRID, NONE, SUFFIX, runs_model
from .drafters.pool import CHEAP
from .requests import RequestState

HORIZON: Final = 16.0
"""Steps over which the cost of a change of drafters is spread: for about as long the next choice
holds."""

_CHANGE: Final = 5.0
"""Passes that a change costs: vLLM's draft model reads what it missed, or reads on for a while."""

_LEAST: Final = 1e-6  # seconds of what is no look-up


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that ``choose`` is told of a batch, but for what is required."""

    gains: Floats
    hopes: Floats
    checked: Floats
    held: Integers
    speeds: Floats
    base: float
    position: float
    fixed: Floats
    each: Floats
    drafted: Floats
    prices: Floats
    depths: Integers
    in_force: int
    switch: float

    def choose(
        self, required: int, gains: Floats, fixed: Floats, each: Floats
    ) -> tuple[int, int, float, float, Integers]:
        """Depth, drafters used, cost per token, tokens per cost, and each request's drafter."""
        chosen = np.zeros(len(self.held), np.int64)
        found = choose(
            gains,
            self.checked,
            self.held,
            self.speeds,
            self.base,
            self.position,
            fixed,
            each,
            self.drafted,
            self.prices,
            self.depths,
            required,
            self.in_force,
            self.switch,
            chosen,
        )
        return (*found, chosen)

    def second(self) -> float:
        """What a second of a step costs, over a step without speculation."""
        speed = float(self.speeds.mean())
        return float(speed / self.base + (1.0 - speed) * self.prices[2] / self._spent())

    def least(self, rate: float) -> float:
        """Chance from which on a drafted token is worth verifying, at so many tokens per cost."""
        dollars = (1.0 - float(self.speeds.mean())) * float(self.prices[0]) / self._spent()
        return min(max(rate * (self.second() * self.position + dollars), _SURE[0]), _SURE[1])

    def _spent(self) -> float:
        """Dollars of a step without speculation."""
        return float(len(self.speeds) * self.prices[0] + self.prices[2] * self.base)


class Batches:
    """Makes them, for one engine.

    Args:
        names: of the drafters, ``none`` first.
        k_max: greatest depth.
        records: how they fare.
        times: how long they take.
    """

    def __init__(
        self, names: Sequence[str], k_max: int, records: DrafterRecords, times: DrafterTimes
    ) -> None:
        self._names, self._k_max = names, k_max
        self._records = records
        self._times = times
        self._every = np.arange(k_max + 1)

    def batch(
        self,
        states: Sequence[RequestState],
        depth: int | None,
        speed: float,
        prices: Prices,
        context: float,
        in_force: int,
    ) -> Batch:
        """A batch.

        Args:
            states: of its requests, at least one.
            depth: of all drafts; None for every one that there is.
            speed: the knob.
            prices: what things cost.
            context: mean cached tokens of a request.
            in_force: drafters, as bits, that now draft for anybody.
        """
        n, count, k_max = len(states), len(self._names), self._k_max
        gains, hopes, checked = np.zeros((3, n, count, k_max + 1))
        fixed, each, drafted = np.zeros((3, count, k_max + 1))
        costs = self._times.structure(prices).step_costs(n, context)
        passes = np.maximum(costs.passes, _LEAST)
        places = {name: d for d, name in enumerate(self._names)}
        held = [self._held(state, places) for state in states]
        for name, d in places.items():
            if name == NONE:
                continue
            record = self._records[name]
            histories = [state.likened(name) for state in states]
            survival = record.outlook(histories)[..., :k_max].cumsum(-1)
            gains[:, d, 1:], hopes[:, d, 1:] = survival
            lengths = record.lengths[[h.slot for h in histories], :k_max].cumsum(-1)
            checked[:, d, 1:] = np.maximum(lengths, survival[0])
            if runs_model(name):
                most, beside = self._times.hybrid.usual(n) if name == HYBRID else (k_max, 0.0)
                drafted[d] = np.minimum(self._every, most)
                fixed[d] = np.interp(drafted[d], self._every, passes) + beside
                each[d] = self._times.spent(SUFFIX)[1] if name == HYBRID else 0.0
            else:
                self._price(name, n, fixed[d], each[d], drafted[d])
            fixed[d, 0] = each[d, 0] = 0.0
        if HYBRID in places:  # which is the model, and more
            own = [i for i, d in enumerate(held) if d != places[DRAFT]]
            gains[own, places[DRAFT]] = hopes[own, places[DRAFT]] = 0.0
        return Batch(
            gains,
            hopes,
            checked,
            np.array(held, np.int64),
            np.array([speed if s.speed is None else s.speed for s in states]),
            costs.base,
            costs.position,
            fixed,
            each,
            drafted,
            np.array((prices.verified, prices.drafted, prices.second)),
            self._every if depth is None else np.array([depth]),
            in_force,
            _CHANGE * costs.one_pass / HORIZON,
        )

    def _held(self, state: RequestState, places: dict[str, int]) -> int:
        """The drafter that a request has in any case, or -1; one that was taken out drafts none."""
        if not state.wanted:
            return -1
        return 0 if self._records[state.wanted].state.out else places.get(state.wanted, -1)

    def _price(self, name: str, n: int, fixed: Floats, each: Floats, drafted: Floats) -> None:
        """What a drafter of flyball's takes, by depth; one that was taken out, far too much."""
        state = self._records[name].state
        per_step, per_request = self._times.spent(name)
        if not self._times.used(name):
            per_step, per_request = state.seconds, 0.0  # asked for one request at a time so far
        if state.out:
            each[:] = _NEVER
        elif per_step / n + per_request > CHEAP or not state.asked:
            fixed[:], each[:] = max(per_step, _LEAST), per_request
            drafted[:] = self._every
        else:
            each[:] = per_step / n + per_request


_NEVER: Final = 1e3  # seconds
_SURE: Final = (0.02, 0.9)  # chances that are asked for
