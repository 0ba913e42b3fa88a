"""Planning traces for tests: the real one where it is at hand, and generated ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from flyball.inference.agents.replay.generator import PlanGenerator
from flyball.inference.agents.replay.recorded import RecordedTask

_NAME = "openagi_planning_2025-04.jsonl"


def real_trace() -> Path | None:
    """The planning trace of April 2025: of FLYBALL_PLAN_TRACE, or beside the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data" / _NAME
    path = Path(os.environ.get("FLYBALL_PLAN_TRACE", beside))
    return path if path.is_file() else None


def as_run(task: RecordedTask, number: int, rng: np.random.Generator) -> dict:
    """A run of a generated task in the trace's format; its wall seconds are added up here."""
    steps = [_step(i, step) for i, step in enumerate(task.steps, 1)]
    ks, delays, wall, done = [], [], 0.0, 0
    while done < len(steps):
        ks.append(int(rng.integers(0, 5)))
        delays.append(round(float(rng.uniform(0.05, 4.0)), 2))
        starts, ends = [0.0], 0.0
        while True:
            step = steps[done]
            ends = max(ends, starts[-1] + step["t_seconds"])
            done += 1
            if not step["match"] or len(starts) >= ks[-1] or done == len(steps):
                break
            wait = max(step["a_seconds"], delays[-1]) if len(starts) == 1 else step["a_seconds"]
            starts.append(starts[-1] + wait)
        wall += ends
    return {
        "setting": "generated",
        "task": number,
        "steps": steps,
        "wall_seconds": wall,
        "sum_t_seconds": sum(s["t_seconds"] for s in steps),
        "predicted_k": ks,
        "predictor_seconds": delays,
    }


def _step(i: int, step) -> dict:
    a, t = step.approximation, step.target
    return {
        "step": i,
        "a_seconds": round(a.seconds, 2),
        "a_prompt_tokens": a.prompts[0],
        "a_gen_tokens": a.completions[0],
        "t_seconds": round(t.seconds, 2),
        "t_prompt_tokens": sum(t.prompts),
        "t_gen_tokens": sum(t.completions),
        "t_thought_prompt_tokens": t.prompts[0],
        "t_thought_gen_tokens": t.completions[0],
        "match": step.match,
        "a_action": a.action,
        "t_action": t.action,
    }


def generated_runs(seed: int = 0, count: int = 20, templates: int = 8) -> list[dict]:
    """Runs of generated tasks, some of the same templates."""
    rng = np.random.default_rng(seed)
    tasks = PlanGenerator(templates=templates).tasks(count, seed)
    return [as_run(task, task.group, rng) for task in tasks]


def write_trace(path: Path, runs: list[dict]) -> Path:
    """Runs as a file."""
    path.write_text("".join(f"{json.dumps(run)}\n" for run in runs))
    return path


def some_trace(folder: Path) -> Path:
    """The real trace, or else a generated one."""
    return real_trace() or write_trace(folder / "trace.jsonl", generated_runs())
