"""A budget of concurrent calls, shared fairly by many runs.

A freed slot goes to a target call that is certain to be used before any other, since every run
comes to its end by such calls alone: so none starves, however much others speculate. Among equals
it goes to the run with the fewest calls in flight, then to who waited longest.

A call that has ended keeps its slot until it is released: what follows from its end may make calls
void that wait for one.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Member:
    """A run that shares a budget.

    Attributes:
        in_flight: its calls that run now.
    """

    in_flight: int = 0


@dataclass(slots=True, eq=False)
class Ticket:
    """A call's place in the budget.

    Attributes:
        member: whose call it is.
        certain: whether its result is sure to be used; may be raised while it waits.
        held: whether it has a slot.
        running: whether it is counted as a call that runs.
        granted: done once it may start, where it had to wait.
    """

    member: Member
    certain: bool
    held: bool = False
    running: bool = False
    granted: asyncio.Future[None] | None = None


class Budget:
    """At most so many calls at a time.

    Belongs to one event loop.

    Args:
        limit: how many, at least 1; infinite for no limit.

    Attributes:
        in_flight: calls that run now.

    Raises:
        ValueError: the limit is below 1.
    """

    def __init__(self, limit: float = math.inf) -> None:
        if not limit >= 1:
            raise ValueError(f"a budget must allow at least 1 call at a time, got {limit}")
        self.limit = limit
        self.in_flight = 0
        self._taken = 0  # slots of calls that run, and of those that ended and are not released
        self._members: set[Member] = set()
        self._waiting: dict[Ticket, None] = {}  # in the order of their coming

    @property
    def free(self) -> float:
        """Further calls that may be started now; infinite without a limit."""
        return max(0.0, self.limit - self.in_flight - len(self._waiting))

    @property
    def runs(self) -> int:
        """How many runs share it now."""
        return len(self._members)

    def join(self) -> Member:
        """Take part; ``leave`` when done."""
        member = Member()
        self._members.add(member)
        return member

    def leave(self, member: Member) -> None:
        """Take part no longer; all its calls must have ended."""
        self._members.discard(member)

    async def acquire(self, ticket: Ticket) -> None:
        """Wait until the call may start; ``release`` must follow."""
        if self._taken < self.limit and not self._waiting:
            self._start(ticket)
            return
        ticket.granted = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = None
        try:
            await ticket.granted
        except asyncio.CancelledError:
            self._waiting.pop(ticket, None)
            self.release(ticket)  # it may have been granted in the turn of the loop that cancels
            raise

    def end(self, ticket: Ticket) -> None:
        """Count a call no more that has ended; its slot is kept until ``release``."""
        if ticket.running:
            ticket.running = False
            self.in_flight -= 1
            ticket.member.in_flight -= 1

    def release(self, ticket: Ticket) -> None:
        """Give a call's slot back, if it has one."""
        if not ticket.held:
            return
        self.end(ticket)
        ticket.held = False
        self._taken -= 1
        while self._waiting and self._taken < self.limit:
            following = min(self._waiting, key=_rank)  # the first of equals came first
            del self._waiting[following]
            if following.granted is not None and not following.granted.done():  # not cancelled
                self._start(following)
                following.granted.set_result(None)

    def _start(self, ticket: Ticket) -> None:
        ticket.held = ticket.running = True
        self._taken += 1
        self.in_flight += 1
        ticket.member.in_flight += 1


def _rank(ticket: Ticket) -> tuple[bool, int]:
    return not ticket.certain, ticket.member.in_flight
