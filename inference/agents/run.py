"""One run of one task: what follows from every output, verdict and observation."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from ...policies.plan.policy import EndedCall, FinishedRun
from ...policies.plan.state import PlanState
from .calls import Calls, Flight, Seat
from .costs import Fate
from .journal import Journal
from .protocol import Action, AgentError, Step, Turn
from .record import Record
from .settling import Settling
from .steering import Rolling, Rounds, Steering
from .tasks import Tasks
from .terms import Terms
from .trajectory import EventKind, PlanError, Trajectory
from .window import Unsettled, Window, Wish

_NUMBERS = itertools.count(1)


class Run:
    """A run, to be awaited once.

    Everything happens in the handlers of ended tasks, one after another, each followed by new
    decisions and new calls: no two of them ever see the window half changed.

    Args:
        terms: of its planner.
        task: what is to be done.
    """

    def __init__(self, terms: Terms, task: Any) -> None:
        number = next(_NUMBERS)
        self._terms = terms
        self._task = task
        self._text = terms.describe(task)
        self._environment = terms.environments.open(task)
        self._window = Window()
        self._tasks = Tasks()
        self._journal = Journal(number, asyncio.get_running_loop().time, terms.watch)
        self._record = Record(number, task, self._journal)
        self._member = terms.budget.join()
        self._calls = Calls(terms.budget, self._member, self._tasks, self._started, self._ended)
        self._steering = self._steer()
        self._settling = Settling(
            terms,
            self._window,
            self._calls,
            self._record,
            self._journal,
            self._tasks,
            self._environment,
            self._steering,
            self._look,
        )

    async def go(self) -> Trajectory:
        """Run; see ``Planner.run``."""
        try:
            self._go_on()
            while not self._settling.over:
                await self._tasks.wait()
                while self._tasks.unhandled and not self._settling.over:
                    self._tasks.handle()
                    self._go_on()
        finally:
            await self._end()
        trajectory = self._record.trajectory(self._calls)
        if self._settling.failure is not None:
            message, cause = self._settling.failure
            raise PlanError(message, trajectory) from cause
        return trajectory

    async def _end(self) -> None:
        self._settling.stop()
        self._calls.closed = True
        try:
            self._settling.drop_all()
            self._tasks.handle_all()  # others need not wait for our slowest to have their slots
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            await self._tasks.close()
        finally:
            self._terms.budget.leave(self._member)
            try:
                self._tasks.handle_all()
            finally:
                self._finish()

    def _finish(self) -> None:
        ledger = self._calls.ledger
        run = FinishedRun(
            run=self._record.run,
            task=self._text,
            committed=self._record.committed,
            complete=self._record.complete,
            seconds=self._record.seconds,
            dollars=ledger.committed.dollars,
            wasted=ledger.wasted.dollars,
        )
        self._terms.policy.finished(run)

    def _steer(self) -> Steering:
        policy, note = self._terms.policy, self._journal.decided
        if policy.barrier:
            return Rounds(policy, self._look, note, self._tasks)
        return Rolling(policy, self._look, note)

    def _look(self, settling: bool = False) -> PlanState:
        now = asyncio.get_running_loop().time()
        proposed, elapsed = self._window.shown(now, settling)
        budget = self._terms.budget
        return PlanState(
            task=self._text,
            committed=self._record.committed,
            proposed=proposed,
            speed=self._terms.speed,
            in_flight=budget.in_flight,
            free=budget.free,
            tasks=budget.runs,
            elapsed=elapsed,
            run=self._record.run,
            at=self._journal.seconds,
        )

    # Going on: decisions, then calls.

    def _go_on(self) -> None:
        if self._settling.over:
            return
        self._steering.update(self._window.first, self._settling.news)
        self._settling.news = False
        known = list(self._record.told)
        for step in self._window.reach(self._may_follow):
            self._call(step, known)
            if step.told is not None:
                known.append(step.told)

    def _may_follow(self, step: Unsettled) -> bool:
        index = step.index + 1
        return (
            step.passable
            and index < self._terms.limits.steps
            and self._steering.passes(step)
            and self._steering.allows("T", index, self._window.first.index)
        )

    def _call(self, step: Unsettled, known: list[Step]) -> None:
        first = self._window.first.index
        if step.unverified and self._steering.allows("T", step.index, first):
            step.verifying = self._start(self._terms.verifier, step, known)
        if step.unproposed and self._steering.allows("A", step.index, first):
            step.proposing = self._start(self._terms.proposer, step, known)

    def _start(self, seat: Seat, step: Unsettled, known: list[Step], delay: float = 0.0) -> Flight:
        certain = seat.kind == "T" and step is self._window.first
        return self._calls.start(seat, step.index, self._task, tuple(known), certain, delay)

    def _started(self, flight: Flight) -> None:
        self._journal.call(EventKind.STARTED, flight)

    # What follows from a call that ended.

    def _ended(self, flight: Flight) -> None:
        flight.handled = True
        outcome = _outcome(flight)
        failed = isinstance(outcome, BaseException)
        if flight.ran:
            seat = flight.seat
            call = EndedCall(
                seat.kind, flight.index, flight.seconds, flight.dollars, done=not failed
            )
            self._terms.policy.ended(call, self._look())
        if flight.void or self._settling.over:
            self._calls.resolve(flight, Fate.CANCELLED if failed else Fate.VOID)
            return
        step = self._window.of(flight)
        examined = outcome if isinstance(outcome, BaseException) else self._examine(flight, outcome)
        if flight.seat.kind == "A":
            step.proposing = None
            self._proposed(step, flight, examined)
        else:
            step.verifying = None
            self._judged(step, flight, examined)
        self._settling.news = True

    def _examine(self, flight: Flight, turn: Turn) -> Wish | BaseException:
        try:
            if not isinstance(turn, Turn) or not isinstance(turn.action, Action):
                raise AgentError(f"an agent must give a Turn with an Action, got {turn!r:.80}")
            nature = self._environment.check(turn.action)
            return Wish(turn, flight, nature, self._terms.matcher.write(turn.action))
        except Exception as error:  # noqa: BLE001 - the check is the user's, of what a model wrote
            return error

    def _proposed(self, step: Unsettled, flight: Flight, wish: Wish | BaseException) -> None:
        if isinstance(wish, BaseException):
            step.silent = True
            answered = not isinstance(_outcome(flight), BaseException)
            step.in_vain = answered or flight.dollars > 0.0
            self._failed(flight, Fate.FAILED, wish)
            return
        self._settling.propose(step, wish)

    def _judged(self, step: Unsettled, flight: Flight, wish: Wish | BaseException) -> None:
        if isinstance(wish, BaseException):
            self._retry(step, flight, wish)
        else:
            self._settling.judge(step, wish)
        self._settling.settle()

    def _retry(self, step: Unsettled, flight: Flight, error: BaseException) -> None:
        limits = self._terms.limits
        step.faults += 1
        if step.faults > limits.retries:
            step.fault = error
            self._failed(flight, Fate.FAILED, error)
            return
        self._failed(flight, Fate.RETRIED, error)
        known = [*self._record.told, *self._window.told_before(step)]
        delay = limits.backoff * 2.0 ** (step.faults - 1)
        step.verifying = self._start(self._terms.verifier, step, known, delay)

    def _failed(self, flight: Flight, fate: Fate, error: BaseException) -> None:
        self._calls.resolve(flight, fate)
        self._journal.call(EventKind.FAILED, flight, f"{type(error).__name__}: {error}")


def _outcome(flight: Flight) -> Turn | BaseException:
    """Return what a call gave, or why it gave nothing."""
    task = flight.task
    if task is None or task.cancelled():
        return AgentError("the call was cancelled")
    error = task.exception()
    if isinstance(error, TimeoutError) and flight.seconds >= flight.seat.seconds:
        return AgentError(f"the call took longer than {flight.seat.seconds:g} s")
    return error or task.result()
