"""What every policy of the plan control point is: a state in, steps to run ahead out; then news.

A planner asks ``decide`` (or ``consider``) and tells what came of it by three notices. All of
them come from the thread that runs the planner's event loop, one at a time and in the order of
the loop's time; they must return at once (well under a millisecond), since every task waits
meanwhile. An exception out of any of them is raised to whoever awaits the run.

One policy serves many runs at a time, of the same task perhaps: ``PlanState.run`` tells them
apart.

When what comes:

* ``decide``: of a rolling policy, when a run starts; at every output of the approximation agent
  (A), or its failure; at every verdict of the target agent (T), after the ``settled`` of all
  that it settles; and when a step is settled because its tool has answered; never after the
  last step. What is answered holds until the next answer, and never ends a call that runs.
  Of a policy with ``barrier``, once per round, when it starts.
* ``consider``: in place of ``decide``, of a policy with ``barrier`` that is ``slow``. The first
  calls of A and T of the round do not wait for it. A round that ends before the answer cancels
  it.
* ``settled``: when a step is committed, in order of the steps, before ``decide``. T's verdicts
  that come before those of earlier steps are kept, and are told when those are settled; those
  on a prefix that turned out void are never told.
* ``ended``: when a call of either agent ends that began to run, however it ends, before any
  notice or decision that follows from it. One that is cancelled ends when the agent has let go
  of it, perhaps after decisions that follow from what cancelled it; it is charged then.
* ``finished``: when a run ends, however it does; after its last ``ended``.
* ``forget``: where it is not to learn of a run any more; no notice of that run follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from .state import Ahead, Committed, PlanState

CallKind = Literal["A", "T"]
"""Whose call: of the approximation agent or of the target agent."""


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that ended.

    Attributes:
        kind: whose.
        index: of the step that it was for, from 0.
        seconds: that it ran; with ``done`` False a lower bound of what it would have taken.
        dollars: charged for it; with ``done`` False for what it had used by then.
        done: whether it gave its turn; False where it was cancelled or failed.
    """

    kind: CallKind
    index: int
    seconds: float
    dollars: float
    done: bool


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that ended.

    Attributes:
        run: as in ``PlanState``.
        task: as in ``PlanState``.
        committed: all steps settled, oldest first.
        complete: whether its last step is final; False where it was cancelled, failed, or had
            as many steps as it may.
        seconds: from its start to its end.
        dollars: charged for the calls that were of use: T's of every step, and A's where it
            matched.
        wasted: dollars charged for all other calls.
    """

    run: int
    task: str
    committed: Sequence[Committed]
    complete: bool
    seconds: float
    dollars: float
    wasted: float


class PlanPolicy(ABC):
    """Says how many steps of a plan run ahead of their verification."""

    name: ClassVar[str] = ""
    """What users call it."""

    about: ClassVar[str] = ""
    """One line for people, with the source where the idea is someone's."""

    barrier: bool = False
    """Whether plans run in rounds, as the published systems do: with k steps decided, A is called
    for steps 1 to k of the round and T for the same, and a new round starts only after all of
    T's calls have ended, or at the first mismatch. k = 0 is T's call alone (but A's first
    call, which does not wait for the answer, is not ended by one that comes late)."""

    slow: bool = False
    """Whether deciding for a round takes long, as with a large text encoder: such a policy is
    asked by ``consider``."""

    explore: bool = True
    """Whether it may choose what it does not hold to be best, in order to learn; whoever gives the
    orders may change it at any time."""

    @abstractmethod
    def decide(self, state: PlanState) -> Ahead:
        """Decide.

        Args:
            state: the plan now.
        """

    async def consider(self, state: PlanState) -> Ahead:
        """Decide for a round, taking time; for a policy that is ``slow``.

        Args:
            state: the plan when the round starts.
        """
        return self.decide(state)

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:  # noqa: B027
        """Learn that a step is settled.

        Args:
            state: the plan just before: what A proposed for this step, if it did, is
                ``state.proposed[0]``.
            index: of the step, from 0: ``len(state.committed)``.
            matched: whether T's action matched A's; None where A had proposed nothing for it.
                False, with nothing in ``state.proposed``, where A's answer was of no use: what no
                tool does, or a call that failed and is charged.
        """

    def ended(self, call: EndedCall, state: PlanState) -> None:  # noqa: B027 - optional
        """Learn that a call ended.

        Args:
            call: which, and what it took.
            state: the plan as it is then, before anything that follows from the call's turn.
        """

    def finished(self, run: FinishedRun) -> None:  # noqa: B027 - optional
        """Learn that a run ended."""

    def forget(self, run: int) -> None:  # noqa: B027 - optional
        """Drop what is kept of a run that goes on: nothing more will be told of it.

        Args:
            run: as in ``PlanState``.
        """
