"""What plans are run on: recorded runs, and generated ones.

Every policy meets a scene's tasks in the same order and learns from each. What counts are the
tasks after the first ones, in which it learned: of a trace, all its runs, after generated tasks
of other templates; of a generated stream, what follows its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ...inference.agents.replay.generator import PlanGenerator
from ...inference.agents.replay.recorded import RecordedTask
from ...inference.agents.replay.trace import TraceRun, recorded_tasks

TRACE: Final = "trace"
GENERATED: Final = "generated"

_ELSEWHERE: Final = 1_000_003  # between the seeds of what counts and of what is learned from


@dataclass(frozen=True)
class Scene:
    """Tasks to be run.

    Attributes:
        name: ``TRACE`` or ``GENERATED``.
        seed: of its order or of the tasks.
        tasks: all of them, in order.
        first: how many do not count.
        templates_by_seed: whether groups of the same number are others with another seed.
    """

    name: str
    seed: int
    tasks: tuple[RecordedTask, ...]
    first: int
    templates_by_seed: bool = True


def trace_scene(runs: Sequence[TraceRun], learned: int, seed: int) -> Scene:
    """A trace's runs in random order, after generated tasks."""
    rng = np.random.default_rng(seed)
    tasks = recorded_tasks(runs)
    before = PlanGenerator().tasks(learned, seed + _ELSEWHERE)
    ordered = tuple(tasks[i] for i in rng.permutation(len(tasks)))
    return Scene(TRACE, seed, (*_others(before), *ordered), learned, templates_by_seed=False)


def generated_scene(learned: int, counted: int, seed: int) -> Scene:
    """A generated stream of tasks that come back."""
    return Scene(GENERATED, seed, PlanGenerator().tasks(learned + counted, seed), learned)


def _others(tasks: Sequence[RecordedTask]) -> list[RecordedTask]:
    """The same tasks, of groups that no trace has: they never count."""
    return [replace(task, group=-1) for task in tasks]
