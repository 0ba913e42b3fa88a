"""Drafts by a chain of models below the target, of which larger ones verify smaller ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ....policies.chains.plan import NO_CHAIN, Plan
from ..drafter import Ask, Drafter, Owner
from .level import Level
from .rounds import Rounds, Row, Run
from .slots import Slots


@dataclass(slots=True)
class _Request:
    """A request.

    Attributes:
        tokens: its prompt, and what the target has emitted.
        tenant: whose it is.
        slot: where its keys and values are; None before its first draft.
    """

    tokens: list[int]
    tenant: str
    slot: int | None = None


class ChainDrafter(Drafter):
    """Drafts by the models of a plan, which may change between any two proposals.

    A request gets a slot with its first draft, and none while all slots are taken; then it is
    simply not drafted for, as beyond ``capacity`` tokens. A model that was not in the plan for a
    while catches up as soon as it is again. Proposals are the largest model's greedy continuation,
    so the target may take them as certain: its output stays exact at every temperature.

    Args:
        levels: all models that plans may use, smallest first, of one number of slots and one
            capacity; see ``loading.load_chain``.
        plan: to begin with.

    Raises:
        ValueError: without models, or if the plan does not fit them.
    """

    name = "chain"

    def __init__(self, levels: Sequence[Level], plan: Plan = NO_CHAIN) -> None:
        if not levels:
            raise ValueError("a chain drafter needs at least one model")
        self._levels = {level.name: level for level in levels}
        self._capacity = levels[0].capacity
        self._slots = Slots(len(levels[0].held))
        self._requests: dict[str, _Request] = {}
        self._runs: list[Run] = []
        self.use(plan)

    @property
    def plan(self) -> Plan:
        """The one in force."""
        return self._plan

    def use(self, plan: Plan) -> None:
        """Draft by another plan from now on.

        Raises:
            ValueError: if it names models that are not there, or not smallest first.
        """
        there = list(self._levels)
        if list(plan.models) != [name for name in there if name in plan.models]:
            raise ValueError(
                f"no chain of {', '.join(plan.models)}; models are, smallest first, "
                f"{', '.join(there)}"
            )
        self._plan = plan

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request; nothing is computed before its first draft."""
        self.end(request)
        self._requests[request] = _Request(list(prompt), owner.tenant)

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens that the target has emitted; requests that are not known are ignored."""
        if request in self._requests:
            self._requests[request].tokens.extend(tokens)

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft for all asks together; those without a slot or without room get an empty draft."""
        rows = {ask.request: row for ask in asks if (row := self._row(ask)) is not None}
        if not rows:
            return [[] for _ in asks]
        # In the order of slots: those that follow each other are read without being copied.
        batch = sorted(rows.values(), key=lambda row: row.slot)
        rounds = Rounds([self._levels[name] for name in self._plan.models], self._plan)
        for level in rounds.levels:
            for row in batch:
                level.settle(row.slot, row.text)
        drafts = rounds.propose(batch)
        self._runs += rounds.runs
        by_request = {row.request: draft for row, draft in zip(batch, drafts, strict=True)}
        return [by_request.get(ask.request, []) for ask in asks]

    def end(self, request: str) -> None:
        """Let go of a request; what the target has committed of it may serve later ones."""
        gone = self._requests.pop(request, None)
        if gone is None or gone.slot is None:
            return
        for level in self._levels.values():
            level.settle(gone.slot, gone.tokens)
        self._slots.release(gone.slot, gone.tokens)

    def drain(self) -> list[Run]:
        """Verifications between the chain's own models since the last call."""
        runs, self._runs = self._runs, []
        return runs

    def lags(self, requests: Iterable[str] | None = None) -> Mapping[str, float]:
        """By model, committed tokens per request that its cache does not hold, on average.

        Requests that had no draft yet count with all of their tokens.

        Args:
            requests: that are looked at; None for all.
        """
        names = self._requests if requests is None else requests
        running = [self._requests[name] for name in names if name in self._requests]
        return {
            name: sum(_lag(level, request) for request in running) / max(len(running), 1)
            for name, level in self._levels.items()
        }

    def _row(self, ask: Ask) -> Row | None:
        """What is drafted for an ask, if anything can be."""
        request = self._requests.get(ask.request)
        if request is None or not request.tokens:
            return None
        room = self._capacity - len(request.tokens)
        wanted = min(ask.depth, self._plan.longest, room)
        if wanted < 1 or not self._seat(request):
            return None
        assert request.slot is not None
        return Row(ask.request, request.slot, list(request.tokens), wanted)

    def _seat(self, request: _Request) -> bool:
        """Give a request a slot, with what others' beginnings it shares; False if there is none."""
        if request.slot is not None:
            return True
        found = self._slots.take(request.tokens, request.tenant)
        if found is None:
            return False
        request.slot = found.slot
        for level in self._levels.values():
            if found.shared:
                level.share(found.source, found.slot, found.shared)
            else:
                level.clear(found.slot)
        return True


def _lag(level: Level, request: _Request) -> int:
    """Tokens of a request that a model would have to take in before it can draft."""
    held = 0 if request.slot is None else level.settled[request.slot]
    return len(request.tokens) - held
