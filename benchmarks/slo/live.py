"""The arms of ``flyball bench slo`` on one live engine, in turn, on the very same requests.

Every round cuts a window of its own out of a trace. All arms meet its requests in their turns: the
same prompts, lengths and objectives at the same times after the start, each arm until its last one
has ended, or for as long as the window was; what has not ended by then was not served. The next
arm finds an idle engine. What the machine does otherwise meanwhile falls on all of them by chance:
they come in another order in every round. How fast it is changes from round to round, where others
use it too: before each, what it serves without speculation is measured anew, and arrivals and
objectives are scaled with it, so that a load is the same load throughout.

Prompts and outputs are as long as the trace's, fitted to what the embedded models and the time
allow (``requests.fitted``). Before anything is compared, every depth has some seconds in which
step times are measured, for all arms that go by them: others profile an engine when it starts
(AdaSpec, TurboSpec), and an engine that serves under one policy shows little of what the other
depths would take. Then arms that learn have the time of two windows at each load to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

import numpy as np

from ...inference.arriving import Arrival, run_arrivals
from ...inference.asking import RequestRecord
from ...inference.reports import Beat, Mode
from ...inference.simulator.traces import Trace
from ...policies.slo import Slo
from ..engines import BenchError
from ..session import ENGINE, Session
from ..switch import Switch
from .arms import LEARNING, Arm, live_arms
from .arrivals import sample, short_window
from .figures import Key
from .measured import Measured
from .options import SloOptions
from .promises import REFERENCE
from .requests import WITHOUT, ended, fitted, promised, requests, served
from .score import score
from .tally import Place, Turn, measured
from .texts import Texts

Progress = Callable[[str], None]

SPEED: Final = 1.0
"""The knob while arms are compared: those of others know no other."""

_OFF: Final = live_arms(1.0)[0]
_ENDED: Final = 48  # requests by whose ends the capacity is found, beside those that run
_PATIENCE: Final = 300.0  # seconds for the capacity
_LEARNING_SEED: Final = 1000  # the first of windows that nothing is compared in
_DEPTH_SECONDS: Final = 6.0  # in which requests come at every depth before, but a window at most
_SLOWEST: Final = 5.0  # times as long that these may take to end
_LONGER: Final = 2.0  # times as long as a window that is compared are those that are not


class LiveRun:
    """One run, on an engine that is up.

    Args:
        running: engine and controller.
        options: what to measure.
        traces: of the requests, unfitted.
        texts: of which prompts are made.
        progress: is told what happens.
    """

    def __init__(
        self,
        running: Session,
        options: SloOptions,
        traces: Sequence[Trace],
        texts: Texts,
        progress: Progress = print,
    ) -> None:
        self.session, self.options, self.texts, self.progress = running, options, texts, progress
        self.traces = [fitted(trace) for trace in traces]
        self.switch = Switch(running)
        self.rng = Random(options.seed)
        self.seconds = options.sized_seconds / options.sized_rounds  # of every window
        self.places: list[Place] = []
        self.turns: dict[Key, Turn] = {}

    def run(self) -> Measured:
        """Measure everything; an interrupt ends it after the last round that is whole.

        Raises:
            BenchError: if no round was.
        """
        self.session.client.set_mode(ENGINE, Mode.APPLY.value)
        self.session.client.set_knob(SPEED)
        self.switch.open = True
        self.places = [self._place(trace) for trace in self.traces]
        self._show_depths()
        self.switch.open = False
        try:
            self._learn()
            for number in range(self.options.sized_rounds):
                self.turns |= self._round(number)
        except KeyboardInterrupt:
            if not self.turns:
                raise
            self.progress("interrupted: what follows is of the rounds that were whole")
        return measured(self.options, self.turns)

    def _place(self, trace: Trace) -> Place:
        """What the engine does with a trace's requests without speculation."""
        place = Place(trace, self._capacity(trace))
        self.progress(f"{trace.name}: {place.capacity:.2f} requests/s without speculation")
        seconds = _LONGER * self.seconds
        arrivals = self._window(place, REFERENCE, seconds, _LEARNING_SEED - 1)
        found = self._turn(place, _OFF, arrivals, WITHOUT, seconds)
        tpot = float(np.percentile(found.served.tpot, 90))
        if not 0.0 < tpot < np.inf:
            raise BenchError(f"the engine did not keep up with {trace.name} at load {REFERENCE:g}")
        self.progress(f"{trace.name}: {1e3 * tpot:.1f} ms per output token (p90)")
        return replace(place, tpot=tpot)

    def _now(self, place: Place) -> Place:
        """The same, as fast as the machine is by now."""
        capacity = self._capacity(place.trace)
        return replace(place, capacity=capacity, tpot=place.tpot * place.capacity / capacity)

    def _capacity(self, trace: Trace) -> float:
        """Requests that end per second while others wait.

        Counted from when a third of them have ended, and as long as the queue fills what ends: in
        between, as many run as can.
        """
        arrivals = self._made(sample(trace, _ENDED + self.session.engine.max_requests), 0)
        records = self._served(_OFF, arrivals, _PATIENCE, enough=_ENDED)[0]
        ends = np.sort([r.end for r in records if ended(r)])
        if len(ends) < _ENDED:
            raise BenchError(f"only {len(ends)} of {len(records)} requests ended: {_why(records)}")
        first = _ENDED // 3
        return float((_ENDED - first) / (ends[_ENDED - 1] - ends[first - 1]))

    def _show_depths(self) -> None:
        """Let every depth be measured, under traffic of its own; depth 0 was, by ``_place``."""
        self.progress("step times are measured, depth by depth")
        place, load = self.places[0], self.options.sized_loads[-1]
        seconds = min(_DEPTH_SECONDS, self.seconds)
        for depth in range(1, self.options.k_max + 1):
            arrivals = self._window(place, load, seconds, _LEARNING_SEED + depth)
            arm = Arm(f"fixed-{depth}", f"fixed?depth={depth}")
            self._turn(place, arm, arrivals, WITHOUT, _SLOWEST * seconds)

    def _learn(self) -> None:
        """Let those that learn decide for a while, at every load."""
        place = self.places[0]
        slos = self.options.slos(place.tpot, self.options.sized_scales[0])
        seconds = _LONGER * self.seconds
        for load in self.options.sized_loads:
            arrivals = self._window(place, load, seconds, _LEARNING_SEED)
            for arm in self._arms(slos):
                if arm.name in LEARNING:
                    self.progress(f"{arm.name} learns at load {load:g}")
                    asked = promised(arrivals, slos, _LEARNING_SEED)
                    self._turn(place, arm, asked, slos, seconds)

    def _round(self, number: int) -> Mapping[Key, Turn]:
        """One window of every trace, load and scale, all arms in turn."""
        found: dict[Key, Turn] = {}
        seed = self.options.seed + number
        for first in self.places:
            for load in self.options.sized_loads:
                place = self._now(first)
                plain = self._window(place, load, self.seconds, seed)
                for scale in self.options.sized_scales:
                    slos = self.options.slos(place.tpot, scale)
                    arrivals = promised(plain, slos, seed)
                    arms = self._arms(slos)
                    for arm in self.rng.sample(arms, len(arms)):
                        turn = self._turn(place, arm, arrivals, slos, self.seconds)
                        found[place.trace.name, load, scale, arm.name, seed] = turn
                        self._say(number, place, load, arm, turn, slos)
        return found

    def _say(
        self, number: int, place: Place, load: float, arm: Arm, turn: Turn, slos: Sequence[Slo]
    ) -> None:
        self.progress(
            f"round {number + 1} of {self.options.sized_rounds}, {place.trace.name} at load "
            f"{load:g}, {arm.name}: {score(turn.served, slos).goodput:.2f} requests/s as promised"
        )

    def _arms(self, slos: Sequence[Slo]) -> Sequence[Arm]:
        return live_arms(slos[0].tpot, self.options.quick)

    def _window(self, place: Place, load: float, seconds: float, seed: int) -> list[Arrival]:
        return self._made(short_window(place.trace, load * place.capacity, seconds, seed), seed)

    def _made(self, trace: Trace, seed: int) -> list[Arrival]:
        return requests(trace, self.texts, seed)

    def _turn(
        self,
        place: Place,
        arm: Arm,
        arrivals: Sequence[Arrival],
        slos: Sequence[Slo],
        seconds: float,
    ) -> Turn:
        """One arm on some requests."""
        records, before, after = self._served(arm, arrivals, seconds)
        return Turn(place, served(records, slos, seconds), records, before, after)

    def _served(
        self, arm: Arm, arrivals: Sequence[Arrival], patience: float, enough: int | None = None
    ) -> tuple[list[RequestRecord], Beat, Beat]:
        """One arm on some requests, with the engine's beats before and after."""
        self.switch.in_force(arm.policy, SPEED)
        before = self.switch.idle()
        try:
            records = run_arrivals(self.session.engine.url, arrivals, patience, enough)
        finally:
            self.switch.over()
        after = self.switch.idle()
        if not any(ended(record) for record in records):
            raise BenchError(f"no request of {arm.name} was served: {_why(records)}")
        return records, before, after


def _why(records: Sequence[RequestRecord]) -> str:
    """Why requests failed, or that they took too long."""
    return next((r.error for r in records if r.error is not None), "they took too long")
