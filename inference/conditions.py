"""From intervals to conditions: what the steps of an engine took in like states."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from ..policies.transition import Floats, Transition
from .profile import Condition

_NEAR: Final = 0.1  # of a batch size, or of its drafts: an interval further away belongs to none
_LEAST: Final = 4  # intervals of a condition


def collect(transitions: Iterable[Transition], batches: Sequence[int]) -> list[Condition]:
    """Conditions of pinned intervals, those of too few intervals left out.

    Alike are intervals of one depth and batch size, with contexts within a factor of four and
    prompt tokens per step within a factor of two.

    Args:
        transitions: as heard; those without a pin or just after a change of depth are passed over.
        batches: batch sizes that were meant.
    """
    found: defaultdict[tuple[int, ...], list[Floats]] = defaultdict(list)
    for transition in transitions:
        batch = meant(transition, batches)
        if batch is not None:
            row = _row(transition)
            key = (batch, transition.decision.applied, _bin(row[1], 4.0), _bin(row[2], 2.0))
            found[key].append(row)
    return [
        _condition(key[1], np.array(rows))
        for key, rows in sorted(found.items())
        if len(rows) >= _LEAST
    ]


def meant(transition: Transition, batches: Sequence[int]) -> int | None:
    """The batch size that an interval was measured at; None if it tells of none.

    The interval after a change of depth pays for the change. One that verified fewer drafts than
    were made is not of its depth: a condition has no other measure of them.
    """
    outcome = transition.outcome
    if not transition.decision.pin or outcome.switched or not outcome.steps:
        return None
    if sum(outcome.checked) < (1.0 - _NEAR) * outcome.drafted:
        return None
    batch = outcome.request_steps / outcome.steps
    return next((b for b in batches if abs(batch - b) <= _NEAR * b), None)


def _row(transition: Transition) -> Floats:
    """Batch, context of each request, prompt tokens, seconds (all per step), and steps."""
    o = transition.outcome
    row = (o.request_steps / o.steps, o.context / o.request_steps, o.prefill / o.steps)
    return np.array([*row, o.seconds / o.steps, o.steps])


def _bin(value: float, factor: float) -> int:
    return round(math.log(value, factor)) if value >= 1.0 else -1


def _condition(depth: int, rows: Floats) -> Condition:
    batch, context, prefill, seconds = np.median(rows[:, :4], axis=0).tolist()
    low, high = np.percentile(rows[:, 3], (25, 75)).tolist()
    return Condition(
        batch=batch,
        context=context,
        depth=depth,
        prefill=prefill,
        seconds=seconds,
        low=low,
        high=high,
        steps=int(rows[:, 4].sum()),
        intervals=len(rows),
    )
