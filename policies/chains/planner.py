"""Chooses chains as load and acceptance move, and changes them only where that pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Final

from ..spaces import MAX_DEPTH
from .acceptance import ChainAcceptance
from .load import ChainLoad, Family, Survivals
from .plan import NO_CHAIN, Plan
from .prediction import Prediction, predict
from .programme import Way, along, cheapest, runs

_MARGIN: Final = 0.03


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chain with its best windows, and what it is expected to cost."""

    plan: Plan
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Replanned:
    """What was planned, and why.

    Attributes:
        plan: to be run now.
        prediction: of it.
        best: the chain that would be best if changing cost nothing.
        saving: seconds per token of each request that changing to it would save.
        catch_up: seconds that changing to it would take once, for all requests together.
        reason: "same", "better" or "not worth changing".
    """

    plan: Plan
    prediction: Prediction
    best: Candidate
    saving: float
    catch_up: float
    reason: str


class ChainPlanner:
    """Plans the chain of one engine.

    The chain with the least seconds per token is taken up when what it saves, over the tokens that
    the running requests have yet to get, is more than the joining models need to catch up, and
    more than ``margin`` of the present chain's seconds: estimates move, and no chain is worth
    going back and forth for. The windows of the chain that stays are fitted anew at any time, which
    costs nothing.

    Args:
        family: the models, with their times and memory.
        memory: bytes that all models of a chain may take; None for any.
        margin: share of the seconds per token that a change must save.
        deepest: most tokens of a proposal, in [1, MAX_DEPTH].
        always: whether there is to be some chain, as whether to draft is another's say.

    Raises:
        ValueError: naming the argument that is out of range.
    """

    def __init__(
        self,
        family: Family,
        memory: int | None = None,
        margin: float = _MARGIN,
        deepest: int = MAX_DEPTH,
        always: bool = False,
    ) -> None:
        if not 0.0 <= margin < 1.0:
            raise ValueError(f"margin must be in [0, 1), not {margin}")
        if not 1 <= deepest <= MAX_DEPTH:
            raise ValueError(f"deepest must be in [1, {MAX_DEPTH}], not {deepest}")
        self.family = family
        self.margin = margin
        self.deepest = deepest
        self.always = always
        self.plan = NO_CHAIN
        self._affordable = _affordable(family, memory)

    def replan(self, load: ChainLoad, acceptance: ChainAcceptance) -> Replanned:
        """Plan anew.

        Args:
            load: the requests that are running.
            acceptance: what is known by now.
        """
        survivals = self._survivals(acceptance)
        best = self._best(load, survivals)
        now = self._candidate(self.plan.models, load, survivals)
        saving = now.prediction.per_token - best.prediction.per_token
        catch_up = self._catch_up(best.plan, load)
        if best.plan.models == now.plan.models:
            chosen, reason = best, "same"
        elif self.always and not now.plan.models:
            chosen, reason = best, "better"  # the first one: there is nothing to change from
        elif self._pays(saving, catch_up, now.prediction, load):
            chosen, reason = best, "better"
        else:
            chosen, reason = now, "not worth changing"
        self.plan = chosen.plan
        return Replanned(chosen.plan, chosen.prediction, best, saving, catch_up, reason)

    def table(self, load: ChainLoad, acceptance: ChainAcceptance) -> list[Candidate]:
        """Every chain that memory allows, cheapest first."""
        return self._table(load, self._survivals(acceptance))

    def _table(self, load: ChainLoad, survivals: Survivals) -> list[Candidate]:
        chains = [
            self._candidate(chain, load, survivals)
            for chain in self.family.chains()
            if any(set(chain) <= set(models) for models in self._affordable)
        ]
        return sorted(chains, key=lambda found: found.prediction.per_token)

    def _best(self, load: ChainLoad, survivals: Survivals) -> Candidate:
        """The cheapest chain of those that memory allows."""
        if self.always:
            return next(found for found in self._table(load, survivals) if found.plan.models)
        ways: Mapping[tuple[str, ...], Way] = {
            way.models: way
            for models in self._affordable
            for way in [cheapest(self._part(models), load, survivals, self.deepest)]
        }
        found = [self._whole(way, load, survivals) for way in ways.values()]
        found.append(self._candidate((), load, survivals))
        return min(found, key=lambda candidate: candidate.prediction.per_token)

    def _part(self, models: tuple[str, ...]) -> Family:
        """The family without the drafters that there is no memory for."""
        family = self.family
        return Family((*models, family.target), family.times, family.memory, family.packed)

    def _candidate(
        self, chain: tuple[str, ...], load: ChainLoad, survivals: Survivals
    ) -> Candidate:
        way = along(self.family, load, survivals, chain, self.deepest)
        return self._whole(way, load, survivals)

    def _whole(self, way: Way, load: ChainLoad, survivals: Survivals) -> Candidate:
        """The programme's windows in whole rounds: the better of those just below and above."""
        plans = whole_rounds(way, load, survivals, self.deepest)
        found = [
            Candidate(plan, predict(plan, self.family, load, survivals, self.deepest))
            for plan in plans
        ]
        return min(found, key=lambda candidate: candidate.prediction.per_token)

    def _pays(self, saving: float, catch_up: float, now: Prediction, load: ChainLoad) -> bool:
        # A catch-up holds up all requests, as every step does: both are seconds of each.
        return saving > self.margin * now.per_token and saving * load.remaining > catch_up

    def _catch_up(self, plan: Plan, load: ChainLoad) -> float:
        """Seconds until the caches of a plan's models hold what was committed without them."""
        lags = {name: load.lags.get(name, 0.0) for name in plan.models}
        times = self.family.times
        return sum(times[name].seconds(load.batch, lag) for name, lag in lags.items() if lag > 0.0)

    def _survivals(self, acceptance: ChainAcceptance) -> Survivals:
        return {pair: acceptance.survival(pair) for pair in self.family.pairs()}


def whole_rounds(way: Way, load: ChainLoad, survivals: Survivals, deepest: int) -> list[Plan]:
    """Plans whose levels deliver, on average, about what the levels above ask of them.

    Args:
        way: chain and windows, as the programme has them.
        load: the requests.
        survivals: of the chain's pairs.
        deepest: most tokens of a proposal.
    """
    if not way.models:
        return [NO_CHAIN]
    plans: list[tuple[int, ...]] = [()]
    mean = float(way.windows[0])
    for level, window in enumerate(way.windows[1:], 1):
        run = runs(survivals[way.models[level - 1], way.models[level]], load.shares)
        brought = float(run[min(round(mean), MAX_DEPTH)])
        fewest = max(floor(window / brought), 1)
        plans = [(*rounds, more) for rounds in plans for more in (fewest, fewest + 1)]
        mean = float(window)
    draft = min(way.windows[0], deepest)
    return [Plan(way.models, draft, rounds) for rounds in plans]


def _affordable(family: Family, memory: int | None) -> list[tuple[str, ...]]:
    """The largest sets of drafters that fit into memory together."""
    fitting = [
        chain for chain in family.chains() if memory is None or family.needs(chain) <= memory
    ]
    return [chain for chain in fitting if not any(set(chain) < set(other) for other in fitting)]
