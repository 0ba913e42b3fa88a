"""Transitions of plans as columns, and what makes them of a planner's notices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..spaces import Array
from ..transition import Floats
from .policy import EndedCall, FinishedRun
from .schedule import CHOICES
from .space import PLAN_SPACE
from .state import MAX_AHEAD, Ahead, Committed, PlanState

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PlanRows:
    """Transitions, n of them, raw.

    Attributes:
        observations: at the decisions, float32, shape (n, PLAN_SPACE.size).
        actions: steps ahead, int64, shape (n,).
        propensities: with which they were chosen, float32, shape (n,).
        spent: seconds until the same run's next decision or its end, dollars of the calls that
            ended meanwhile, and steps that were settled: float32, shape (n, 3). NaN seconds
            where they are not known.
        following: observations at the next decision, of the observations' shape.
        ended: whether there was none, as the run was complete; bool, shape (n,).
        matched: whether the steps next to be settled matched, 1 or 0, in order, NaN from the
            first on of which that was never known: float32, shape (n, MAX_AHEAD).
        seconds: that the steps' target calls took from the decision, or their start after it:
            float32, shape (n, CHOICES), NaN where not known.
        landing: observations at the first decision after the first mismatch, or after the last
            step of which ``matched`` tells and the one that follows.
        landed: whether there was none, as the run was complete; bool, shape (n,).
    """

    observations: Array
    actions: npt.NDArray[np.int64]
    propensities: Array
    spent: Array
    following: Array
    ended: Flags
    matched: Array
    seconds: Array
    landing: Array
    landed: Flags

    def __len__(self) -> int:
        return len(self.actions)

    def check(self) -> None:
        """Refuse columns from outside that do not fit.

        Raises:
            ValueError: naming the column.
        """
        n = len(self.actions)
        for f in fields(self):
            column = getattr(self, f.name)
            if column.shape != (n, *shape_of(f.name)) or column.dtype != type_of(f.name):
                raise ValueError(f"{f.name} has shape {column.shape} and type {column.dtype}")
            if f.name not in _MAY_BE_NAN and not np.isfinite(column).all():
                raise ValueError(f"{f.name} is not finite")
        if not ((self.actions >= 0) & (self.actions < CHOICES)).all():
            raise ValueError(f"actions must be integers in [0, {CHOICES})")
        if ((self.propensities <= 0.0) | (self.propensities > 1.0)).any():
            raise ValueError("propensities must be in (0, 1]")
        if not np.isin(self.matched[~np.isnan(self.matched)], (0.0, 1.0)).all():
            raise ValueError("matched must be 0, 1 or NaN")
        if (self.spent < 0.0).any() or (self.seconds < 0.0).any():
            raise ValueError("spent and seconds must not be negative")

    def take(self, index: npt.NDArray[Any]) -> PlanRows:
        """Copies of some rows, by their numbers or by a mask."""
        return PlanRows(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def relative_spent(rows: PlanRows) -> Array:
    """Seconds and dollars between decisions, less 1 for each step settled: 0 is sequential.

    Returns:
        In a step's mean seconds and dollars without running ahead, float32, shape (n, 2).
    """
    units = rows.observations[:, [_STEP_SECONDS, _STEP_DOLLARS]] / np.array([1.0, _MICRO])
    used: Floats = rows.spent[:, :2] / np.maximum(units, _UNIT) - rows.spent[:, 2:]
    return used.astype(np.float32)


def shape_of(column: str) -> tuple[int, ...]:
    """Shape of one row of a column."""
    if column in {"observations", "following", "landing"}:
        return (PLAN_SPACE.size,)
    return {"spent": (3,), "matched": (MAX_AHEAD,), "seconds": (CHOICES,)}.get(column, ())


def type_of(column: str) -> npt.DTypeLike:
    """Type of a column."""
    return {"actions": np.int64, "ended": np.bool_, "landed": np.bool_}.get(column, np.float32)


_STEP_SECONDS = PLAN_SPACE.index("step_seconds")
_STEP_DOLLARS = PLAN_SPACE.index("step_dollars")
_MICRO = 1e6
_UNIT = 1e-9  # least seconds or dollars that are divided by
_MAY_BE_NAN = ("spent", "matched", "seconds")


@dataclass(slots=True)
class _Run:
    """A run that goes on: its decisions, and what its calls took."""

    decisions: list[_Decision] = field(default_factory=list)
    dollars: float = 0.0  # of calls that ended
    took: dict[int, float] = field(default_factory=dict)  # seconds of T's latest call, by step


@dataclass(frozen=True, slots=True)
class _Decision:
    observation: Array
    ahead: Ahead
    settled: int
    at: float
    dollars: float
    elapsed: Sequence[float]  # of target calls that ran


class PlanRecorder:
    """Makes rows of what a policy saw, chose and was told; one for all runs."""

    def __init__(self) -> None:
        self._runs: dict[int, _Run] = {}

    def decided(self, state: PlanState, observation: Array, ahead: Ahead) -> None:
        """Take a decision."""
        run = self._runs.setdefault(state.run, _Run())
        elapsed = [step.elapsed for step in state.proposed] + [state.elapsed]
        settled = len(state.committed)
        run.decisions.append(_Decision(observation, ahead, settled, state.at, run.dollars, elapsed))

    def ended(self, call: EndedCall, state: PlanState) -> None:
        """Take a call that ended."""
        run = self._runs.setdefault(state.run, _Run())
        run.dollars += call.dollars
        if call.kind == "T" and call.done:
            run.took[call.index] = call.seconds

    def finished(self, finished: FinishedRun) -> PlanRows | None:
        """Take the end of a run.

        Returns:
            Its transitions; None if it had no decisions, or was not complete: what it would
            have come to is not known.
        """
        run = self._runs.pop(finished.run, None)
        if run is None or not run.decisions or not finished.complete:
            return None
        rows = [self._row(run, i, finished) for i in range(len(run.decisions))]
        return PlanRows(
            **{
                f.name: np.array([row[f.name] for row in rows], type_of(f.name))
                for f in fields(PlanRows)
            }
        )

    def _row(self, run: _Run, i: int, finished: FinishedRun) -> dict[str, Any]:
        now, committed = run.decisions[i], finished.committed
        later = run.decisions[i + 1] if i + 1 < len(run.decisions) else None
        matched = _matched(committed[now.settled :])
        known = [m for m in matched if not math.isnan(m)]
        mismatch = known.index(0.0) + 1 if 0.0 in known else len(known) + 1
        goal = now.settled + mismatch
        landing = next((d for d in run.decisions[i + 1 :] if d.settled >= goal), None)
        at = finished.seconds if later is None else later.at
        spent = (
            max(at - now.at, 0.0),
            (run.dollars if later is None else later.dollars) - now.dollars,
            (len(committed) if later is None else later.settled) - now.settled,
        )
        return {
            "observations": now.observation,
            "actions": now.ahead.steps,
            "propensities": now.ahead.propensity,
            "spent": spent,
            "following": now.observation if later is None else later.observation,
            "ended": later is None,
            "matched": matched,
            "seconds": _seconds(run, now),
            "landing": now.observation if landing is None else landing.observation,
            "landed": landing is None,
        }


def _matched(steps: Sequence[Committed]) -> list[float]:
    """Verdicts of steps up to the first mismatch, or the first of which nothing is known.

    The last of them that a run has is not told where it matched: nothing comes after it.
    """
    out = [math.nan] * MAX_AHEAD
    for i, step in enumerate(steps[: min(MAX_AHEAD, len(steps) - 1)]):
        if step.matched is None:
            break
        out[i] = float(step.matched)
        if not step.matched:
            break
    return out


def _seconds(run: _Run, now: _Decision) -> list[float]:
    """What the next steps' target calls took: from now on where they ran already."""
    out = []
    for j in range(CHOICES):
        took = run.took.get(now.settled + j, math.nan)
        elapsed = now.elapsed[j] if j < len(now.elapsed) else math.nan
        out.append(took if math.isnan(elapsed) else max(took - elapsed, 0.0))
    return out
