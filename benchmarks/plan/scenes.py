"""What plans are run on: recorded runs, and generated ones.

Every policy meets a scene's tasks in the same order and learns from each. What counts are the
tasks after the first ones, in which it learned: of a trace, all its runs, after generated tasks
of other templates; of a generated stream, what follows its beginning.

A replay does as the logs of the trace show that its system did: nothing is proposed after A's own
TERMINATE (no run wasted a call beyond one, in rounds that had room for it), A goes on past the end
where it does not say so, and a cancelled call is charged for what it had used (tokens are logged of
some, the second request's prompt only of those that got so far). ``TRACE_WHOLE`` is the trace with
cancelled calls charged in full. In ``TRACE_BLIND``, moreover, what runs ahead a fixed number of
steps does not look at what A says and goes on after its TERMINATE, up to the recorded end.
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
TRACE_WHOLE: Final = "trace_whole"
TRACE_BLIND: Final = "trace_blind"
GENERATED: Final = "generated"
UNSEEN: Final = "unseen"

_MANY: Final = 4000  # templates, all as frequent
_ELSEWHERE: Final = 1_000_003  # between the seeds of what counts and of what is learned from


@dataclass(frozen=True)
class Scene:
    """Tasks to be run.

    Attributes:
        name: ``TRACE``, ``TRACE_WHOLE``, ``TRACE_BLIND``, ``GENERATED`` or ``UNSEEN``.
        seed: of its order or of the tasks.
        tasks: all of them, in order.
        first: how many do not count.
        templates_by_seed: whether groups of the same number are others with another seed.
        whole: whether cancelled calls are charged in full.
        blind: whether fixed numbers of steps run on after A's own TERMINATE.
    """

    name: str
    seed: int
    tasks: tuple[RecordedTask, ...]
    first: int
    templates_by_seed: bool = True
    whole: bool = False
    blind: bool = False


def trace_scene(
    runs: Sequence[TraceRun], learned: int, seed: int, *, whole: bool = False, blind: bool = False
) -> Scene:
    """A trace's runs in random order, after generated tasks; a blind one is a whole one."""
    rng = np.random.default_rng(seed)
    tasks = recorded_tasks(runs)
    before = PlanGenerator().tasks(learned, seed + _ELSEWHERE)
    ordered = tuple(tasks[i] for i in rng.permutation(len(tasks)))
    return Scene(
        TRACE_BLIND if blind else TRACE_WHOLE if whole else TRACE,
        seed,
        (*_others(before), *ordered),
        learned,
        templates_by_seed=False,
        whole=whole or blind,
        blind=blind,
    )


def generated_scene(learned: int, counted: int, seed: int) -> Scene:
    """A generated stream of tasks that come back."""
    return Scene(GENERATED, seed, PlanGenerator().tasks(learned + counted, seed), learned)


def unseen_scene(learned: int, counted: int, seed: int) -> Scene:
    """A generated stream of tasks that hardly ever come back."""
    generator = PlanGenerator(templates=_MANY, zipf=0.0)
    return Scene(UNSEEN, seed, generator.tasks(learned + counted, seed), learned)


def _others(tasks: Sequence[RecordedTask]) -> list[RecordedTask]:
    """The same tasks, of groups that no trace has: they never count."""
    return [replace(task, group=-1) for task in tasks]
