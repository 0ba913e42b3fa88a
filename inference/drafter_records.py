"""How each of an engine's drafters fares: what is verified of its drafts, and what is only scored.

Acceptance is kept per drafter, as ``drafts`` keeps it for the engine as a whole, and from both
sources alike: that a draft was not used says nothing of whether it would have been accepted.
"""

from __future__ import annotations

import msgspec

from ..policies.survival import SurvivalEstimator
from ..policies.verified import Verified
from .drafters.pool import DrafterState


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


class DrafterRecord:
    """One drafter's.

    Attributes:
        estimator: its acceptance by class and position.
        used: counts by class and position of drafts that were verified, since the start.
        scored: the same of drafts that were only scored.
        state: of the drafter itself, as it said last.
    """

    def __init__(self) -> None:
        self.estimator = SurvivalEstimator()
        self.state = DrafterState()
        self.used, self.scored = Counts(), Counts()
        self._new = Verified()

    def add(self, slot: int, drafted: int, accepted: int, used: bool) -> None:
        """One draft.

        Args:
            slot: class of its request.
            drafted: tokens that could be accepted.
            accepted: those that were.
            used: whether it was verified, rather than only scored.
        """
        (self.used if used else self.scored).add(slot, drafted, accepted)
        tried = min(accepted + 1, drafted)
        if tried:
            expected = self.estimator.expected[slot][tried]
            self._new.add(slot, tried, accepted, expected=expected)

    def settle(self) -> None:
        """Learn from what was added since this was last called."""
        new, self._new = self._new, Verified()
        self.estimator.add(new)
        self.estimator.refresh()

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
        """One draft; arguments as ``DrafterRecord.add``."""
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
        self._turn = -1

    def __getitem__(self, drafter: str) -> DrafterRecord:
        """A drafter's; a new one the first time."""
        if drafter not in self._records:
            self._records[drafter] = DrafterRecord()
        return self._records[drafter]

    def settle(self) -> None:
        """An interval is complete: one drafter in turn learns from what it brought.

        One, because that takes as long as the engine's own estimate does.
        """
        if self._records:
            self._turn = (self._turn + 1) % len(self._records)
            list(self._records.values())[self._turn].settle()
        self._beats = {name: record.beat() for name, record in self._records.items()}

    def beats(self) -> dict[str, DrafterBeat]:
        """Counts as of the latest complete interval; may be called from any thread."""
        return self._beats
