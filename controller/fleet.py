"""The engines: what they say goes to the learner, and their depths can be pinned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..envs.rewards import RewardError
from ..inference.reports import Beat, Mode, Report
from ..inference.wire import TOPIC_PIN, Pin
from ..policies.transition import Transition, check_transition
from .engines import MOST_ENGINES, EngineView, check_beat
from .measure import measure, prices_for
from .request import RefusedError, Request
from .steps import Steps

if TYPE_CHECKING:
    from .hub import Hub
    from .learner import Learner

log = logging.getLogger("flyball")

_FORGOTTEN: Final = 600.0  # seconds without a beat after which an engine is no longer listed


class Fleet:
    """Every engine that was heard of.

    Args:
        hub: through which pins go out.
        learner: takes what was measured.
        clock: monotonic seconds.
    """

    def __init__(
        self, hub: Hub, learner: Learner, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._learner = learner
        self._clock = clock
        self._views: dict[str, EngineView] = {}
        self._pins: set[str] = set()
        # Pins are told apart by number, also from those of a controller before this one.
        self._pin = int(time.time())
        self._steps = Steps()

    def beat(self, beat: Beat, queue: int = 0) -> None:
        """Take an engine's beat; ``queue`` messages waited together with it."""
        try:
            check_beat(beat)
        except ValueError as e:
            self._hub.refuse("beat", str(e))
            return
        view = self._view(beat.info.engine)
        if view is None:
            return
        if view.beat is None and beat.pin and view.name not in self._pins:
            self.pin(view.name, None)  # a step of a controller that is gone holds it
        view.hear(beat, self._clock())
        self._learner.beat(beat, queue)
        held, view.held = view.held, []
        if held:
            self._take(view, held)

    def report(self, report: Report) -> None:
        """Take what an engine measured."""
        view = self._view(report.engine)
        if view is None:
            return
        if view.beat is None:
            for _ in range(view.hold(report.transitions)):
                self._hub.refuse("early", f"no beat from engine {report.engine!r} yet")
            return
        self._take(view, report.transitions)

    def tick(self) -> None:
        """What time brings: leases that lapse, engines that are forgotten."""
        now = self._clock()
        for engine in self._steps.lapsed(now):
            log.info("no further step for engine %s: its pin is let go", engine)
            self.pin(engine, None)
        for name, view in list(self._views.items()):
            if now - view.seen > _FORGOTTEN:
                self._steps.supersede(name, "the engine's silence")
                del self._views[name]

    def find(self, name: str | None) -> EngineView:
        """A known engine; without a name, the only live one.

        Raises:
            RefusedError: naming those that are known.
        """
        known = self._known()
        listed = f"there are {', '.join(known)}" if known else "none has reported yet"
        if name is None:
            live = [view for view in known.values() if view.is_live(self._clock())]
            if len(live) != 1:
                raise RefusedError(f"name the engine: {len(live)} are live; {listed}", 409)
            return live[0]
        if name not in known:
            raise RefusedError(f"no engine {name!r}; {listed}", 404)
        return known[name]

    def pin(self, engine: str, depth: int | None) -> int:
        """Pin an engine's depth, or let it go; the pin's number."""
        self._pin += 1
        self._pins.add(engine)
        self._hub.order(TOPIC_PIN + engine.encode(), Pin(engine, self._pin, depth))
        return self._pin

    def repin(self, engine: str, depth: int | None) -> int:
        """Pin by an operator's hand; a step that waits is refused."""
        self._steps.supersede(engine, "a pin")
        return self.pin(engine, depth)

    def step(self, view: EngineView, depth: int, mode: Mode | None, request: Request) -> None:
        """Pin a depth and answer once an interval under it was measured.

        Raises:
            RefusedError: if no interval can be expected.
        """
        assert view.beat is not None
        if not view.is_live(self._clock()):
            raise RefusedError(f"engine {view.name!r} is gone: no beat for a while", 409)
        if (mode or view.beat.mode) is Mode.OFF:
            raise RefusedError(
                f"engine {view.name!r} is in mode off and reports nothing; set another mode", 409
            )
        self._steps.begin(view.name, self.pin(view.name, depth), request)

    def status(self) -> list[dict[str, Any]]:
        """Every known engine, for people; JSON-able."""
        now = self._clock()
        return [
            view.status(now, prices_for(self._learner, view.info))
            for view in self._known().values()
        ]

    def live(self) -> list[EngineView]:
        """Engines heard of lately."""
        now = self._clock()
        return [view for view in self._known().values() if view.is_live(now)]

    def close(self) -> None:
        """Refuse what still waits, and let go what steps have pinned."""
        for engine in self._steps.close():
            self.pin(engine, None)

    def _known(self) -> dict[str, EngineView]:
        return {n: view for n, view in sorted(self._views.items()) if view.beat is not None}

    def _view(self, name: str) -> EngineView | None:
        """An engine's view, made at its first message; None if there are too many."""
        if name not in self._views:
            if len(self._views) >= MOST_ENGINES:
                self._hub.refuse("engines", f"more than {MOST_ENGINES} engines")
                return None
            self._views[name] = EngineView(name, seen=self._clock())
        return self._views[name]

    def _take(self, view: EngineView, transitions: list[Transition]) -> None:
        """Learn from transitions, and answer the step that waited for one of them."""
        assert view.beat is not None
        self._learner.ingest(view.info, transitions, view.beat.mode is Mode.FREEZE)
        sound = [t for t in transitions if _is_sound(t)]
        view.measured(sound, self._clock())
        for transition in sound:
            if self._steps.waits_for(view.name, transition.decision.pin):
                self._answer(view, transition)

    def _answer(self, view: EngineView, transition: Transition) -> None:
        request = self._steps.take(view.name, self._clock())
        try:
            value = measure(self._learner, view.info, transition)
        except RewardError as e:
            request.refuse(RefusedError(str(e), 409))
            return
        if not request.answer(value):
            self._steps.supersede(view.name, "its client's end")
            self.pin(view.name, None)


def _is_sound(transition: Transition) -> bool:
    """Whether an engine could have measured it; the learner counts those it could not."""
    try:
        check_transition(transition)
    except ValueError:
        return False
    return True
