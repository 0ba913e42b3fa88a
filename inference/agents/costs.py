"""What calls cost, and what of it was of use."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from ...policies.plan.policy import CallKind
from .protocol import Usage


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model's tokens cost, in dollars per million.

    Attributes:
        prompt: of prompt tokens that are read anew.
        cached: of prompt tokens that are read from a cache.
        completion: of generated tokens.

    Raises:
        ValueError: a price is negative or not finite.
    """

    prompt: float
    cached: float
    completion: float

    def __post_init__(self) -> None:
        for name in ("prompt", "cached", "completion"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"the {name} price must be finite and not negative, got {value}")

    def dollars(self, usage: Usage) -> float:
        """Return what these tokens cost, in dollars."""
        fresh = usage.prompt - usage.cached
        parts = (
            fresh * self.prompt + usage.cached * self.cached + usage.completion * self.completion
        )
        return parts / 1e6


class Fate(StrEnum):
    """What became of a call."""

    USED = "used"
    """T's action was committed; or it was A's proposal and T said the same."""

    MISMATCH = "mismatch"
    """A's proposal, and T said something else, or had said so before."""

    VOID = "void"
    """It gave its turn, on steps that did not come to pass."""

    CANCELLED = "cancelled"
    """It was ended early, and is charged for what it had used by then."""

    FAILED = "failed"
    """It raised, timed out, or proposed what no tool does."""

    RETRIED = "retried"
    """T's, failed, and another followed in its place."""


@dataclass(slots=True)
class Entry:
    """Calls of one kind, together.

    Attributes:
        calls: how many were started.
        usage: their tokens.
        dollars: what these cost.
        seconds: that they ran, added up.
    """

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    dollars: float = 0.0
    seconds: float = 0.0

    def add(self, other: Entry) -> None:
        """Add another's calls to these."""
        self.calls += other.calls
        self.usage.add(other.usage)
        self.dollars += other.dollars
        self.seconds += other.seconds


class Ledger:
    """What every started call of a run, or of many, came to: each in exactly one entry."""

    def __init__(self) -> None:
        self.entries: dict[tuple[CallKind, Fate], Entry] = {}

    def charge(self, kind: CallKind, fate: Fate, entry: Entry) -> None:
        """Enter calls that met the same fate."""
        self.entries.setdefault((kind, fate), Entry()).add(entry)

    def add(self, other: Ledger) -> None:
        """Enter another ledger's calls."""
        for (kind, fate), entry in other.entries.items():
            self.charge(kind, fate, entry)

    def total(self, kind: CallKind | None = None, fate: Fate | None = None) -> Entry:
        """Return all calls, or those of one agent, or of one fate, or of both, together."""
        total = Entry()
        for (its_kind, its_fate), entry in self.entries.items():
            if kind in {None, its_kind} and fate in {None, its_fate}:
                total.add(entry)
        return total

    @property
    def committed(self) -> Entry:
        """Calls whose turns were used: T's of every step, and A's proposals that matched."""
        return self.total(fate=Fate.USED)

    @property
    def wasted(self) -> Entry:
        """All other calls."""
        total = Entry()
        for (_, fate), entry in self.entries.items():
            if fate is not Fate.USED:
                total.add(entry)
        return total

    @property
    def dollars(self) -> float:
        """Dollars charged for all calls."""
        return sum(entry.dollars for entry in self.entries.values())
