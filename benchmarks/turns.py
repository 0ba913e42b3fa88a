"""An arm's turn: a stretch of time in which it decides, under traffic that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ..policies.transition import Transition

PATIENCE: Final = 3.0
"""Seconds by which a turn may be longer, for a slow machine to hold enough intervals."""

_LATE: Final = 8  # transitions heard before a turn whose decisions may yet be its own
_SAME: Final = 1e-6  # of the speed: a decision has it in float32
_POLL: Final = 0.03  # seconds between two looks at what was heard


@dataclass(frozen=True)
class Turn:
    """One turn, over or not.

    Attributes:
        heard: every transition so far, in the order of the decisions; it grows.
        first: where in it those of the turn may begin.
        belongs: whether an interval that was decided during the turn was decided by its arm.
        start: seconds since the epoch.
        end: of the decisions; their outcomes come later.
    """

    heard: Sequence[Transition]
    first: int
    belongs: Callable[[Transition], bool]
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.start

    def intervals(self) -> list[Transition]:
        """What counts, as far as it was heard by now."""
        return [
            t
            for t in self.heard[self.first :]
            if self.start <= t.decision.at < self.end and self.belongs(t)
        ]


def decided_by(pin: int, speed: float | None) -> Callable[[Transition], bool]:
    """Tells whether an interval was decided by an arm.

    Args:
        pin: number of the arm's pin; 0 for one that sets its depth itself.
        speed: of the arm's knob; None where it makes no difference.
    """

    def belongs(transition: Transition) -> bool:
        decision = transition.decision
        return decision.pin == pin and (speed is None or abs(decision.speed - speed) < _SAME)

    return belongs


def take_turn(
    heard: Sequence[Transition],
    belongs: Callable[[Transition], bool],
    seconds: float,
    *,
    least: int,
    busy: float = 0.0,
) -> Turn:
    """Wait for a turn to be over.

    Args:
        heard: every transition so far; another thread appends to it.
        belongs: as in ``Turn``.
        seconds: how long, or longer by up to ``PATIENCE`` until it holds what follows.
        least: intervals that should count.
        busy: seconds of engine steps in them.
    """
    first = max(len(heard) - _LATE, 0)
    start = time.time()
    time.sleep(seconds)
    while True:
        turn = Turn(heard, first, belongs, start, time.time())
        found = turn.intervals()
        enough = len(found) >= least and sum(t.outcome.seconds for t in found) >= busy
        if enough or turn.seconds > seconds + PATIENCE:
            return turn
        time.sleep(_POLL)
