"""Planning traces: what two agents did on real tasks, in the format of DSP's experiment logs.

JSON lines, one run each: its steps with the seconds, tokens and actions of the approximation agent
A and of the target agent T (a thought, then an action), the wall seconds, and what was decided:
the predicted steps per round (k) with the seconds that the predictor took. Tokens of T are of its
two requests together; those of the thought are named.

The format is that of the logs of Dynamic Speculative Planning (Guan et al., 2025, arXiv
2509.01920), as transcribed; no trace comes with flyball.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from .recorded import TERMINATE, RecordedStep, RecordedTask, RecordedTurn

Tokens = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Share = Annotated[float, msgspec.Meta(ge=0, le=86400)]

_MOST: Final = 1 << 24  # bytes of a line


class PlanTraceError(ValueError):
    """A planning trace that cannot be used, with file and line."""


class TraceStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A committed step. ``a_seconds`` and ``a_gen_tokens`` are null where A gave no answer."""

    step: Annotated[int, msgspec.Meta(ge=1)]
    a_seconds: Seconds | None
    a_prompt_tokens: Tokens
    a_gen_tokens: Tokens | None
    t_seconds: Seconds
    t_prompt_tokens: Tokens
    t_gen_tokens: Tokens
    t_thought_prompt_tokens: Tokens
    t_thought_gen_tokens: Tokens
    match: bool
    a_action: str
    t_action: str
    note: str = ""


class TraceRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of one task."""

    setting: str
    task: int
    steps: Annotated[tuple[TraceStep, ...], msgspec.Meta(min_length=1)]
    wall_seconds: Seconds
    sum_t_seconds: Seconds
    predicted_k: tuple[Tokens, ...]
    predictor_seconds: tuple[Share, ...]
    wasted: tuple[dict[str, Any], ...] = ()
    log_totals: dict[str, float] = {}  # noqa: RUF012 - a struct copies it

    @property
    def name(self) -> str:
        """Of the run, for people."""
        return f"{self.setting}/{self.task}"


def read_plan_trace(path: Path) -> tuple[TraceRun, ...]:
    """Read a planning trace.

    Args:
        path: of JSON lines, as above.

    Raises:
        PlanTraceError: if it is none, with the line and what would be right.
        OSError: if it cannot be read.
    """
    runs = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MOST), b""), 1):
            if line.strip():
                runs.append(_run(line, f"{path}, line {number}"))
    if not runs:
        raise PlanTraceError(f"{path} holds no runs; a planning trace has one JSON object per line")
    return tuple(runs)


_DECODER: Final = msgspec.json.Decoder(TraceRun)


def _run(line: bytes, place: str) -> TraceRun:
    try:
        run = _DECODER.decode(line)
    except msgspec.DecodeError as e:  # also of what is no JSON
        raise PlanTraceError(f"{place}: {e}") from None
    wrong = _wrong(run)
    if wrong:
        raise PlanTraceError(f"{place}: {wrong}")
    return run


def _wrong(run: TraceRun) -> str:
    """What contradicts itself in a run; "" for nothing."""
    for i, step in enumerate(run.steps, 1):
        at = f"step {i}: "
        if step.step != i:
            return f"{at}steps must be numbered from 1 without gaps, not {step.step}"
        if not step.t_action:
            return f"{at}t_action must name what the target agent did"
        if step.match != (step.a_action == step.t_action):
            return f"{at}match is {step.match}, but A said {step.a_action!r}, T {step.t_action!r}"
        if (step.a_seconds is None) != (not step.a_action):
            return f"{at}a_seconds must be null exactly where a_action is empty"
        if step.a_action and step.a_gen_tokens is None:
            return f"{at}a_gen_tokens must be a number where A answered"
        if step.t_thought_gen_tokens > step.t_gen_tokens:
            return f"{at}t_gen_tokens are of thought and action together: at least the thought's"
        if step.t_thought_prompt_tokens > step.t_prompt_tokens:
            return f"{at}t_prompt_tokens are of thought and action together"
        if (step.t_action == TERMINATE) != (i == len(run.steps)):
            return f"{at}the last t_action must be {TERMINATE}, and no other"
    if len(run.predicted_k) != len(run.predictor_seconds):
        return "predicted_k and predictor_seconds must be equally many"
    return ""


def recorded_tasks(runs: Sequence[TraceRun]) -> tuple[RecordedTask, ...]:
    """What a replay runs, one task per run.

    Where A gave no answer, that takes it the median of its seconds. The task's number is all that
    a trace tells of it, so that is its text.
    """
    usual = statistics.median(s.a_seconds for r in runs for s in r.steps if s.a_seconds)
    return tuple(
        RecordedTask(
            text=f"task {run.task}",
            steps=tuple(_step(step, usual) for step in run.steps),
            group=run.task,
        )
        for run in runs
    )


def _step(step: TraceStep, usual: float) -> RecordedStep:
    approximation = RecordedTurn(
        action=step.a_action,
        seconds=step.a_seconds or usual,
        prompts=(step.a_prompt_tokens,),
        completions=(step.a_gen_tokens or 0,),
    )
    thought = (step.t_thought_prompt_tokens, step.t_thought_gen_tokens)
    target = RecordedTurn(
        action=step.t_action,
        seconds=step.t_seconds,
        prompts=(thought[0], step.t_prompt_tokens - thought[0]),
        completions=(thought[1], step.t_gen_tokens - thought[1]),
    )
    return RecordedStep(approximation, target)
