"""What the controller knows of every planner: its last beat, and rates between beats."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...inference.agents.messages import PlanTotals
from ...inference.reports import PlanBeat, check_engine_name
from ...policies.plan.schedule import CHOICES
from ...policies.spaces import check_speed
from ..engines import LIVE, WINDOW


def check_plan_beat(beat: PlanBeat) -> None:
    """Refuse a beat that no planner could have sent.

    Raises:
        ValueError: saying what is wrong.
    """
    check_engine_name(beat.info.planner)
    check_speed(beat.speed)
    totals = msgspec.structs.astuple(beat.totals)
    scores = [s for s in (beat.survival_brier, beat.survival_ece) if s is not None]
    counts = (beat.running, beat.in_flight, beat.decisions, beat.dropped, beat.refused)
    figures = (beat.at, beat.decide_us_p50, beat.decide_us_p99, *counts, *totals, *scores)
    if not all(math.isfinite(f) and f >= 0 for f in (*figures, *beat.aheads)):
        raise ValueError(f"figures of a beat must be finite and not negative, got {figures}")
    if max(scores, default=0.0) > 1.0:
        raise ValueError(f"scores of predicted matches must be in [0, 1], got {scores}")
    if not 0 <= beat.ahead < CHOICES or len(beat.aheads) not in {0, CHOICES}:
        raise ValueError(f"steps ahead must be in [0, {CHOICES - 1}], not {beat.ahead}")


@dataclass
class PlannerView:
    """One planner.

    Attributes:
        beat: the last one.
        seen: when it arrived, in seconds of the controller's monotonic clock.
    """

    beat: PlanBeat
    seen: float
    _totals: deque[tuple[float, PlanTotals]] = field(default_factory=lambda: deque(maxlen=256))

    @property
    def name(self) -> str:
        """Who it says it is."""
        return self.beat.info.planner

    def hear(self, beat: PlanBeat, now: float) -> None:
        """Take a beat."""
        if self._totals and beat.totals.runs < self._totals[-1][1].runs:
            self._totals.clear()  # the planner was started again
        self.beat, self.seen = beat, now
        self._totals.append((now, beat.totals))

    def is_live(self, now: float) -> bool:
        """Whether it was heard of lately."""
        return now - self.seen < LIVE

    def status(self, now: float) -> dict[str, Any]:
        """Everything about it, for people; JSON-able."""
        beat = msgspec.to_builtins(self.beat)
        info = beat.pop("info")
        beat.pop("schema")
        totals = beat.pop("totals")
        return {
            **info,
            **beat,
            "age_s": now - self.seen,
            "live": self.is_live(now),
            **self.rates(now),
            "totals": dict(zip(PlanTotals.__struct_fields__, totals, strict=True)),
        }

    def rates(self, now: float) -> dict[str, float | None]:
        """Of the runs that ended within the window; None for what is not known."""
        while len(self._totals) > 2 and now - self._totals[0][0] > WINDOW:
            self._totals.popleft()
        first, last = self._totals[0][1], self._totals[-1][1]
        runs, judged = last.runs - first.runs, last.judged - first.judged
        spent = (last.dollars + last.wasted) - (first.dollars + first.wasted)
        return {
            "seconds_per_run": (last.seconds - first.seconds) / runs if runs else None,
            "dollars_per_run": spent / runs if runs else None,
            "wasted_share": (last.wasted - first.wasted) / spent if spent > 0 else None,
            "matched_share": (last.matched - first.matched) / judged if judged else None,
        }
