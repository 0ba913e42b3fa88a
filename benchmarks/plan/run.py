"""``flyball bench plan``: every policy on the same plans."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...inference.agents.replay.trace import read_plan_trace
from ..result import result
from .arms import OURS, arms
from .figures import described, learning_figures, plan_figures
from .options import PlanOptions
from .running import Job, run_jobs
from .scenes import Scene, generated_scene, trace_scene, unseen_scene
from .tally import tallies

Progress = Callable[[str], None]


def run(options: PlanOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result.

    Args:
        options: what to measure.
        progress: is told what happens.

    Raises:
        PlanTraceError, OSError: if the trace cannot be read.
        EngineError: live, if an engine does not start.
    """
    if options.engine == "live":
        from .live import run_live

        return run_live(options, progress)
    jobs = _jobs(options)
    progress(f"{len(jobs)} arms are to be run, in {options.workers} processes")
    results = list(run_jobs(jobs, options.workers, progress))
    found = tallies(results)
    ours = [rows.decide_ms for job, rows in results if job.arm.family == OURS]
    figures = {
        **plan_figures(found, options.seed),
        "decide_ms_p99": float(np.percentile(np.concatenate(ours), 99)),
        **learning_figures(results),
    }
    if options.plots is not None:
        from .plots import draw

        draw(found, options.plots)
    return result("plan", options.seed, described(found), figures)


def _jobs(options: PlanOptions) -> list[Job]:
    learned, counted = options.sized_tasks
    runs = [run for path in options.traces for run in read_plan_trace(path)]
    jobs: list[Job] = []
    for seed in options.sized_seeds:
        generated = generated_scene(learned, counted, seed)
        scenes = [generated]
        less: list[tuple[Scene, float]] = []  # looked at with fewer settings of everything
        if runs:
            scenes.append(trace_scene(runs, learned, seed))
            scenes.append(trace_scene(runs, learned, seed, whole=True))
            scenes.append(trace_scene(runs, learned, seed, blind=True))
        if seed in options.fewer_seeds:
            less += [(generated, limit) for limit in options.sized_limits]
            less.append((unseen_scene(learned, counted, seed), math.inf))
        jobs += [Job(scene, arm) for scene in scenes for arm in arms(options.quick)]
        jobs += [Job(scene, arm, limit) for scene, limit in less for arm in arms(quick=True)]
    return jobs
