"""A planner that waits for its decisions: the plan control point, one decision at a time.

The planner runs in a thread of its own, with its event loop, live or virtual; whenever it asks its
policy, it stands still until it is answered. So a decision made here holds as long as one made by
any other policy.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ..inference.agents.trajectory import Trajectory
from ..policies.plan.policy import EndedCall, FinishedRun, PlanPolicy
from ..policies.plan.state import Ahead, PlanState

Start = Callable[[PlanPolicy], Coroutine[Any, Any, Trajectory]]
"""Runs the next task by a policy."""

Loop = Callable[[Coroutine[Any, Any, Trajectory]], Trajectory]
"""Runs a coroutine to its end, as ``asyncio.run`` does."""

_CLOSED: Final = -1


class Abandoned(BaseException):
    """The run is not wanted any more; raised into the planner, past what handles faults."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The planner waits for a decision.

    Attributes:
        state: what is decided from.
        at: the loop's time, seconds.
        dollars: of the calls that ended since the last decision.
    """

    state: PlanState
    at: float
    dollars: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over.

    Attributes:
        trajectory: what was done; None where it failed.
        error: why it failed; None where it did not.
        dollars: of the calls that ended since the last decision.
    """

    trajectory: Trajectory | None
    error: BaseException | None
    dollars: float


class Asking(PlanPolicy):
    """Asks another thread, and lets a policy learn from the notices.

    Args:
        ask: waits for a decision.
        pupil: is given every notice.
        dollars: told of what every call that ended cost.
    """

    def __init__(
        self,
        ask: Callable[[PlanState], int],
        pupil: PlanPolicy,
        dollars: Callable[[float], None],
    ) -> None:
        self._ask = ask
        self._pupil = pupil
        self._dollars = dollars

    def decide(self, state: PlanState) -> Ahead:
        """Ask; see ``PlanPolicy``."""
        return Ahead(self._ask(state))

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:
        """Pass it on."""
        self._pupil.settled(state, index, matched)

    def ended(self, call: EndedCall, state: PlanState) -> None:
        """Pass it on."""
        self._dollars(call.dollars)
        self._pupil.ended(call, state)

    def finished(self, run: FinishedRun) -> None:
        """Pass it on."""
        self._pupil.finished(run)


class SteppedRun:
    """One run, from decision to decision.

    Args:
        start: runs a task by a policy.
        loop: runs coroutines: ``asyncio.run``, or in virtual time.
        pupil: is given every notice, in the planner's thread, while whoever decides waits.
    """

    def __init__(self, start: Start, loop: Loop, pupil: PlanPolicy) -> None:
        self._start = start
        self._loop = loop
        self._policy = Asking(self._ask, pupil, self._count)
        self._news: queue.SimpleQueue[Asked | Ended] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._dollars = 0.0
        self._over = False
        self._thread = threading.Thread(target=self._run, name="plan", daemon=True)
        self._thread.start()

    def wait(self) -> Asked | Ended:
        """Wait until a decision is asked for, or the run is over."""
        news = self._news.get()
        self._over = isinstance(news, Ended)
        return news

    def answer(self, steps: int) -> Asked | Ended:
        """Decide, and wait for what comes next."""
        self._answers.put(steps)
        return self.wait()

    def close(self) -> None:
        """End the run, if it goes on: all its calls are cancelled."""
        if not self._over:
            self._answers.put(_CLOSED)
        self._thread.join()

    def _run(self) -> None:
        trajectory, error = None, None
        try:
            trajectory = self._loop(self._start(self._policy))
        except BaseException as e:  # noqa: BLE001 - told to whoever waits
            error = e
        self._news.put(Ended(trajectory, error, self._dollars))

    def _ask(self, state: PlanState) -> int:
        now = asyncio.get_running_loop().time()
        self._news.put(Asked(state, now, self._dollars))
        self._dollars = 0.0
        steps = self._answers.get()
        if steps == _CLOSED:
            raise Abandoned
        return steps

    def _count(self, dollars: float) -> None:
        self._dollars += dollars
