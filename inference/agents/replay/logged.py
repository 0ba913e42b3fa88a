"""How the published system ran: its logged decisions, and its rounds in closed form."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from ....policies.plan.policy import PlanPolicy
from ....policies.plan.state import MAX_AHEAD, Ahead, PlanState
from .recorded import RecordedStep, RecordedTask
from .trace import PlanTraceError, TraceRun


def logged_seconds(run: TraceRun, task: RecordedTask) -> float:
    """Wall seconds of a run by the seconds of its calls and its logged decisions.

    In a round, A's calls follow one another; T's call for a step starts once A has proposed those
    before it in the round. The second proposal also waits for the predictor. A round ends when its
    last committed T ends, or at a mismatch; one in which k = 0 was predicted is one of one step.

    Args:
        run: with the decisions.
        task: the same run, as ``recorded_tasks`` gives it.

    Raises:
        PlanTraceError: if there are fewer or more decisions than rounds.
    """
    total, done = 0.0, 0
    for k, predictor in zip(run.predicted_k, run.predictor_seconds, strict=True):
        steps = task.steps[done : done + max(k, 1)]
        if not steps:
            raise PlanTraceError(f"{run.name}: more decisions were logged than rounds were run")
        committed, seconds = round_seconds(steps, predictor)
        total, done = total + seconds, done + committed
    if done < len(task.steps):
        raise PlanTraceError(f"{run.name}: the decisions logged end at step {done}")
    return total


def round_seconds(steps: tuple[RecordedStep, ...], predictor: float) -> tuple[int, float]:
    """Steps that a round commits, and its seconds.

    Args:
        steps: that it would run at most, one at least.
        predictor: seconds until k is known.
    """
    start = end = 0.0
    for i, step in enumerate(steps):
        end = max(end, start + step.target.seconds)
        proposed = step.approximation.seconds
        if not step.match:
            return i + 1, end
        start += max(proposed, predictor) if i == 0 else proposed
    return len(steps), end


class Logged(PlanPolicy):
    """Decides as a run's log says, and takes the seconds that its predictor took.

    Args:
        run: whose decisions; for one replay of that run.
    """

    name: ClassVar[str] = "logged"
    about: ClassVar[str] = "what a planning trace says was decided"
    barrier = True
    slow = True

    def __init__(self, run: TraceRun) -> None:
        self._left = list(zip(run.predicted_k, run.predictor_seconds, strict=True))
        self._name = run.name

    def decide(self, state: PlanState) -> Ahead:
        """The next logged decision, at once; k = 0 was run as one step.

        Raises:
            PlanTraceError: if there are no more.
        """
        return self._next(state)[0]

    async def consider(self, state: PlanState) -> Ahead:
        """The next logged decision, after its predictor's seconds."""
        ahead, seconds = self._next(state)
        await asyncio.sleep(seconds)
        return ahead

    def _next(self, state: PlanState) -> tuple[Ahead, float]:
        if not self._left:
            at = len(state.committed)
            raise PlanTraceError(f"{self._name}: the decisions logged end at step {at}")
        k, seconds = self._left.pop(0)
        return Ahead(min(max(k, 1), MAX_AHEAD)), seconds
