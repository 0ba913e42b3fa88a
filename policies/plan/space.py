"""What a policy of the plan control point sees: named fields with units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..spaces import Array, Field, Space
from .estimates import CallEstimates
from .features import matches_in_a_row, text_features
from .state import MAX_AHEAD, PlanState
from .survival import MatchModel

TEXT: Final = 32
"""Hashed features of the task and its latest actions."""

ENDED: Final = -1.0
"""Seconds told of a target call that has ended, though its step is not settled yet."""

_UNLIMITED: Final = 256.0  # what stands for no limit of calls
_LATEST: Final = 4  # actions whose tools are told
_MICRO: Final = 1e6  # dollars are told in millionths


def _text_fields() -> tuple[Field, ...]:
    half = TEXT // 2
    about = ["words of the task"] * half + ["tools of the latest actions"] * half
    return tuple(Field(f"text_{i}", "1", 0, 1, f"hashed {a}") for i, a in enumerate(about))


PLAN_SPACE: Final = Space(
    "plan/1",
    (
        Field("step", "steps", 0, 64, "index of the next step to be proposed", log=True),
        Field("committed", "steps", 0, 64, "steps settled", log=True),
        Field("unverified", "steps", 0, MAX_AHEAD, "steps proposed and not settled"),
        Field("begun", "calls", 0, MAX_AHEAD + 1, "target calls begun, from the first on"),
        Field("reach", "steps", 0, MAX_AHEAD, "steps that can run ahead: until side effects"),
        Field("run", "steps", 0, 16, "matches since the last step that was none", log=True),
        Field("share", "1", 0, 1, "share of this task's proposals that matched; .5 of none"),
        *(
            Field(f"survival_{j}", "1", 0, 1, f"P(the next {j} steps all match)")
            for j in range(1, MAX_AHEAD + 1)
        ),
        Field("told", "1", 0, 1, "share of a chance's variance that its proposal resolves"),
        Field("logprob", "nats", -4, 0, "of the newest proposal's tokens, mean; 0 if not known"),
        Field("logprob_known", "1", 0, 1, "whether that is known"),
        Field("final", "1", 0, 1, "whether the newest proposal ends the task"),
        Field("repeats", "1", 0, 1, "whether the newest proposal repeats an earlier action"),
        Field("effectful", "1", 0, 1, "whether the newest proposal has side effects"),
        *(
            Field(f"elapsed_{j}", "s", -1, 120, f"of the target call {j} steps ahead", log=True)
            for j in range(MAX_AHEAD + 1)  # 0 of one that has not begun, -1 of one that has ended
        ),
        Field("a_seconds", "s", 0, 120, "expected of the next call of A", log=True),
        Field("t_seconds", "s", 0, 120, "expected of the first target call to start", log=True),
        Field("t_spread", "1", 0, 2, "standard deviation of log seconds of target calls"),
        Field("a_dollars", "1e-6 $", 0, 1e6, "expected of the next call of A", log=True),
        Field("t_dollars", "1e-6 $", 0, 1e6, "expected of the first target call", log=True),
        Field("t_at_once", "1", 0, 1, "share of a target call's dollars due if cancelled at once"),
        Field("step_seconds", "s", 0, 120, "a step's without running ahead, mean", log=True),
        Field("step_dollars", "1e-6 $", 0, 1e6, "a step's without running ahead", log=True),
        Field("in_flight", "calls", 0, 256, "calls running, of all tasks", log=True),
        Field("free", "calls", 0, _UNLIMITED, "calls that may be started now", log=True),
        Field("tasks", "tasks", 0, 256, "tasks running", log=True),
        Field("congestion", "1", 0, 1, "share of decisions, lately, that left no call free"),
        *_text_fields(),
        Field("speed", "1", 0, 1, "the knob: 0 = cheapest, 1 = fastest"),
    ),
)
"""The observation of the ``plan`` control point."""


class PlanEstimates:
    """All that is learned online of a plan's steps: matches, calls, and how scarce calls are.

    Attributes:
        matches: how likely steps match.
        calls: what calls take.
        congestion: share of decisions, lately, that left no call free.
    """

    MEMORY: Final = 0.98
    """Weight of the past of the congestion, per decision."""

    def __init__(self, matches: MatchModel | None = None) -> None:
        self.matches = MatchModel() if matches is None else matches
        self.calls = CallEstimates()
        self.congestion = 0.0

    def crowd(self, free: float) -> None:
        """Take how many calls may be started, at a decision."""
        self.congestion += (1.0 - self.MEMORY) * ((free < 1.0) - self.congestion)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was learned, as named arrays that safetensors can hold."""
        return {
            **{f"matches/{name}": a for name, a in self.matches.arrays().items()},
            **{f"calls/{name}": a for name, a in self.calls.arrays().items()},
            "congestion": np.array([self.congestion]),
        }

    def load(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Carry on from ``arrays()``.

        Raises:
            ValueError: naming the array that is missing or does not fit.
        """
        parts: dict[str, dict[str, npt.NDArray[Any]]] = {"matches": {}, "calls": {}}
        for key, array in arrays.items():
            part, _, name = key.partition("/")
            if name and part in parts:
                parts[part][name] = array
        self.matches.load(parts["matches"])
        self.calls.load(parts["calls"])
        given = arrays.get("congestion", np.zeros(0))
        if given.shape != (1,) or not 0.0 <= float(given[0]) <= 1.0:
            raise ValueError("congestion must be one number in [0, 1]")
        self.congestion = float(given[0])


def observe(state: PlanState, estimates: PlanEstimates) -> Array:
    """One raw observation.

    Args:
        state: the plan now.
        estimates: what is known of its steps.

    Returns:
        float32, shape (PLAN_SPACE.size,), in the fields' units.
    """
    out = PLAN_SPACE.zeros()
    settled, proposed = len(state.committed), state.proposed[:MAX_AHEAD]
    verdicts = [step.matched for step in state.committed]
    known = [v for v in verdicts if v is not None]
    elapsed = _elapsed(state)
    begun = next((i for i, e in enumerate(elapsed) if math.isnan(e)), len(elapsed))
    _put(
        out,
        "step",
        settled + len(proposed),
        settled,
        len(proposed),
        begun,
        _reach(state),
        matches_in_a_row(verdicts),
        sum(known) / len(known) if known else 0.5,
    )
    out[_SURVIVAL] = np.cumprod(estimates.matches.chances(state))
    _put(out, "told", estimates.matches.told)
    _newest(out, state)
    out[_ELAPSED] = [0.0 if math.isnan(seconds) else seconds for seconds in elapsed]
    _costs(out, settled, len(proposed), begun, estimates.calls)
    free = min(max(state.free, 0.0), _UNLIMITED)
    _put(out, "in_flight", state.in_flight, free, state.tasks, estimates.congestion)
    tools = [step.tool for step in state.committed] + [step.tool for step in proposed]
    out[_TEXT] = text_features(state.task, tuple(tools[-_LATEST:]), TEXT)
    out[PLAN_SPEED_INDEX] = state.speed
    return out


def _put(out: Array, first: str, *values: float) -> None:
    """Consecutive fields, from a named one on."""
    out[PLAN_SPACE.slice(first, len(values))] = values


def _elapsed(state: PlanState) -> list[float]:
    """Seconds that the target calls of the next steps have run.

    NaN of those that have not begun, ``ENDED`` of those that have ended.
    """
    elapsed = [ENDED if step.judged else step.elapsed for step in state.proposed]
    elapsed += [state.elapsed] + [math.nan] * (MAX_AHEAD + 1)
    return elapsed[: MAX_AHEAD + 1]


def _reach(state: PlanState) -> int:
    """Steps that can run ahead: none beyond one with side effects, none after the last."""
    for i, step in enumerate(state.proposed[:MAX_AHEAD]):
        if step.effectful or step.final:
            return i
    return MAX_AHEAD


def _newest(out: Array, state: PlanState) -> None:
    """Fields of the newest proposal."""
    if not state.proposed:
        return
    newest = state.proposed[-1]
    earlier = {step.action for step in state.committed}
    earlier |= {step.action for step in state.proposed[:-1]}
    known = math.isfinite(newest.logprob)
    _put(
        out,
        "logprob",
        newest.logprob if known else 0.0,
        known,
        newest.final,
        newest.action in earlier,
        newest.effectful,
    )


def _costs(out: Array, settled: int, proposed: int, begun: int, calls: CallEstimates) -> None:
    """Fields of what calls take."""
    a, t = calls.a, calls.t
    seconds, dollars = calls.sequential
    _put(
        out,
        "a_seconds",
        a.seconds(settled + proposed),
        t.seconds(settled + begun),
        t.spread,
        _MICRO * a.dollars(settled + proposed),
        _MICRO * t.dollars(settled + begun),
        t.at_once,
        seconds,
        _MICRO * dollars,
    )


PLAN_SPEED_INDEX: Final = PLAN_SPACE.index("speed")
"""Where the speed is."""

_SURVIVAL: Final = PLAN_SPACE.slice("survival_1", MAX_AHEAD)
_ELAPSED: Final = PLAN_SPACE.slice("elapsed_0", MAX_AHEAD + 1)
_TEXT: Final = PLAN_SPACE.slice("text_0", TEXT)
