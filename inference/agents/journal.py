"""What is written down of a run while it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...policies.plan.state import Ahead, PlanState
from .calls import Flight
from .trajectory import Decision, Event, EventKind

log = logging.getLogger("flyball")

Watch = Callable[[int, Event], None]
"""Told of every event of every run as it happens: the run's number and the event.

One that raises is told no more of that run.
"""


class Journal:
    """Events and decisions of one run, with their times.

    Args:
        run: its number.
        clock: gives the loop's time.
        watch: told of every event; None where nobody looks on.
    """

    def __init__(self, run: int, clock: Callable[[], float], watch: Watch | None) -> None:
        self.events: list[Event] = []
        self.decisions: list[Decision] = []
        self.start = clock()
        self._run = run
        self._clock = clock
        self._watch = watch

    @property
    def seconds(self) -> float:
        """Seconds since the run's start."""
        return self._clock() - self.start

    def write(
        self, kind: EventKind, index: int, flight: Flight | None = None, text: str = ""
    ) -> None:
        """Write down what happens now, to a step or to a call."""
        if flight is None:
            event = Event(self.seconds, kind, index, text=text)
        else:
            agent = flight.seat.kind
            event = Event(self.seconds, kind, index, agent, flight.number, text)
        self.events.append(event)
        self._show(event)

    def _show(self, event: Event) -> None:
        if self._watch is None:
            return
        try:
            self._watch(self._run, event)
        except Exception:  # it only looks on: a run must not end half way because of it
            log.exception("the watch of run %d failed and is told no more of it", self._run)
            self._watch = None

    def call(self, kind: EventKind, flight: Flight, text: str = "") -> None:
        """Write down what happens now to a call."""
        self.write(kind, flight.index, flight, text)

    def decided(self, state: PlanState, ahead: Ahead) -> None:
        """Write down a decision taken now."""
        self.decisions.append(Decision(self.seconds, state, ahead))
        self.write(EventKind.DECIDED, len(state.committed), text=str(ahead.steps))
