"""Runs arms on scenes, in several processes, and keeps what is compared of every task."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...inference.agents.replay.foresight import Foresight
from ...inference.agents.replay.recorded import RecordedTask
from ...inference.agents.replay.run import replay
from ...inference.agents.trajectory import Trajectory
from ...policies.plan.catalogue import make_plan_policy
from ...policies.plan.policy import PlanPolicy
from ...policies.plan.state import Ahead, PlanState
from ...policies.transition import Floats
from .arms import FIXED, WINDOW, Arm
from .scenes import Scene

AT_ONCE: Final = 3
"""Tasks that share a limited number of calls."""

COLUMNS: Final = (
    "group",
    "seconds",
    "dollars",
    "wasted_dollars",
    "wasted_tokens",
    "concurrency",
    "greatest_concurrency",
    "identical",
    "again",
)
"""What is kept of every task: seconds from its start to its end, dollars of all its calls, dollars
and tokens of calls that were of no use, calls that ran on the average and at most, whether the
committed actions are the target agent's own, and whether the task was met before."""


@dataclass(frozen=True)
class Job:
    """One arm on one scene.

    Attributes:
        scene: what is run.
        arm: who decides.
        limit: calls that may run at a time; infinite for one task after another without a limit.
    """

    scene: Scene
    arm: Arm
    limit: float = math.inf


@dataclass(frozen=True)
class Rows:
    """What came of a job.

    Attributes:
        values: float64, shape (tasks, columns); see ``COLUMNS``.
        decide_ms: milliseconds of processor time of every decision.
    """

    values: Floats
    decide_ms: Floats = field(default_factory=lambda: np.zeros(0))

    def column(self, name: str) -> Floats:
        """One column, shape (tasks,)."""
        column: Floats = self.values[:, COLUMNS.index(name)]
        return column


def run_jobs(
    jobs: Sequence[Job], workers: int, progress: Callable[[str], None]
) -> Iterator[tuple[Job, Rows]]:
    """Run all jobs; the results come in the jobs' order.

    Args:
        jobs: what is to be run.
        workers: processes.
        progress: is told how far it is.
    """
    if workers == 1:
        results = map(run_job, jobs)
        yield from _told(jobs, results, progress)
        return
    # Forked processes would inherit threads of whoever measures; spawned ones start clean.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        yield from _told(jobs, pool.map(run_job, jobs), progress)


def _one_thread() -> None:
    """Keep PyTorch, once it is imported, to one thread: the processes share the cores."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _told(
    jobs: Sequence[Job], results: Iterator[Rows], progress: Callable[[str], None]
) -> Iterator[tuple[Job, Rows]]:
    every = max(len(jobs) // 10, 1)
    for i, (job, rows) in enumerate(zip(jobs, results, strict=True), 1):
        if i % every == 0:
            progress(f"{i} of {len(jobs)} arms are run")
        yield job, rows


def run_job(job: Job) -> Rows:
    """Run one arm on one scene."""
    foresight = Foresight()
    policy = make_plan_policy(job.arm.spec, future=foresight, seed=job.scene.seed)
    times = timed(policy)
    found = replay(
        job.scene.tasks,
        policy,
        speed=job.arm.speed,
        concurrency=job.limit,
        at_once=1 if math.isinf(job.limit) else AT_ONCE,
        foresight=foresight,
        whole=job.scene.whole,
        blind=job.scene.blind and job.arm.family in {FIXED, WINDOW},
    )
    met: set[str] = set()
    rows = []
    for task, run in zip(job.scene.tasks, found, strict=True):
        rows.append((*_row(task, run), task.text in met))
        met.add(task.text)
    return Rows(np.array(rows, np.float64), np.array(times))


def timed(policy: PlanPolicy) -> list[float]:
    """Have a policy's decisions timed, in milliseconds, into a list.

    It is the deciding thread's processor time, so that whatever else runs on the machine, other
    arms among it, does not count.
    """
    decide, times = policy.decide, []

    def timing(state: PlanState) -> Ahead:
        begun = time.thread_time()
        ahead = decide(state)
        times.append(1e3 * (time.thread_time() - begun))
        return ahead

    policy.decide = timing  # type: ignore[method-assign]
    return times


def _row(task: RecordedTask, run: Trajectory) -> tuple[float, ...]:
    wasted = run.ledger.wasted
    own = [step.target.action for step in task.steps]
    return (
        task.group,
        run.seconds,
        run.ledger.dollars,
        wasted.dollars,
        wasted.usage.prompt + wasted.usage.completion,
        run.mean_concurrency,
        run.greatest_concurrency,
        [action.tool for action in run.actions] == own,
    )
