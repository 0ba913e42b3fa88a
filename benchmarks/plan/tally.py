"""Sums of what arms came to, by group of tasks, and the points that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ...policies.transition import Floats
from .arms import OFF, Arm
from .running import Job, Rows
from .scenes import TRACE

_PARTS: Final = ("seconds", "dollars", "wasted_dollars", "wasted_tokens", "concurrency")

Where = tuple[str, float]
"""Name of a scene, and calls that may run at a time there."""


@dataclass(frozen=True)
class Tally:
    """All arms at one place, over all seeds.

    Attributes:
        sums: by arm, of the tasks that count: shape (groups, parts).
        tasks: how many of them are in each group, shape (groups,).
        greatest: by arm, most calls at a time.
        identical: share of the runs that count whose actions are the target agent's own.
    """

    sums: Mapping[Arm, Floats]
    tasks: Floats
    greatest: Mapping[Arm, float]
    identical: float

    @property
    def off(self) -> Arm:
        """The target agent alone."""
        return next(arm for arm in self.sums if arm.spec == OFF)

    def points(self, family: str, weights: Floats | None = None) -> Floats:
        """Latency and cost of a family's settings, sequential = 1: shape (n, 2).

        Args:
            family: whose.
            weights: of the groups; None for all alike.
        """
        arms = [arm for arm in self.sums if arm.family == family and arm.spec != OFF]
        return np.array([self.point(arm, weights) for arm in arms])

    def point(self, arm: Arm, weights: Floats | None = None) -> Floats:
        """Latency and cost of one arm: shape (2,)."""
        mine, off = (self._total(a, weights)[:2] for a in (arm, self.off))
        point: Floats = mine / off
        return point

    def described(self, arm: Arm) -> dict[str, float]:
        """What an arm came to, for people."""
        latency, cost = self.point(arm).tolist()
        total, off, tasks = self._total(arm), self._total(self.off), self.tasks.sum()
        found = dict(zip(_PARTS, (total / tasks).tolist(), strict=True))
        return {
            "latency": latency,
            "cost": cost,
            "unnecessary_dollars": float((total[1] - off[1]) / tasks),
            **{f"{name}_per_task": found[name] for name in _PARTS[:4]},
            "concurrency_mean": found["concurrency"],
            "concurrency_greatest": self.greatest[arm],
        }

    def _total(self, arm: Arm, weights: Floats | None = None) -> Floats:
        sums = self.sums[arm]
        total: Floats = sums.sum(0) if weights is None else weights @ sums
        return total


def tallies(results: Iterable[tuple[Job, Rows]]) -> dict[Where, Tally]:
    """Add up, by scene and limit; templates of different seeds are different groups.

    The trace's runs are added up by whether their task was met before, too.
    """
    places: dict[Where, list[tuple[Job, Rows]]] = {}
    for job, rows in results:
        places.setdefault((job.scene.name, job.limit), []).append((job, rows))
    added = {where: _tally([_counted(*each) for each in found]) for where, found in places.items()}
    for (name, limit), found in places.items():
        if name == TRACE:
            for part, again in (("first", 0.0), ("again", 1.0)):
                chosen = [_counted(job, rows, again) for job, rows in found]
                added[f"{name}_{part}", limit] = _tally(chosen)
    return added


def _counted(job: Job, rows: Rows, again: float | None = None) -> tuple[Job, Rows]:
    """The tasks that count; of those, the ones that were met before, or were not."""
    values = rows.values[job.scene.first :]
    if again is not None:
        values = values[rows.column("again")[job.scene.first :] == again]
    return job, replace(rows, values=values)


def _tally(found: list[tuple[Job, Rows]]) -> Tally:
    keys = sorted({key for job, rows in found for key in _groups(job, rows)})
    number = {key: i for i, key in enumerate(keys)}
    sums: dict[Arm, Floats] = {}
    greatest: dict[Arm, float] = {}
    counts = np.zeros(len(keys))
    for job, rows in found:
        at = [number[key] for key in _groups(job, rows)]
        mine = sums.setdefault(job.arm, np.zeros((len(keys), len(_PARTS))))
        np.add.at(mine, at, np.stack([rows.column(name) for name in _PARTS], axis=1))
        if job.arm.spec == OFF:
            np.add.at(counts, at, 1.0)
        most = float(rows.column("greatest_concurrency").max(initial=0.0))
        greatest[job.arm] = max(greatest.get(job.arm, 0.0), most)
    identical = np.concatenate([rows.column("identical") for _, rows in found]).mean()
    return Tally(sums, counts, greatest, float(identical))


def _groups(job: Job, rows: Rows) -> list[tuple[int, int]]:
    """Of every task: its template and, where they differ by seed, the seed."""
    seed = job.scene.seed if job.scene.templates_by_seed else 0
    return [(seed, int(group)) for group in rows.column("group")]
