"""TensorBoard of the plan control point, in a folder of its own beside the engines'."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from ...inference.reports import PlanBeat
from ...policies.columns import concatenate
from ...policies.plan.curve import measured
from ...policies.plan.rows import PlanRows
from .views import PlannerView

_STALE: Final = 10.0  # seconds after which a beat says nothing of the present


class PlanBoard:
    """Collects between points, and writes a point at every ``write``.

    Args:
        run: folder of the plan control point in a run's.
    """

    def __init__(self, run: Path) -> None:
        output = TensorBoardOutputFormat(str(run))
        self.logger = Logger(str(run), [output])
        output.writer.add_custom_scalars(LAYOUT)
        self._views: dict[str, PlannerView] = {}
        self._rows: list[PlanRows] = []
        self._since = time.monotonic()

    def add(self, rows: PlanRows) -> None:
        """Transitions since the last point."""
        self._rows.append(rows)
        del self._rows[:-_MOST]

    def beat(self, beat: PlanBeat) -> None:
        """A planner's latest state."""
        now, name = time.monotonic(), beat.info.planner
        self._views.setdefault(name, PlannerView(beat, now)).hear(beat, now)

    def age(self) -> float:
        """Seconds since the last point."""
        return time.monotonic() - self._since

    def write(
        self,
        step: int,
        values: Mapping[str, float],
        reward: Callable[[float, float], float],
    ) -> None:
        """Write a point.

        Args:
            step: transitions so far.
            values: further scalars by tag.
            reward: what a latency and a cost are worth.
        """
        record = self.logger.record
        for tag, value in values.items():
            record(tag, value)
        self._decisions(reward)
        self._planners()
        self.logger.dump(step)
        self._since = time.monotonic()

    def close(self) -> None:
        """Close the event file."""
        self.logger.close()

    def _decisions(self, reward: Callable[[float, float], float]) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        decided = concatenate(rows)
        self.logger.record("plan/ahead", decided.actions)
        self.logger.record("plan/ahead_mean", float(decided.actions.mean()))
        latency, cost = measured(decided)
        if np.isfinite(latency):
            self.logger.record("plan/latency", float(latency))
            self.logger.record("plan/cost", float(cost))
            self.logger.record("plan/reward", reward(float(latency), float(cost)))

    def _planners(self) -> None:
        now = time.monotonic()
        live = [view for view in self._views.values() if now - view.seen < _STALE]
        for name in ("running", "in_flight", "decide_us_p50", "decide_us_p99"):
            figures = [getattr(view.beat, name) for view in live]
            if figures:
                total = max(figures) if name.startswith("decide") else sum(figures)
                self.logger.record(f"planners/{name}", total)
        for name in ("survival_brier", "survival_ece"):
            scores = [s for view in live if (s := getattr(view.beat, name)) is not None]
            if scores:
                self.logger.record(f"plan/{name}", float(np.mean(scores)))
        rates = [view.rates(now) for view in live]
        for name in rates[0] if rates else ():
            known = [value for rate in rates if (value := rate[name]) is not None]
            if known:
                self.logger.record(f"plan/{name}", float(np.mean(known)))


_MOST: Final = 512  # reports kept between two points

LAYOUT: Final[dict[str, Any]] = {
    "plan": {
        "a run": ["Multiline", ["plan/seconds_per_run"]],
        "dollars of a run": ["Multiline", ["plan/dollars_per_run"]],
        "steps ahead": ["Multiline", ["plan/ahead_mean"]],
        "matched, wasted": ["Multiline", ["plan/matched_share", "plan/wasted_share"]],
        "latency, cost (sequential = 1)": ["Multiline", ["plan/latency", "plan/cost"]],
        "reward": ["Multiline", ["plan/reward"]],
        "speed": ["Multiline", ["plan/speed", "plan/effective_speed"]],
        "loss": ["Multiline", ["train/loss"]],
    }
}
