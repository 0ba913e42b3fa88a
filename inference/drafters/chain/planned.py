"""A chain drafter that plans its own chain, as the engine's load and its acceptance move."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ....policies.chains.acceptance import ChainAcceptance
from ....policies.chains.load import ChainLoad, Family
from ....policies.chains.plan import Plan
from ....policies.chains.planner import Candidate, ChainPlanner
from ....policies.chains.times import PassTimes
from ....policies.spaces import CLASSES
from ...history import ENOUGH, FRESH, HISTORY, behaviour
from ..drafter import Ask, Owner
from ..scoring import agreed
from .drafter import ChainDrafter
from .level import Level
from .timing import TargetTimes

EVERY: Final = 16
"""Proposals from one plan to the next."""
KNOWN: Final = 16.0
"""Verifications between two models, decayed, from which it is known how often one accepts the
other; a chain with a pair of which less is known is run for as long as one plan is."""
_OTHER: Final = 1.5  # ratio of batch sizes beyond which it is planned anew sooner
_SOONEST: Final = 4  # proposals after which that is done


@dataclass(slots=True)
class _History:
    """What is known of one request.

    Attributes:
        tried: drafted positions that the target has judged, decayed.
        accepted: those that it accepted.
        draft: proposed last, until something was emitted.
        top: the largest model of the chain that it is from.
    """

    tried: float = 0.0
    accepted: float = 0.0
    draft: Sequence[int] = ()
    top: str = ""

    @property
    def slot(self) -> int:
        """The class that it behaves like, as the governor tells them apart."""
        return FRESH if self.tried < ENOUGH else behaviour(self.accepted / self.tried)


class PlannedChain(ChainDrafter):
    """Drafts by the chain of least predicted seconds per token; whether to draft is another's say.

    Of the chain's own models, what they accept is told by each round; of the largest one and the
    target, by what the target emits after a draft. Chains of which too little is known are run now
    and then, so that none is judged by what was believed at first.

    Args:
        levels: the models below the target, smallest first.
        times: of their passes, by name.
        target: its name, which is none of theirs.
        guess: of the target's passes.
        deepest: most tokens that are asked for.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        times: Mapping[str, PassTimes],
        target: str,
        guess: PassTimes,
        deepest: int,
    ) -> None:
        super().__init__(levels)
        self.acceptance = ChainAcceptance()
        self.target_times = TargetTimes(guess)
        self._times = dict(times)
        names = [level.name for level in levels]
        family = Family((*names, target), {**times, target: guess}, packed=True)
        self._planner = ChainPlanner(family, deepest=deepest, always=True)
        self._histories: dict[str, _History] = {}
        self._proposals = 0  # since it was last planned
        self._batch = 0  # for which that was
        self._tried_out = False  # whether it was planned for what is not known yet
        self._step: tuple[int, float, float] | None = None  # the last one: see ``_measure``

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request; nothing is computed before its first draft."""
        super().begin(request, prompt, owner)
        self._histories[request] = _History()

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens that the target has emitted, and learn what it made of the last draft."""
        super().extend(request, tokens)
        history = self._histories.get(request)
        if history is not None and tokens:
            self._judge(history, tokens)

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft for all asks together; those without a slot or without room get an empty draft."""
        self._measure(len(asks))
        if self._is_due(len(asks)):
            self._replan(asks)
        self._proposals += 1
        drafts = super().propose(asks)
        self._learn()
        for ask, draft in zip(asks, drafts, strict=True):
            history = self._histories.get(ask.request)
            if history is not None and draft:
                history.draft, history.top = draft, self.plan.models[-1]
        width = 1.0 + sum(map(len, drafts)) / max(len(drafts), 1)
        whole = len(asks) == len(self._histories)
        self._step = (len(asks), width, time.perf_counter()) if whole else None
        return drafts

    def end(self, request: str) -> None:
        """Let go of a request; what the target has committed of it may serve later ones."""
        super().end(request)
        self._histories.pop(request, None)

    def _judge(self, history: _History, tokens: Sequence[int]) -> None:
        draft, history.draft = history.draft, ()
        if not draft:
            return
        accepted = agreed(draft, tokens)
        # Less than the draft may have been verified: then the last that agrees is the target's own.
        tried = min(accepted + 1, len(draft), len(tokens))
        pair = history.top, self._planner.family.target
        right = [float(k < accepted) for k in range(tried)]
        self.acceptance.add(pair, history.slot, right, tried)
        history.tried = HISTORY * history.tried + tried
        history.accepted = HISTORY * history.accepted + sum(right)

    def _learn(self) -> None:
        """Take in what the chain's models made of each other's tokens."""
        for run in self.drain():
            history = self._histories.get(run.request)
            slot = FRESH if history is None else history.slot
            self.acceptance.add_run((run.lower, run.upper), slot, run.drafted, run.accepted)

    def _measure(self, batch: int) -> None:
        """Time the target's step since the last draft, if all that ran were drafted for here."""
        if self._step is not None and self._step[0] == batch == len(self._histories):
            before, width, ended = self._step
            self.target_times.add(before, width, time.perf_counter() - ended)

    def _is_due(self, batch: int) -> bool:
        if not self.plan.models or self._proposals >= EVERY:
            return True
        alike = self._batch <= _OTHER * batch <= _OTHER**2 * self._batch
        return not alike and self._proposals >= _SOONEST

    def _replan(self, asks: Sequence[Ask]) -> None:
        load, planner = self._load(asks), self._planner
        times = {**self._times, planner.family.target: self.target_times.times()}
        planner.family = Family(planner.family.models, times, packed=True)
        self.use(self._unknown(load) or planner.replan(load, self.acceptance).plan)
        self._proposals, self._batch = 0, len(asks)
        self.acceptance.fade()

    def _unknown(self, load: ChainLoad) -> Plan | None:
        """The chain of which least is known, if that is too little; every other plan at most."""
        family, lacking = self._planner.family, {}
        for models in [] if self._tried_out else family.chains():
            pairs = pairwise((*models, family.target))
            known = min((self.acceptance.tried(pair) for pair in pairs), default=KNOWN)
            if models and known < KNOWN:
                lacking[models] = known
        self._tried_out = bool(lacking)
        if not lacking:
            return None
        least = min(lacking, key=lambda models: lacking[models])
        return next(c.plan for c in self._chains(load) if c.plan.models == least)

    def _chains(self, load: ChainLoad) -> list[Candidate]:
        return [c for c in self._planner.table(load, self.acceptance) if c.plan.models]

    def _load(self, asks: Sequence[Ask]) -> ChainLoad:
        """The requests that are drafted for."""
        names = [ask.request for ask in asks]
        slots = Counter(self._histories[name].slot for name in names if name in self._histories)
        shares = np.zeros(CLASSES)
        for slot, count in slots.items():
            shares[slot] = count
        shares /= max(shares.sum(), 1.0)
        if not slots:
            shares[FRESH] = 1.0
        return ChainLoad(batch=float(len(asks)), shares=shares, lags=self.lags(names))
