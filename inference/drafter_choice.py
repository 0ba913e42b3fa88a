"""The learned choice of drafters: who drafts for whom in the next interval, and how deep.

What each drafter would yield for each request comes from ``drafter_records``, what it would take
from ``drafter_times``, and what is best for all of them together from ``policies.drafters``. Drafts
of cheap drafters are scored although nobody uses them; one that runs models is known only by being
used. It is given intervals now and then, the sooner the less is known of it, as long as it may be
best by all that is known, and at a bounded loss (``policies.exploration``). Where the hybrid of
suffix memory and draft model is offered, it takes the place of both: it weighs them step by step.
What the memory yields is known of every request: the hybrid yields as much at least, without a pass
of the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from ..policies.drafters import Integers
from ..policies.exploration import chances_of_one
from ..policies.prices import Prices
from ..policies.spaces import MAX_DEPTH
from .drafter_batch import Batch, Batches
from .drafter_records import DrafterRecords
from .drafter_times import DrafterTimes
from .drafters.catalogue import HYBRID, NONE, SUFFIX
from .requests import RequestState

BUDGET: Final = 0.005
"""Cost per token, 1 without speculation, that trying drafters may add to a decision."""


_LONG: Final = 64  # steps: longer than any interval
_SHORT: Final = 3  # steps that a choice for requests holds that hardly anything is known of
_KNOWN: Final = 8  # tokens emitted from which on something is

_UNTRIED: Final = 0.5  # of the seconds it is said to take, what a drafter nobody used may take


@dataclass(slots=True)
class Choice:
    """Who drafts during an interval.

    Attributes:
        depth: tokens, at most, of every draft.
        drafters: of the requests that were there when it was made, and of those that came since.
        used: drafters with costs per step that draft, as bits.
        chances: of every depth, that it would have been chosen, shape (MAX_DEPTH + 1,).
        explored: chance with which something was to be tried.
        tried: the drafter that is; "" for none.
        worth: for requests to come, of each drafter that they may have: what drafting for one
            costs, what verifying a position does, tokens per cost.
        least: chance of being accepted from which on a drafted token is worth verifying.
        steps: engine steps that it may be in force.
    """

    depth: int
    drafters: dict[RequestState, str]
    used: int
    chances: list[float]
    explored: float = 0.0
    tried: str = ""
    worth: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    least: float | None = None
    steps: int = _LONG

    def shares(self) -> dict[str, float]:
        """Share of the requests of each drafter that has any."""
        shares: dict[str, float] = {}
        for name in self.drafters.values():
            shares[name] = shares.get(name, 0.0) + 1.0 / len(self.drafters)
        return shares


class LearnedDrafters:
    """Chooses for one engine.

    Args:
        offered: names of the engine's drafters, ``none`` among them.
        k_max: greatest depth.
        records: how they fare.
        times: how long they take.
    """

    def __init__(
        self, offered: Sequence[str], k_max: int, records: DrafterRecords, times: DrafterTimes
    ) -> None:
        self.names = (NONE, *(name for name in offered if name != NONE))
        self._records = records
        self._times = times
        self._part_of = {SUFFIX: HYBRID} if HYBRID in self.names else {}
        self._batches = Batches(self.names, k_max, records, times)
        self._warm_up()

    def decide(
        self,
        states: Sequence[RequestState],
        depth: int | None,
        speed: float,
        prices: Prices,
        context: float,
        explore: bool,
        rng: Random,
        before: Choice | None,
    ) -> Choice:
        """Choose.

        Args:
            states: of the requests that decode; without any, one that nothing is known of.
            depth: if that is decided already; None to choose it, too.
            speed: the knob.
            prices: what things cost.
            context: mean cached tokens of a request.
            explore: whether something may be tried.
            rng: of that.
            before: the choice in force.
        """
        running = states or [RequestState(None, None)]
        in_force = 0 if before is None else before.used
        batch = self._batches.batch(running, depth, speed, prices, context, in_force)
        best = batch.choose(0, batch.gains, batch.fixed, batch.each)
        options, names, chances = [best], [""], [1.0]
        if explore:
            options, names, chances = self._options(batch, best)
        left, at = rng.random(), 0
        for place in range(1, len(options)):
            left -= chances[place]
            if left < 0.0:
                at = place
                break
        return self._choice(states, batch, options, chances, names, at)

    def of(self, state: RequestState, choice: Choice) -> str:
        """The drafter of a request: the one it was given, or the best of those in force."""
        found = choice.drafters.get(state)
        if found is None:
            found, most = NONE, 0.0
            for name, (each, position, rate) in choice.worth.items():
                record, history = self._records[name], state.history(name)
                k = choice.depth
                gain = float(record.outlook([history])[0, 0, :k].sum())
                verified = max(float(record.lengths[history.slot, :k].sum()), gain)
                worth = gain - rate * (each + position * verified)
                if worth > most:
                    found, most = self._part_of.get(name, name), worth
            choice.drafters[state] = found
        return found

    def _options(
        self, batch: Batch, best: tuple[int, int, float, float, Integers]
    ) -> tuple[list[tuple[int, int, float, float, Integers]], list[str], list[float]]:
        """The best, and what may be tried instead: each with its chance."""
        options, names = [best], [""]
        scores, hopes = [-best[2]], [-best[2]]
        for d, name in enumerate(self.names):
            if not batch.fixed[d].any() or best[1] >> d & 1 or self._records[name].state.out:
                continue
            if not batch.hopes[:, d].any():
                continue
            gains, fixed, each = batch.gains.copy(), batch.fixed.copy(), batch.each.copy()
            gains[:, d] = batch.hopes[:, d]
            if not self._times.used(name):
                fixed[d] *= _UNTRIED
                each[d] *= _UNTRIED
            hoped = batch.choose(1 << d, gains, fixed, each)
            if hoped[2] >= best[2] or d not in hoped[4]:
                continue
            known = batch.choose(1 << d, batch.gains, batch.fixed, batch.each)
            options.append(hoped)
            names.append(name)
            scores.append(-known[2])
            hopes.append(-hoped[2])
        if len(options) == 1:
            return options, names, [1.0]
        return options, names, chances_of_one(scores, hopes, BUDGET, 0.0)

    def _choice(
        self,
        states: Sequence[RequestState],
        batch: Batch,
        options: Sequence[tuple[int, int, float, float, Integers]],
        chances: Sequence[float],
        names: Sequence[str],
        at: int,
    ) -> Choice:
        by_depth = [0.0] * (MAX_DEPTH + 1)
        for option, chance in zip(options, chances, strict=True):
            by_depth[option[0]] += chance
        depth, used, _, rate, chosen = options[at]
        drafters = [
            self._as_given(d, int(held)) for d, held in zip(chosen, batch.held, strict=True)
        ]
        if not depth:
            drafters = [NONE] * len(chosen)
        second = batch.second()
        worth = {
            name: (second * float(batch.each[d, depth]), second * batch.position, rate)
            for d, name in enumerate(self.names)
            if depth and batch.gains[:, d].any() and (not batch.fixed[d].any() or used >> d & 1)
        }
        given = dict(zip(states, drafters, strict=False))
        new = sum(state.emitted < _KNOWN for state in states)
        steps = _SHORT if 2 * new >= len(states) else _LONG
        least = batch.least(rate)
        return Choice(
            depth, given, used, by_depth, 1.0 - chances[0], names[at], worth, least, steps
        )

    def _as_given(self, drafter: int, held: int) -> str:
        """Who drafts for a request for which one was chosen; ``held``: that it has in any case."""
        name = self.names[drafter]
        return name if drafter == held else self._part_of.get(name, name)

    def _warm_up(self) -> None:
        """Compile now what is compiled, not while requests wait."""
        state = RequestState(None, None)
        batch = self._batches.batch([state], None, 1.0, Prices(second=1.0), 0.0, 0)
        batch.choose(0, batch.gains, batch.fixed, batch.each)
