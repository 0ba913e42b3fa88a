"""What became of a run: its steps, its decisions, its calls, and everything with its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ...policies.plan.policy import CallKind
from ...policies.plan.state import Ahead, PlanState
from .costs import Ledger
from .protocol import Action


class EventKind(StrEnum):
    """What happens in a run."""

    DECIDED = "decided"
    STARTED = "started"
    PROPOSED = "proposed"
    VERDICT = "verdict"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OBSERVED = "observed"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        seconds: since the run's start.
        kind: what.
        index: of the step that it is about, from 0; of a decision, the first unsettled one.
        agent: whose call it is about; "" where it is about none.
        call: number of the call in this run, from 0; -1 where it is about none.
        text: the action, the observation, the reason, or the steps decided.
    """

    seconds: float
    kind: EventKind
    index: int
    agent: CallKind | Literal[""] = ""
    call: int = -1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision.

    Attributes:
        seconds: since the run's start.
        state: what was seen.
        ahead: what was chosen.
    """

    seconds: float
    state: PlanState
    ahead: Ahead


@dataclass(frozen=True, slots=True)
class TrajectoryStep:
    """A committed step.

    Attributes:
        action: T's, which was committed.
        thought: what T wrote before it.
        observation: what it was answered.
        proposed: A's action for this step; None where there was none in time.
        matched: whether they are the same; None where A had proposed nothing.
        seconds: that T's call ran.
        proposal_seconds: that A's call ran; 0 where it gave nothing.
        dollars: charged for T's call, and for A's where it matched.
        committed: seconds from the run's start until it was committed.
        decisions: numbers of the decisions taken while it was the first unsettled one.
    """

    action: Action
    thought: str
    observation: str
    proposed: Action | None
    matched: bool | None
    seconds: float
    proposal_seconds: float
    dollars: float
    committed: float
    decisions: range


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A run.

    Attributes:
        run: its number in this process.
        task: as the user gave it.
        steps: those committed.
        complete: whether the last of them is final.
        seconds: from its start until the last was committed, or it ended otherwise.
        ledger: all calls, and what became of them.
        greatest_concurrency: most calls that ran at a time.
        mean_concurrency: calls that ran, on the average over those seconds; those being
            cancelled at the end are counted in.
        decisions: all of them, in order.
        events: all of them, in order.
    """

    run: int
    task: object
    steps: Sequence[TrajectoryStep]
    complete: bool
    seconds: float
    ledger: Ledger
    greatest_concurrency: int
    mean_concurrency: float
    decisions: Sequence[Decision]
    events: Sequence[Event]

    @property
    def actions(self) -> tuple[Action, ...]:
        """The committed actions."""
        return tuple(step.action for step in self.steps)


class PlanError(RuntimeError):
    """A run that could not go on.

    Args:
        message: what went wrong.
        trajectory: the run until then: its committed steps stand.
    """

    def __init__(self, message: str, trajectory: Trajectory) -> None:
        super().__init__(message)
        self.trajectory = trajectory
