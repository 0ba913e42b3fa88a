"""What a plan's decision is made from: the steps of one task, committed and proposed.

The planner makes it anew at every decision; everything that policies see, features and
observations alike, is derived from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_AHEAD: Final = 8
"""Most steps that may run ahead of their verification."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A step that the target agent has settled.

    Attributes:
        tool: name of the tool that its action calls.
        action: the action as text, in the form in which actions are compared.
        matched: whether the approximation agent had proposed it; None where it had proposed
            nothing, or proposed it on a prefix that was void.
    """

    tool: str
    action: str
    matched: bool | None


@dataclass(frozen=True, slots=True)
class Proposed:
    """A step that the approximation agent proposed and the target agent has not settled.

    Attributes:
        tool: name of the tool that its action calls.
        action: the action as text, in the form in which actions are compared.
        logprob: mean natural log-probability of its tokens; NaN where it is not known.
        final: whether it ends the task.
        effectful: whether it has side effects: nothing beyond it can run before it is settled.
        elapsed: seconds that its target call has been running; NaN where it has not begun or
            has ended.
        judged: whether the target agent has given this very action for it already, so that it
            stands if the steps before it do. One that it contradicted is not shown any more:
            its own is, in its place, and later steps are proposed from that.
    """

    tool: str
    action: str
    logprob: float = math.nan
    final: bool = False
    effectful: bool = False
    elapsed: float = math.nan
    judged: bool = False


@dataclass(frozen=True, slots=True)
class PlanState:
    """One task at one moment.

    Attributes:
        task: what is to be done, as text.
        committed: steps settled so far, oldest first.
        proposed: steps proposed beyond them, oldest first, all on one another.
        speed: the knob, in [0, 1].
        in_flight: calls running now, of all tasks.
        free: further calls that may be started now; infinite without a limit.
        tasks: tasks that run now, this one among them.
        elapsed: seconds that the target call of the step after the last proposed one has been
            running; NaN where it has not begun.
        run: number of the run that it is a moment of, so that runs of one task can be told
            apart.
        at: seconds since its run started; NaN where it is not known.
    """

    task: str
    committed: Sequence[Committed] = ()
    proposed: Sequence[Proposed] = ()
    speed: float = 0.5
    in_flight: int = 0
    free: float = math.inf
    tasks: int = 1
    elapsed: float = math.nan
    run: int = 0
    at: float = math.nan


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was decided.

    Attributes:
        steps: how many steps may run ahead, in [0, MAX_AHEAD]: target calls may be running for
            the first step that is not settled and so many beyond it. 0 is no speculation. Calls
            that run already are not ended by a smaller one.
        propensity: probability with which it was chosen, in (0, 1].
        explored: whether it was chosen in order to learn.
        values: what was known of every choice, for people; empty where nothing was.
    """

    steps: int
    propensity: float = 1.0
    explored: bool = False
    values: Sequence[float] = field(default=())
