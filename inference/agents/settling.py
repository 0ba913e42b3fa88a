"""Settling the steps of a run: what follows from proposals, verdicts and observations."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...policies.plan.state import PlanState
from .calls import Calls, Flight
from .costs import Fate
from .environment import Environment
from .execution import Executor
from .journal import Journal
from .protocol import Step, Turn
from .record import Record
from .steering import Steering
from .tasks import Tasks
from .terms import Terms
from .trajectory import EventKind
from .window import Unsettled, Window, Wish


class Settling:
    """Commits steps in order, and drops at once what was built on what did not come to pass.

    Args:
        terms: of the planner.
        window: the steps that are not settled.
        calls: of the run.
        record: of what is committed.
        journal: of the run.
        tasks: of the run.
        environment: executes actions.
        steering: is told of what is committed.
        look: gives the plan now; with True, while its first step is being settled.

    Attributes:
        over: whether the run is.
        failure: why, where it could not go on: in words, and what was raised.
        news: whether anything became known since it was set to False.
    """

    def __init__(
        self,
        terms: Terms,
        window: Window,
        calls: Calls,
        record: Record,
        journal: Journal,
        tasks: Tasks,
        environment: Environment,
        steering: Steering,
        look: Callable[[bool], PlanState],
    ) -> None:
        self.over = False
        self.failure: tuple[str, BaseException] | None = None
        self.news = True
        self._terms = terms
        self._window = window
        self._calls = calls
        self._record = record
        self._journal = journal
        self._steering = steering
        self._look = look
        self._executor = Executor(environment, tasks, self._answered)

    def stop(self) -> None:
        """End the run; whatever ends from now on is charged and nothing else."""
        if not self.over:
            self.over = True
            self._record.seconds = self._journal.seconds

    def drop_all(self) -> None:
        """End everything that is not settled."""
        self._drop(self._window.steps)

    def propose(self, step: Unsettled, wish: Wish) -> None:
        """Take A's proposal for a step."""
        step.proposal = wish
        self._journal.call(EventKind.PROPOSED, wish.flight, wish.written.text)
        self._run_ahead(step, wish)

    def judge(self, step: Unsettled, wish: Wish) -> None:
        """Take T's verdict on a step, perhaps before those on the steps before it."""
        step.verdict = wish
        self._journal.call(EventKind.VERDICT, wish.flight, wish.written.text)
        if step.proposing is not None:
            self._cancel(step.proposing)
            step.proposing = None
        proposal = step.proposal
        if proposal is not None:
            alike = self._terms.matcher.same(proposal.written, wish.written)
            step.matched = alike and proposal.nature == wish.nature
        if step.matched is not True:
            if proposal is not None:
                self._calls.resolve(proposal.flight, Fate.MISMATCH)
            self._drop(self._window.cut(step))
            self._executor.forget(step, wish)
            step.told = None
        self._run_ahead(step, wish)

    def settle(self) -> None:
        """Commit what can be."""
        while not self.over:
            step = self._window.first
            if step.fault is not None:
                self._fail(
                    f"step {step.index + 1}: the target agent failed: {step.fault}", step.fault
                )
                return
            if step.verdict is None:
                return
            execution = self._executor.execute(step, step.verdict)
            if execution.error is not None:
                tool = step.verdict.action.tool
                reason = f"step {step.index + 1}: {tool} failed: {execution.error}"
                self._fail(reason, execution.error)
                return
            if execution.observation is None:
                return
            self._tell(step)
            self._commit(step, step.verdict)

    def _fail(self, message: str, cause: BaseException) -> None:
        self.failure = message, cause
        self.stop()

    def _commit(self, step: Unsettled, verdict: Wish) -> None:
        self._terms.policy.settled(self._look(True), step.index, step.learned)
        self._window.shift()
        self._calls.resolve(verdict.flight, Fate.USED)
        if step.proposal is not None:  # one that did not match is resolved
            self._calls.resolve(step.proposal.flight, Fate.USED)
        self._record.commit(step, verdict)
        self._steering.committed(step)
        self.news = True
        if verdict.nature.final or step.index + 1 >= self._terms.limits.steps:
            self.stop()
        elif self._window.first.verifying is not None:
            self._window.first.verifying.ticket.certain = True

    def _drop(self, steps: Iterable[Unsettled]) -> None:
        """End all that was built on what did not come to pass."""
        for step in steps:
            self._executor.forget(step)
            for flight in step.flights:
                self._cancel(flight)

    def _cancel(self, flight: Flight) -> None:
        if self._calls.cancel(flight):
            self._journal.call(EventKind.CANCELLED, flight)
        elif flight.handled:
            self._calls.resolve(flight, Fate.VOID)

    def _run_ahead(self, step: Unsettled, wish: Wish) -> None:
        if not (wish.nature.effectful or wish.nature.final):
            self._executor.execute(step, wish)
            self._tell(step)

    def _answered(self, step: Unsettled) -> None:
        if self.over or not self._window.holds(step):
            return
        self._journal.write(EventKind.OBSERVED, step.index)
        self._tell(step)
        self.settle()

    def _tell(self, step: Unsettled) -> None:
        """Let later steps know of one; what they were told before of it must have been so."""
        observation = step.observation
        if step.wish is None or observation is None:
            return
        if step.told is not None and step.told.observation != observation:
            self._drop(self._window.cut(step))
        step.told = Step(Turn(step.wish.action), observation)
