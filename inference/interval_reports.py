"""What is done with an interval once all of it is known: it is learned from and reported."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..policies.transition import Transition
from .drafter_records import DrafterRecords
from .drafts import Drafts
from .guard import Guard
from .interval import Interval
from .live_policy import PolicyError
from .orders import OrderBook


class IntervalReports:
    """Keeps complete intervals until there is time for them.

    Args:
        drafts: how drafts fare, whoever's.
        records: how each drafter fares.
        guard: None for none.
        book: of orders; is told of a policy that fails.
        send: hands a transition to the controller without blocking; False if it was dropped.

    Attributes:
        dropped: transitions that were.
    """

    def __init__(
        self,
        drafts: Drafts,
        records: DrafterRecords,
        guard: Guard | None,
        book: OrderBook,
        send: Callable[[Transition], bool],
    ) -> None:
        self.dropped = 0
        self._drafts, self._records = drafts, records
        self._guard, self._book = guard, book
        self._hand = send
        self._over: list[Interval] = []

    def take(self, interval: Interval) -> None:
        """Keep an interval, if it is complete."""
        if interval.complete:
            self._over.append(interval)

    def send(self) -> None:
        """Report what was kept."""
        over, self._over = self._over, []
        for interval in over:
            self._report(interval)

    def _report(self, interval: Interval) -> None:
        """Send an interval, if it taught something."""
        self._drafts.add(interval.counts)
        self._records.count()
        if not interval.request_steps or not interval.following:
            return
        outcome = interval.outcome()
        if self._guard is not None and interval.stake is not None:
            self._guard.settle(interval.stake, interval.decision, outcome, time.perf_counter())
        transition = Transition(interval.decision, outcome, interval.following)
        if not self._hand(transition):
            self.dropped += 1
        if interval.policy is not None:
            try:
                interval.policy.learn(transition.decision, transition.outcome)
            except PolicyError as e:
                self._book.refuse(str(e))
