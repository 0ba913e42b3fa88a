"""How far a run may go: in a rolling window, or in rounds that are waited for."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from ...policies.plan.policy import CallKind, PlanPolicy
from ...policies.plan.state import MAX_AHEAD, Ahead, PlanState
from .tasks import Tasks
from .window import Unsettled

Look = Callable[[], PlanState]
"""Gives the plan now."""

Note = Callable[[PlanState, Ahead], None]
"""Told of every decision."""


class Steering(ABC):
    """Asks the policy, and says which calls that allows.

    Args:
        policy: who decides.
        look: gives the plan now.
        note: told of every decision.
    """

    def __init__(self, policy: PlanPolicy, look: Look, note: Note) -> None:
        self._policy = policy
        self._look = look
        self._note = note

    @abstractmethod
    def update(self, first: Unsettled, news: bool) -> None:
        """Decide anew if it is time to.

        Args:
            first: the step to be settled next.
            news: whether anything has become known since the last time.
        """

    @abstractmethod
    def allows(self, kind: CallKind, index: int, first: int) -> bool:
        """Say whether a call may be started.

        Args:
            kind: whose.
            index: of the step that it is for.
            first: index of the step to be settled next.
        """

    def passes(self, step: Unsettled) -> bool:  # noqa: ARG002 - always, here
        """Say whether a step that is not settled may be built upon."""
        return True

    def committed(self, step: Unsettled) -> None:  # noqa: B027 - not all need it
        """Learn that a step was committed."""

    def _take(self, state: PlanState, ahead: Ahead) -> int:
        if not 0 <= ahead.steps <= MAX_AHEAD:
            raise ValueError(f"{self._policy!r} chose {ahead.steps} steps, not 0 to {MAX_AHEAD}")
        self._note(state, ahead)
        return ahead.steps

    def _ask(self) -> int:
        state = self._look()
        return self._take(state, self._policy.decide(state))


class Rolling(Steering):
    """A window that moves with every verdict: so many steps beyond those that are settled."""

    steps = 0

    def update(self, first: Unsettled, news: bool) -> None:  # noqa: ARG002 - of others
        """See ``Steering``."""
        if news:
            self.steps = self._ask()

    def allows(self, kind: CallKind, index: int, first: int) -> bool:
        """See ``Steering``."""
        offset = index - first
        return offset < self.steps if kind == "A" else offset <= self.steps


class Rounds(Steering):
    """Rounds of k steps, each ended by all its verdicts or by the first mismatch.

    As in Dynamic Speculative Planning (arXiv 2509.01920) and Interactive Speculative Planning
    (arXiv 2410.00079).

    Args:
        policy: who decides, once per round.
        look: gives the plan now.
        note: told of every decision.
        tasks: runs decisions that take time.
    """

    def __init__(self, policy: PlanPolicy, look: Look, note: Note, tasks: Tasks) -> None:
        super().__init__(policy, look, note)
        self._tasks = tasks
        self._start = 0
        self._steps: int | None = None  # not decided yet
        self._over = True
        self._considering: asyncio.Task[Ahead] | None = None

    def update(self, first: Unsettled, news: bool) -> None:  # noqa: ARG002 - of others
        """See ``Steering``."""
        if self._steps is not None and first.index >= self._start + max(1, self._steps):
            self._over = True
        if self._over:
            self._begin(first.index)

    def allows(self, kind: CallKind, index: int, first: int) -> bool:  # noqa: ARG002 - of others
        """See ``Steering``."""
        steps = 1 if self._steps is None else self._steps
        return index - self._start < (steps if kind == "A" else max(1, steps))

    def passes(self, step: Unsettled) -> bool:
        """See ``Steering``."""
        return step.verdict is None or step.matched is True

    def committed(self, step: Unsettled) -> None:
        """See ``Steering``."""
        if step.matched is not True:
            self._over = True

    def _begin(self, index: int) -> None:
        self._over = False
        self._start = index
        self._steps = None
        if self._considering is not None:
            self._considering.cancel()
        if not self._policy.slow:
            self._steps = self._ask()
            return
        state = self._look()
        work = self._policy.consider(state)
        self._considering = self._tasks.start(work, lambda task: self._considered(task, state))

    def _considered(self, task: asyncio.Task[Ahead], state: PlanState) -> None:
        if task is self._considering and not task.cancelled():
            self._steps = self._take(state, task.result())
            self._considering = None
