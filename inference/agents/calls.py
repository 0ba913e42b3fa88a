"""Calls of agents: started when the budget allows, charged when they have ended."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...policies.plan.policy import CallKind
from .budget import Budget, Member, Ticket
from .costs import Entry, Fate, Ledger, ModelPrice
from .protocol import Agent, Call, Step, Turn
from .tasks import Tasks


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent and how it is called.

    Attributes:
        kind: which of the two it is.
        agent: who.
        price: of its model.
        seconds: that a call may run; infinite for no limit.
    """

    kind: CallKind
    agent: Agent
    price: ModelPrice
    seconds: float = math.inf


@dataclass(slots=True, eq=False)
class Flight:
    """One call of one agent.

    Attributes:
        number: in its run, from 0.
        seat: whose it is.
        index: of the step that it is for.
        ticket: its place in the budget.
        call: what the agent tells of it.
        started: the loop's time when it began to run; NaN before.
        ended: the loop's time when it had ended; NaN before.
        void: whether it was cancelled because its turn is not wanted any more.
        handled: whether what follows from its end was done.
        resolved: whether its fate is in the ledger.
    """

    number: int
    seat: Seat
    index: int
    ticket: Ticket
    call: Call = field(default_factory=Call)
    task: asyncio.Task[Turn] | None = None
    started: float = math.nan
    ended: float = math.nan
    void: bool = False
    handled: bool = False
    resolved: bool = False

    @property
    def ran(self) -> bool:
        """Whether it began to run at all."""
        return not math.isnan(self.started)

    @property
    def seconds(self) -> float:
        """How long it ran; 0 where it never did."""
        return self.ended - self.started if self.ran else 0.0

    @property
    def dollars(self) -> float:
        """What it is charged for."""
        return self.seat.price.dollars(self.call.usage)


class Calls:
    """The calls of one run.

    Args:
        budget: how many may run at a time, of all runs.
        member: this run's part in it.
        tasks: what runs them.
        started: told of each that begins to run.
        ended: told of each that ended, in order.

    Attributes:
        ledger: what those that ended came to.
        greatest: most of them that ran at a time.
        seconds: that they ran, added up.
        closed: whether nothing follows from their ends any more.
    """

    def __init__(
        self,
        budget: Budget,
        member: Member,
        tasks: Tasks,
        started: Callable[[Flight], None],
        ended: Callable[[Flight], None],
    ) -> None:
        self.ledger = Ledger()
        self.greatest = 0
        self.seconds = 0.0
        self.closed = False
        self._budget = budget
        self._member = member
        self._tasks = tasks
        self._started = started
        self._ended = ended
        self._made = 0

    def start(
        self,
        seat: Seat,
        index: int,
        task: Any,
        steps: Sequence[Step],
        certain: bool = False,
        delay: float = 0.0,
    ) -> Flight:
        """Start a call as soon as the budget allows.

        Args:
            seat: whose.
            index: of the step that it is for.
            task: what is to be done.
            steps: those before.
            certain: whether its turn is sure to be used.
            delay: seconds to wait before.
        """
        flight = Flight(self._made, seat, index, Ticket(self._member, certain))
        self._made += 1
        work = self._fly(flight, task, steps, delay)
        flight.task = self._tasks.start(work, lambda _: self._follow(flight))
        return flight

    def cancel(self, flight: Flight) -> bool:
        """End a call whose turn is not wanted any more; says whether it was still to end."""
        if flight.void or flight.resolved:
            return False
        flight.void = True
        return flight.task is not None and flight.task.cancel()

    def resolve(self, flight: Flight, fate: Fate) -> None:
        """Enter an ended call in the ledger, once; one that never ran is none."""
        if flight.resolved or not flight.ran:
            return
        flight.resolved = True
        entry = Entry(1, flight.call.usage, flight.dollars, flight.seconds)
        self.ledger.charge(flight.seat.kind, fate, entry)

    def _follow(self, flight: Flight) -> None:
        """Do what follows from a call's end; then its slot is free for calls still wanted."""
        try:
            self._ended(flight)
        finally:
            self._budget.release(flight.ticket)

    async def _fly(self, flight: Flight, task: Any, steps: Sequence[Step], delay: float) -> Turn:
        if delay > 0:
            await asyncio.sleep(delay)
        await self._budget.acquire(flight.ticket)
        loop = asyncio.get_running_loop()
        flight.started = loop.time()
        self.greatest = max(self.greatest, self._member.in_flight)
        limit = flight.seat.seconds
        try:
            self._started(flight)
            async with asyncio.timeout(None if math.isinf(limit) else limit):
                return await flight.seat.agent.act(task, steps, flight.call)
        finally:
            flight.ended = loop.time()
            self.seconds += flight.seconds
            self._budget.end(flight.ticket)
            if self.closed:
                self._budget.release(flight.ticket)
