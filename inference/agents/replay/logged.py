"""How the published system ran its rounds, in closed form: what a replay must reproduce."""

from __future__ import annotations

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
