"""What a planner says to its controller."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgspec
import numpy as np

from ...policies.plan.rows import PlanRows, shape_of, type_of

MOST_ROWS: Final = 4096
"""Transitions of one report."""


class PlannerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a planner says of itself.

    Attributes:
        planner: its name, unique among what the controller governs.
        approximation: model of the agent that runs ahead.
        target: model of the agent that has the last word.
        static_steps: steps that run ahead where nothing decides.
        versions: of flyball.
    """

    planner: str
    approximation: str
    target: str
    static_steps: int = 0
    versions: dict[str, str] = {}


class PlanTotals(msgspec.Struct, array_like=True):
    """What a planner did since its start.

    Attributes:
        runs: that ended.
        complete: of them, those that reached their end.
        seconds: of runs that ended.
        dollars: charged for calls whose turns were used, in runs that ended.
        wasted: charged for all other calls of theirs.
        steps: settled.
        judged: of them, those that the approximation agent had proposed an action for.
        matched: of those, where it was the target agent's.
        calls: ended, of both agents.
        cancelled: of them, those that gave no turn: ended early, or failed.
    """

    runs: int = 0
    complete: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    wasted: float = 0.0
    steps: int = 0
    judged: int = 0
    matched: int = 0
    calls: int = 0
    cancelled: int = 0


def columns_of(rows: PlanRows) -> dict[str, bytes]:
    """Transitions as they travel: every column's bytes, little-endian, rows first."""
    return {
        f.name: np.ascontiguousarray(getattr(rows, f.name), type_of(f.name)).tobytes()
        for f in fields(PlanRows)
    }


def rows_of(columns: dict[str, bytes]) -> PlanRows:
    """Transitions from ``columns_of``.

    Raises:
        ValueError: naming the column that is missing or does not fit.
    """
    names = [f.name for f in fields(PlanRows)]
    if set(columns) != set(names):
        raise ValueError(f"columns must be {', '.join(names)}, got {', '.join(sorted(columns))}")
    kind = np.dtype(type_of("actions"))
    count = len(columns["actions"]) // kind.itemsize
    if not 1 <= count <= MOST_ROWS:
        raise ValueError(f"a report has 1 to {MOST_ROWS} transitions, not {count}")
    rows = PlanRows(**{name: _column(name, columns[name], count) for name in names})
    rows.check()
    return rows


def _column(name: str, data: bytes, count: int) -> np.ndarray[Any, Any]:
    """One column.

    Raises:
        ValueError: it has another length.
    """
    kind = np.dtype(type_of(name))
    shape = (count, *shape_of(name))
    if len(data) != kind.itemsize * int(np.prod(shape)):
        raise ValueError(f"{name} has {len(data)} bytes, not those of shape {shape}")
    return np.frombuffer(data, kind).reshape(shape)
