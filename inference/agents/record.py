"""What a run has committed."""

from __future__ import annotations

from ...policies.plan.state import Committed
from .calls import Calls
from .journal import Journal
from .protocol import Step
from .trajectory import EventKind, Trajectory, TrajectoryStep
from .window import Unsettled, Wish


class Record:
    """The committed steps of one run, in the forms in which they are asked for.

    Args:
        run: its number.
        task: as the user gave it.
        journal: of the run.

    Attributes:
        committed: as policies see them.
        told: as agents are told of them.
        complete: whether the last is final.
        seconds: that the run took; set when it ends.
    """

    def __init__(self, run: int, task: object, journal: Journal) -> None:
        self.run = run
        self.committed: tuple[Committed, ...] = ()
        self.told: tuple[Step, ...] = ()
        self.complete = False
        self.seconds = 0.0
        self._task = task
        self._journal = journal
        self._steps: list[TrajectoryStep] = []
        self._decided = 0

    def commit(self, step: Unsettled, verdict: Wish) -> None:
        """Add the step that is settled; its observation must be known."""
        if step.told is None:
            raise ValueError(f"step {step.index} has no observation yet")
        action = verdict.action
        self.committed = (
            *self.committed,
            Committed(action.tool, verdict.written.text, step.matched),
        )
        self.told = (*self.told, step.told)
        self.complete = verdict.nature.final
        self._journal.call(EventKind.COMMITTED, verdict.flight, verdict.written.text)
        self._steps.append(self._step(step, verdict, step.told.observation))
        self._decided = len(self._journal.decisions)

    def _step(self, step: Unsettled, verdict: Wish, observation: str) -> TrajectoryStep:
        proposal = step.proposal
        used = proposal.flight.dollars if proposal is not None and step.matched else 0.0
        return TrajectoryStep(
            action=verdict.action,
            thought=verdict.turn.thought,
            observation=observation,
            proposed=None if proposal is None else proposal.action,
            matched=step.matched,
            seconds=verdict.flight.seconds,
            proposal_seconds=0.0 if proposal is None else proposal.flight.seconds,
            dollars=verdict.flight.dollars + used,
            committed=self._journal.seconds,
            decisions=range(self._decided, len(self._journal.decisions)),
        )

    def trajectory(self, calls: Calls) -> Trajectory:
        """Return the run as it ended."""
        return Trajectory(
            run=self.run,
            task=self._task,
            steps=tuple(self._steps),
            complete=self.complete,
            seconds=self.seconds,
            ledger=calls.ledger,
            greatest_concurrency=calls.greatest,
            mean_concurrency=calls.seconds / self.seconds if self.seconds > 0 else 0.0,
            decisions=tuple(self._journal.decisions),
            events=tuple(self._journal.events),
        )
