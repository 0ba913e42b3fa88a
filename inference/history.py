"""How drafts for one request fared lately, and what follows for those to come."""

from __future__ import annotations

from typing import Final

from ..policies.spaces import BEHAVIOURS
from ..policies.survival import SurvivalEstimator

FRESH, HARD, MIXED, EASY = range(len(BEHAVIOURS))
"""Slots of the behaviours."""

HISTORY: Final = 0.9
"""Weight of a request's own past, per draft: its evidence halves in about seven. Of 0.8 to 0.98,
what predicted the embedded models' own drafts best."""

ENOUGH: Final = 6.0
"""Drafted positions, decayed, after which a request's behaviour is told."""

MIXED_FROM: Final = 0.6
"""Share of drafted positions accepted from which a request is mixed; below, it is hard."""

EASY_FROM: Final = 0.85
"""The same from which it is easy."""


def behaviour(rate: float) -> int:
    """The slot of requests of whose drafted positions such a share is accepted."""
    return EASY if rate >= EASY_FROM else MIXED if rate >= MIXED_FROM else HARD


class History:
    """One request's history with what drafts for it.

    Attributes:
        named: slot of the class that the request names, or None.
        slot: the class it counts in: the one it names, else the one it behaves like.
        tried: drafted positions verified lately, decayed.
        accepted: those of them that were accepted, decayed.
        expected: rejections that its class's table expected at the positions tried, decayed.
        deviation: of its history from those of its class (``FrailtyEstimator.of``).
        frailty: multiplier on its class's hazards.
    """

    __slots__ = ("accepted", "deviation", "expected", "frailty", "named", "slot", "tried")

    def __init__(self, named: int | None) -> None:
        self.named = named
        self.slot = FRESH if named is None else named
        self.tried = 0.0
        self.accepted = 0.0
        self.expected = 0.0
        self.deviation = 0.0
        self.frailty = 1.0

    def verified(self, tried: int, accepted: int, estimator: SurvivalEstimator) -> None:
        """Learn from one verification.

        Args:
            tried: positions tried, at least one.
            accepted: those accepted, ``tried`` or one less.
            estimator: of the drafter.
        """
        expected = estimator.expected
        self.tried = self.tried * HISTORY + tried
        self.accepted = self.accepted * HISTORY + accepted
        self.expected = self.expected * HISTORY + expected[self.slot][tried]
        if self.named is None and self.tried >= ENOUGH:
            slot = behaviour(self.accepted / self.tried)
            if slot != self.slot:
                # Its history, measured by the class it joins.
                self.expected *= expected[slot][tried] / expected[self.slot][tried]
                self.slot = slot
        self.read(estimator)

    def read(self, estimator: SurvivalEstimator) -> None:
        """Tell the frailty from the history.

        That it is empty tells something, too: verifications in the fresh class are mostly of
        requests that stay there because they are rejected early; one that comes is easier.

        Args:
            estimator: of the drafter.
        """
        rejected = self.tried - self.accepted
        self.deviation, self.frailty = estimator.frailties.of(self.slot, rejected, self.expected)
