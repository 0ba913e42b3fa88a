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
from collections.abc import Iterator, Sequence
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
    log_totals: dict[str, float] = {}

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
        for wrong, what in _contradictions(step, i, len(run.steps)):
            if wrong:
                return f"step {i}: {what}"
    if len(run.predicted_k) != len(run.predictor_seconds):
        return "predicted_k and predictor_seconds must be equally many"
    return ""


def _contradictions(step: TraceStep, i: int, steps: int) -> Iterator[tuple[bool, str]]:
    """Whether each thing that can be wrong is, and what is."""
    yield step.step != i, f"steps must be numbered from 1 without gaps, not {step.step}"
    yield not step.t_action, "t_action must name what the target agent did"
    yield (
        step.match != (step.a_action == step.t_action),
        f"match is {step.match}, but A said {step.a_action!r} and T {step.t_action!r}",
    )
    yield (
        (step.a_seconds is None) != (not step.a_action),
        "a_seconds must be null exactly where a_action is empty",
    )
    yield (
        bool(step.a_action) and step.a_gen_tokens is None,
        "a_gen_tokens must be a number where A answered",
    )
    yield (
        step.t_thought_gen_tokens > step.t_gen_tokens,
        "t_gen_tokens are of thought and action together, so at least t_thought_gen_tokens",
    )
    yield (
        step.t_thought_prompt_tokens > step.t_prompt_tokens,
        "t_prompt_tokens are of thought and action together, so at least t_thought_prompt_tokens",
    )
    yield (
        (step.t_action == TERMINATE) != (i == steps),
        f"the last t_action must be {TERMINATE}, and no other",
    )


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
