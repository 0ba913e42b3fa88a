"""How each of an engine's drafters fares: what is verified of its drafts, and what is only scored.

Acceptance is kept per drafter, as ``drafts`` keeps it for the engine as a whole, and from both
sources alike: that a draft was not used says nothing of whether it would have been accepted. What
counts is what a drafter yields: where it drafted less than it was asked for, no token is accepted
any more, and that is a rejection like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from ..policies.spaces import CLASSES, MAX_DEPTH
from ..policies.survival import SurvivalEstimator
from ..policies.transition import Floats
from ..policies.verified import Verified
from .drafters.catalogue import NONE
from .drafters.pool import DrafterState
from .history import FRESH, History
from .requests import RequestState

NEWS: Final = 16
"""Drafts from which on a drafter's estimates are brought up to date."""

SILENT: Final = 4
"""Intervals without any, after which what is known of a drafter grows older all the same: one that
was given up is tried again some day."""

_LENGTH_PRIOR: Final = 2.0  # drafts that "it drafts all that it is asked for" weighs as much as


class DrafterBeat(msgspec.Struct, frozen=True):
    """One drafter's counts since the start, for people and dashboards.

    Attributes:
        steps: drafts that were used and verified, empty ones included.
        verified: tokens of them that were verified.
        accepted: those that were accepted.
        scored: drafts that were only scored, empty ones included.
        scored_tokens: their tokens.
        scored_accepted: those that the target then emitted.
        asked: drafts that it was asked for; 0 for vLLM's own.
        draft_us: microseconds per draft asked for, moving mean; 0 for vLLM's own.
        faults: of it.
        last_fault: the latest, for people.
        out: whether it was taken out for them.
        assigned: steps of requests that it was to draft for, whoever asked for that.
        explored: those of them that it was given to learn how it fares.
    """

    steps: int = 0
    verified: int = 0
    accepted: int = 0
    scored: int = 0
    scored_tokens: int = 0
    scored_accepted: int = 0
    asked: int = 0
    draft_us: float = 0.0
    faults: int = 0
    last_fault: str = ""
    out: bool = False
    assigned: int = 0
    explored: int = 0


class YieldEstimator(SurvivalEstimator):
    """Survival of what a drafter is asked for, as its traffic is by now.

    What is known of a class grows old with that class's own drafts: what requests that are hard
    for a drafter made of it is still known after an hour of easy ones, so that the first hard one
    need not teach it anew. Requests of which nothing is known yet are whatever comes now: of them
    it remembers some thirty drafts, and takes them only half for what came before.
    """

    MEMORY = 0.93
    START = 0.5
    USUAL_MEMORY = 0.99
    USUAL_PRIOR = 10.0

    FRESH_MEMORY: Final = 0.5
    """Weight of the past, per ``NEWS`` drafts, in the class of requests that are new."""

    OTHERS: Final = 0.1
    """How much drafts of other classes age what is known of one, by its own."""

    IDLE: Final = (0.1, 0.99)
    """Weight of the past after ``SILENT`` intervals without drafts: in the class of requests that
    are new, by now others; and in those that requests are put in by how their drafts fare."""

    def _behind(self) -> Floats:
        behind = super()._behind()
        behind[FRESH] = 0.5 * (behind[FRESH] + 1.0 - self.START)
        return behind

    def _kept(self, drafts: Floats) -> Floats | float:
        total = drafts.sum()
        fresh, others = (self.FRESH_MEMORY, self.MEMORY) if total else self.IDLE
        memory = np.full(drafts.shape, others)
        memory[FRESH] = fresh
        if total:
            memory **= np.maximum(drafts, self.OTHERS * total) / NEWS
        return memory


class DrafterRecord:
    """One drafter's.

    Attributes:
        estimator: what it yields by class and position.
        lengths: P(it drafts at least j tokens, asked for as many) by class and position, shape
            (CLASSES, MAX_DEPTH).
        used: counts by class and position of drafts that were verified, since the start.
        scored: the same of drafts that were only scored.
        state: of the drafter itself, as it said last.
        assigned: steps of requests that it was to draft for.
        explored: those of them that it was given to learn how it fares.
    """

    def __init__(self) -> None:
        self.estimator = YieldEstimator()
        self.lengths: Floats = np.ones((CLASSES, MAX_DEPTH))
        self.state = DrafterState()
        self.used, self.scored = Counts(), Counts()
        self.assigned = self.explored = 0
        self._news = self._used = self._silent = 0
        self._new, self._asked = Verified(), Verified()
        self._lengths: Floats = np.zeros((2, CLASSES, MAX_DEPTH))  # asked for, drafted

    def add(
        self, history: History, drafted: int, accepted: int, used: bool, asked: int | None = None
    ) -> None:
        """One draft.

        Args:
            history: of this drafter's drafts for its request; it goes on by this one.
            drafted: tokens that could be accepted.
            accepted: those that were.
            used: whether it was verified, rather than only scored.
            asked: tokens that it was asked for; None for as many as it drafted.
        """
        (self.used if used else self.scored).add(history.slot, drafted, accepted)
        asked = drafted if asked is None else max(asked, drafted)
        if not asked:
            return
        estimator, slot = self.estimator, history.slot
        if not history.tried:
            history.read(estimator)
        tried = min(accepted + 1, asked)
        expected = estimator.expected[slot][tried]
        self._new.add(slot, tried, accepted, history.frailty, history.deviation, expected)
        self._asked.add(slot, asked, drafted)
        self._news += 1
        self._used += used
        history.verified(tried, accepted, estimator)

    def due(self) -> int:
        """Drafts that it is time to learn from; counts one more interval without that."""
        self._silent += 1
        return self._news if self._news >= NEWS else int(self._silent >= SILENT)

    @property
    def tried(self) -> int:
        """Drafts that were used and are to be learned from, once there are enough."""
        return self._used if self._used >= NEWS else 0

    def settle(self) -> None:
        """Learn from what was added since this was last called."""
        new, self._new = self._new, Verified()
        asked, self._asked = self._asked, Verified()
        self._news = self._used = self._silent = 0
        self.estimator.add(new)
        self.estimator.refresh()
        self._lengths = self._lengths * self.estimator.MEMORY + asked.table()
        known, full = self._lengths[0] + _LENGTH_PRIOR, self._lengths[1] + _LENGTH_PRIOR
        self.lengths = np.minimum(full / known, 1.0)

    def outlook(self, histories: Sequence[History]) -> Floats:
        """Survival of some requests' drafts to come, and what it may be at best.

        Args:
            histories: of this drafter's drafts for them.

        Returns:
            Shape (2, n, MAX_DEPTH).
        """
        for history in histories:
            if not history.tried:
                history.read(self.estimator)
        slots, frailties = [h.slot for h in histories], [h.frailty for h in histories]
        return self.estimator.outlook(slots, frailties)

    def beat(self) -> DrafterBeat:
        """Its counts."""
        used, scored, state = self.used, self.scored, self.state
        return DrafterBeat(
            steps=used.drafts,
            verified=used.tokens,
            accepted=used.accepted,
            scored=scored.drafts,
            scored_tokens=scored.tokens,
            scored_accepted=scored.accepted,
            asked=state.asked,
            draft_us=state.seconds * 1e6,
            faults=state.faults,
            last_fault=state.last_fault,
            out=state.out,
            assigned=self.assigned,
            explored=self.explored,
        )


class Counts:
    """Drafts since the start.

    Attributes:
        drafts: how many, empty ones included.
        tokens: of them.
        accepted: of these.
        by_class: positions tried and accepted, by class and position.
    """

    def __init__(self) -> None:
        self.drafts = self.tokens = self.accepted = 0
        self.by_class = Verified()

    def add(self, slot: int, drafted: int, accepted: int) -> None:
        """One draft: its request's class, tokens that could be accepted, those that were."""
        self.drafts += 1
        self.tokens += drafted
        self.accepted += accepted
        if drafted:
            self.by_class.add(slot, min(accepted + 1, drafted), accepted)


class DrafterRecords:
    """Those of all drafters of an engine."""

    def __init__(self) -> None:
        self._records: dict[str, DrafterRecord] = {}
        self._beats: dict[str, DrafterBeat] = {}

    def __getitem__(self, drafter: str) -> DrafterRecord:
        """A drafter's; a new one the first time."""
        if drafter not in self._records:
            self._records[drafter] = DrafterRecord()
        return self._records[drafter]

    def settle(self) -> None:
        """An interval is over: two of the drafters learn from it.

        Two, because each takes as long as the engine's own estimate does: the one that drafted
        most, for a wrong choice of it costs most, and of the others the one that brought most.
        """
        due = {name: record.due() for name, record in self._records.items()}
        used = max(self._records, key=lambda name: self._records[name].tried, default="")
        if used and self._records[used].tried:
            self._records[used].settle()
            del due[used]
        most = max(due, key=lambda name: due[name], default="")
        if due.get(most):
            self._records[most].settle()

    def outlook(self, states: Sequence[RequestState]) -> Floats:
        """Survival of what drafts for each request now, and what it may be at best.

        Returns:
            Shape (2, n, MAX_DEPTH); 0 for requests that nobody drafts for.
        """
        outlook = np.zeros((2, len(states), MAX_DEPTH))
        for name in {state.drafter for state in states} - {"", NONE}:
            rows = [i for i, state in enumerate(states) if state.drafter == name]
            outlook[:, rows] = self[name].outlook([states[i].history(name) for i in rows])
        return outlook

    def count(self) -> None:
        """Take the counts of now for ``beats``."""
        self._beats = {name: record.beat() for name, record in self._records.items()}

    def beats(self) -> dict[str, DrafterBeat]:
        """Counts as they were taken last; may be called from any thread."""
        return self._beats
