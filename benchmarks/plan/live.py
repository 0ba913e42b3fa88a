"""``flyball bench plan --engine live``: agents on real engines, the arms in turn on every task.

Target and approximation agent are the embedded models on two engines of this machine. Every task
is run by all arms, in an order drawn anew, one after another: what is compared is paired. Prompts
are cached within a run and not from one run to another, which would favour whoever comes later.

identical_trajectories: share of runs whose committed actions and observations are those of the
    target agent alone.
live_seconds_vs_sequential: seconds at speed 1, over those of the target agent alone.
live_dollars_vs_sequential_speed0: dollars at speed 0, over the same.
decide_ms_p99: milliseconds of processor time of a decision of ours.
matched_share: share of proposals that were the target agent's action.
solved_share: share of tasks that the target agent alone solves.
live_ARM_seconds, live_ARM_dollars, live_ARM_wasted: of every arm, over the target agent alone;
    wasted of the dollars of the target agent alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from ...inference.agents.journal import Watch
from ...inference.agents.refusal import StatusError
from ...inference.agents.retrying import RetryableError
from ...inference.agents.trajectory import PlanError, Trajectory
from ...inference.agents.world import Task, make_task, solves
from ...inference.agents.world.task import DIFFICULTIES
from ...policies.plan.catalogue import make_plan_policy
from ...policies.plan.policy import PlanPolicy
from ...policies.transition import Floats
from ..engines import BenchError, models
from ..result import result
from ..stats import Interval
from .arms import FIXED, OFF, OURS, WINDOW, Arm
from .options import PlanOptions
from .pair import Connected, agent_pair, served
from .running import timed

LIVE_ARMS: Final = (
    Arm(FIXED, OFF),
    Arm(WINDOW, "fixed:4"),
    *(Arm(OURS, "survival", speed) for speed in (0.0, 1.0)),
)
"""The first is the target agent alone."""

FIRST_SEED: Final = 1_000_000
"""Seeds of tasks, far from those that the embedded models were trained on."""

_RESAMPLES: Final = 2000
_PARTS: Final = ("seconds", "dollars", "wasted")


@dataclass
class LiveRuns:
    """What came of every arm on every task.

    Attributes:
        arms: what is compared; the first is the target agent alone.
        tasks: in the order in which they were run.
        runs: by arm, in the same order.
        decide_ms: milliseconds of processor time of every decision of ours.
    """

    arms: Sequence[Arm] = LIVE_ARMS
    tasks: list[Task] = field(default_factory=list)
    runs: dict[Arm, list[Trajectory]] = field(init=False)
    decide_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs = {arm: [] for arm in self.arms}

    @property
    def alone(self) -> list[Trajectory]:
        """Runs of the target agent alone."""
        return self.runs[self.arms[0]]

    def parts(self, arm: Arm) -> Floats:
        """Seconds, dollars and wasted dollars of every task, shape (tasks, 3)."""
        return np.array(
            [[r.seconds, r.ledger.dollars, r.ledger.wasted.dollars] for r in self.runs[arm]]
        )

    def identical(self, arm: Arm) -> int:
        """On how many tasks an arm did what the target agent alone did."""
        pairs = zip(self.runs[arm], self.alone, strict=True)
        return sum(committed(run) == committed(alone) for run, alone in pairs)


def committed(run: Trajectory) -> list[tuple[str, str]]:
    """What was done and what was observed, step by step."""
    return [(str(step.action), step.observation) for step in run.steps]


def judged(run: Trajectory) -> list[bool]:
    """Of every step that had a proposal, whether that was the target agent's action."""
    return [step.matched for step in run.steps if step.matched is not None]


def graded_tasks(count: int, seed: int) -> list[Task]:
    """Tasks of all difficulties in turn."""
    first = FIRST_SEED + 10_000 * seed
    return [make_task(first + i, DIFFICULTIES[i % len(DIFFICULTIES)]) for i in range(count)]


def run_live(options: PlanOptions, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure, and return a result.

    Args:
        options: what to measure.
        progress: is told what happens.

    Raises:
        EngineError, BenchError: if an engine does not start, or does not answer.
        ValueError, FileNotFoundError: if the models cannot be used.
    """
    with TemporaryDirectory() as folder:
        pair = agent_pair(models(), Path(folder))
        progress("starting both engines")
        with served(pair):
            tasks = graded_tasks(options.sized_live_tasks, options.seed)
            found = asyncio.run(_run_all(pair.connected, tasks, options.seed, progress))
    if options.plots is not None:
        from .live_plots import draw_live

        draw_live(found, options.plots)
    return result("plan", options.seed, described(found), live_figures(found, options.seed))


async def _run_all(
    connected: Callable[[], Any], tasks: Sequence[Task], seed: int, progress: Callable[[str], None]
) -> LiveRuns:
    found, rng, begun = LiveRuns(), Random(seed), time.monotonic()
    policies = {arm: make_plan_policy(arm.spec, seed=seed) for arm in LIVE_ARMS}
    times = [timed(policy) for arm, policy in policies.items() if arm.family == OURS]
    async with connected() as agents:
        await _warm_up(agents, tasks[0])
        for i, task in enumerate(tasks, 1):
            for arm in rng.sample(LIVE_ARMS, len(LIVE_ARMS)):
                salt = f"{i}.{LIVE_ARMS.index(arm)}"
                run = await run_once(agents, policies[arm], arm.speed, salt, task)
                found.runs[arm].append(run)
            found.tasks.append(task)
            if i % max(len(tasks) // 10, 1) == 0:
                progress(f"{i} of {len(tasks)} tasks after {time.monotonic() - begun:.0f} s")
    found.decide_ms = [ms for each in times for ms in each]
    return found


async def run_once(
    agents: Connected,
    policy: PlanPolicy,
    speed: float,
    salt: str,
    task: Task,
    watch: Watch | None = None,
) -> Trajectory:
    """Run a task; where the target agent gives nothing that can be used, as far as it gets.

    Raises:
        BenchError: an engine did not answer, or refused what it was asked.
    """
    try:
        return await agents.planner(policy, speed, salt, watch).run(task)
    except PlanError as error:
        if isinstance(error.__cause__, StatusError | RetryableError):
            raise BenchError(str(error)) from error
        return error.trajectory


async def _warm_up(agents: Connected, task: Task) -> None:
    """Have both engines do everything once, policies compiled among it, before anything counts."""
    for spec in ("fixed:2", "survival"):
        await run_once(agents, make_plan_policy(spec), 1.0, f"warm-up {spec}", task)


def live_figures(found: LiveRuns, seed: int) -> dict[str, float]:
    """All figures, with bootstrap intervals over tasks."""
    rng = np.random.default_rng(seed)
    n = len(found.tasks)
    weights: Floats = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(np.float64)
    figures: dict[str, float] = {}
    planned = found.arms[1:]
    for arm in planned:
        for name, interval in compared(found, arm, weights).items():
            figures |= interval.figures(f"live_{_plain(arm.name)}_{name}")
    ours = [arm for arm in planned if arm.family == OURS]
    fastest, cheapest = max(ours, key=_speed), min(ours, key=_speed)
    at_1, at_0 = (compared(found, arm, weights) for arm in (fastest, cheapest))
    verdicts = [v for arm in planned for run in found.runs[arm] for v in judged(run)]
    identical = sum(found.identical(arm) for arm in planned) / (len(planned) * n)
    solved = [solves(t, r.actions) for t, r in zip(found.tasks, found.alone, strict=True)]
    return {
        "identical_trajectories": identical,
        **at_1["seconds"].figures("live_seconds_vs_sequential"),
        **at_0["dollars"].figures("live_dollars_vs_sequential_speed0"),
        "decide_ms_p99": float(np.percentile(found.decide_ms, 99)),
        "matched_share": float(np.mean(verdicts)) if verdicts else 0.0,
        "solved_share": float(np.mean(solved)),
        "tasks": float(n),
        **figures,
    }


def compared(found: LiveRuns, arm: Arm, weights: Floats) -> dict[str, Interval]:
    """An arm over the target agent alone, with 95 % intervals.

    Args:
        found: the runs.
        arm: which.
        weights: of the tasks, one row per resample.
    """
    mine, alone = found.parts(arm), found.parts(found.arms[0])
    alone[:, 2] = alone[:, 1]  # what is wasted is compared with all dollars
    drawn = (weights @ mine) / (weights @ alone)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    value = mine.sum(0) / alone.sum(0)
    return {
        name: Interval(float(value[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(_PARTS)
    }


def described(found: LiveRuns) -> dict[str, dict[str, Any]]:
    """What every arm came to, for the result's ``arms``."""
    out: dict[str, dict[str, Any]] = {}
    for arm, runs in found.runs.items():
        verdicts = [verdict for run in runs for verdict in judged(run)]
        seconds, dollars, wasted = found.parts(arm).mean(0).tolist()
        out[arm.name] = {
            "policy": arm.spec,
            "speed": arm.speed,
            "seconds_per_task": seconds,
            "dollars_per_task": dollars,
            "wasted_dollars_per_task": wasted,
            "proposals_judged": len(verdicts),
            "matched": sum(verdicts),
            "identical": found.identical(arm),
            "complete": sum(run.complete for run in runs),
            "concurrency_mean": float(np.mean([run.mean_concurrency for run in runs])),
            "concurrency_greatest": max(run.greatest_concurrency for run in runs),
        }
    return out


def _speed(arm: Arm) -> float:
    return arm.speed


def _plain(name: str) -> str:
    """An arm's name as part of a figure's."""
    return name.replace(":", "_").replace("@", "_at_").replace(".", "_")
