"""What a replay can tell an oracle: which of A's proposals will match."""

from __future__ import annotations

from collections.abc import Sequence

from ....policies.plan.state import PlanState
from .recorded import RecordedTask


class Foresight:
    """Knows the recorded task of every run: a policy asks about a run first when it starts."""

    def __init__(self) -> None:
        self._starting: RecordedTask | None = None
        self._runs: dict[int, RecordedTask] = {}

    def start(self, task: RecordedTask) -> None:
        """Learn that a task is about to start: the next new run is of it."""
        self._starting = task

    def __call__(self, state: PlanState) -> Sequence[bool]:
        """Whether A matches, for every step that is not settled, the first one first.

        Args:
            state: of a run that was announced by ``start``.

        Raises:
            LookupError: if it was not.
        """
        if state.run not in self._runs:
            if self._starting is None:
                raise LookupError(f"no task was announced for run {state.run}")
            self._runs[state.run], self._starting = self._starting, None
        steps = self._runs[state.run].steps
        return [step.match for step in steps[len(state.committed) :]]
