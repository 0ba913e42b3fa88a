"""The planners: what they say goes to their learner."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ...inference.agents.messages import rows_of
from ...inference.reports import Mode, PlanBeat, PlanReport
from ..engines import MOST_ENGINES
from .views import PlannerView, check_plan_beat

if TYPE_CHECKING:
    from ..hub import Hub
    from .learner import PlanLearner

_FORGOTTEN: Final = 600.0  # seconds without a beat after which a planner is no longer listed


class Planners:
    """Every planner that was heard of.

    Args:
        hub: counts what is refused.
        learner: takes what was measured.
        clock: monotonic seconds.
    """

    def __init__(
        self, hub: Hub, learner: PlanLearner, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._learner = learner
        self._clock = clock
        self._views: dict[str, PlannerView] = {}

    def beat(self, beat: PlanBeat) -> None:
        """Take a planner's beat."""
        try:
            check_plan_beat(beat)
        except ValueError as e:
            self._hub.refuse("beat", str(e))
            return
        name, now = beat.info.planner, self._clock()
        if name not in self._views:
            if len(self._views) >= MOST_ENGINES:
                self._hub.refuse("planners", f"more than {MOST_ENGINES} planners")
                return
            self._views[name] = PlannerView(beat, now)
        self._views[name].hear(beat, now)
        self._learner.beat(beat)

    def report(self, report: PlanReport) -> None:
        """Take what a planner measured."""
        view = self._views.get(report.planner)
        if view is None:
            self._hub.refuse("early", f"no beat from planner {report.planner[:80]!r} yet")
            return
        try:
            rows = rows_of(report.columns)
        except ValueError as e:
            self._hub.refuse("malformed", str(e))
            return
        self._learner.ingest(rows, view.beat.mode is Mode.FREEZE)

    def tick(self) -> None:
        """What time brings: planners that are forgotten."""
        now = self._clock()
        for name, view in list(self._views.items()):
            if now - view.seen > _FORGOTTEN:
                del self._views[name]

    def get(self, name: str | None) -> PlannerView | None:
        """A planner that was heard of, by its name."""
        return self._views.get(name) if name is not None else None

    @property
    def heard(self) -> bool:
        """Whether there are any."""
        return bool(self._views)

    def status(self) -> list[dict[str, Any]]:
        """Every planner, for people; JSON-able."""
        now = self._clock()
        return [view.status(now) for _, view in sorted(self._views.items())]
