"""The demo: a live engine learns its depth under changing traffic, and the knob is turned.

One engine serves phases of traffic, in shuffled order and several rounds. Within each visit to a
phase the arms take turns, also shuffled, while the same clients keep asking: no speculation, two
fixed depths, and the governed engine at three speeds. What is compared is therefore paired, and
learning goes on all the time. At the end the knob is turned with nothing else changing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from ..inference.asking import RequestRecord
from ..inference.load import LoadSettings
from ..policies.prices import Prices, compute_prices
from .arms import ARMS, PHASES, SPEEDS, Arm, Phase, Slice, slice_of
from .engines import models
from .options import EngineOptions
from .ramped import RampedTraffic
from .result import write
from .session import ENGINE, Session, session
from .summary import KnobTurn, Measured, in_force, summarise
from .turns import decided_by, take_turn

Progress = Callable[[str], None]

_STARTUP: Final = 40.0  # seconds that engine and controller take to start
_RAMP: Final = 0.7  # seconds until a phase's clients all decode
_LEAST: Final = 2  # intervals that a slice should hold
_WARM_UP: Final = 0.2  # share of the time in which nothing is compared
_TOUR: Final = (Phase(1, "tool_calls"), Phase(4, "code"), Phase(16, "prose"))


@dataclass(frozen=True, kw_only=True)
class DemoOptions(EngineOptions):
    """Every option of the demo."""

    seconds: float = 330.0
    """about how long it takes"""
    out: Path = Path("runs/demo")
    """folder for the summary, the plots and the controller's run"""
    max_tokens: int = 128
    """tokens per request"""
    temperature: float = 0.0
    """of the sampling"""
    load_cores: frozenset[int] | None = None
    """processors for the clients; any by default"""

    def __post_init__(self) -> None:
        if not 30.0 <= self.seconds <= 36000.0:
            raise ValueError(f"seconds must be in [30, 36000], not {self.seconds}")
        if not 2 <= self.k_max <= 8:
            raise ValueError(f"k_max must be in [2, 8], not {self.k_max}")

    def sized(self) -> DemoOptions:
        """With quick's own length where it is asked for."""
        return replace(self, seconds=min(self.seconds, 90.0)) if self.quick else self


@dataclass(frozen=True)
class Schedule:
    """How the time is spent.

    Attributes:
        warm_up: seconds per phase before anything is compared.
        slice: seconds per arm and visit.
        tour: seconds per speed at the end.
    """

    warm_up: float
    slice: float
    tour: float

    @classmethod
    def of(cls, seconds: float, phases: int = len(PHASES), arms: int = len(ARMS)) -> Schedule:
        """From the time there is."""
        serving = max(seconds - _STARTUP, 20.0)
        tour = min(4.0, serving / 60.0)
        left = serving * (1.0 - _WARM_UP) - _tour_seconds(tour)
        # At least two rounds where time allows, and more rather than slices beyond 3 seconds.
        rounds = max(1, min(2, int(left / (phases * arms * 0.8))))
        rounds = max(rounds, math.ceil(left / (phases * arms * 3.0)))
        each = left / (phases * rounds) - _RAMP
        return cls(serving * _WARM_UP / phases - _RAMP, max(each / arms, 0.4), tour)


def _tour_seconds(tour: float) -> float:
    return len(_TOUR) * (_RAMP + tour * (len(SPEEDS) + 1))


def run_demo(options: DemoOptions, progress: Progress = print) -> dict[str, Any]:
    """Run it, write ``summary.json`` and the plots, and return the summary.

    Raises:
        BenchError, EngineError: if something did not start, or nothing could be measured.
        ValueError, FileNotFoundError: if the models cannot be used.
    """
    options = options.sized()
    pair = models(options.target, options.draft)
    started = time.time()
    run = options.out / f"controller__{options.seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    progress("starting the engine and its controller")
    with session(pair, run, options.seed, options.k_max, options.cores) as running:
        progress(
            f"engine at {running.engine.url}/v1, controller at {running.http}; "
            f"`flyball tensorboard {run}` shows the learning"
        )
        measured = _Demo(options, running, _until(options, started), progress).run()
    summary = summarise(measured, options.seed, seconds=time.time() - started)
    summary["run"] = str(run)
    write(options.out / "summary.json", summary)
    from .plots import draw_all

    summary["plots"] = [str(file) for file in draw_all(summary, options.out)]
    write(options.out / "summary.json", summary)
    return summary


class _Demo:
    """The demo on what is running.

    Args:
        options: of the demo.
        running: engine and controller.
        until: when it should be over, seconds since the epoch.
        progress: is told what happens.
    """

    def __init__(
        self, options: DemoOptions, running: Session, until: float, progress: Progress
    ) -> None:
        self.until = until
        self.options = options
        self.phases = _TOUR if options.quick else PHASES
        self.schedule = Schedule.of(options.seconds, len(self.phases))
        self.rng = Random(options.seed)
        self.session = running
        self.client = running.client
        self.heard = running.listener.transitions
        self.progress = progress
        self.prices = self._prices()
        self.slices: list[Slice] = []
        self.turns: list[KnobTurn] = []
        self.requests: list[RequestRecord] = []
        self._traffics = self._visits = 0
        self._speed = self.client.knob()

    def run(self) -> Measured:
        """All of it."""
        self._warm_up()
        last = self.until - _tour_seconds(self.schedule.tour)
        whole = False  # every phase is visited once, however slow the machine
        while not whole or time.time() < last:
            for phase in self.rng.sample(self.phases, len(self.phases)):
                if whole and time.time() >= last:
                    break
                self._visit(phase)
            whole = True
        start = time.time()
        self._tour()
        tour = [t for t in self.heard if t.decision.at >= start]
        return Measured(
            slices=self.slices,
            turns=in_force(self.turns, self.session.listener.speeds),
            tour=tour,
            requests=len(self.requests),
            failed=[r.error for r in self.requests if r.error is not None],
            status=self.client.status(),
            prices=self.prices,
        )

    def _prices(self) -> Prices:
        (engine,) = (e for e in self.client.status()["engines"] if e["engine"] == ENGINE)
        return compute_prices(engine["parameter_ratio"])

    def _warm_up(self) -> None:
        """All phases, governed: the learner sees every load and every depth."""
        for phase in self.rng.sample(self.phases, len(self.phases)):
            self.progress(f"warming up: {phase.name}")
            with self._traffic(phase):
                self._turn(self.rng.choice(SPEEDS))
                time.sleep(max(self.schedule.warm_up, 0.3))

    def _visit(self, phase: Phase) -> None:
        """One phase, all arms in turn."""
        before = len(self.slices)
        self._visits += 1
        with self._traffic(phase):
            for arm in self.rng.sample(ARMS, len(ARMS)):
                found = self._slice(phase, arm)
                if found is not None:
                    self.slices.append(found)
        rates = {s.arm.name: s.tokens_per_second for s in self.slices[before:]}
        shown = ", ".join(f"{name} {rates[name]:.0f}" for name in sorted(rates))
        left = max(self.until - time.time(), 0.0)
        self.progress(f"{left:.0f} s left; {phase.name}, tokens/s: {shown}")

    def _slice(self, phase: Phase, arm: Arm) -> Slice | None:
        """One arm, for a while, under traffic that goes on."""
        pin = 0
        if arm.depth is None:
            assert arm.speed is not None
            self._turn(arm.speed)
            self.client.pin(ENGINE, None)
        else:
            pin = self.client.pin(ENGINE, min(arm.depth, self.options.k_max))
        turn = take_turn(self.heard, decided_by(pin, arm.speed), self.schedule.slice, least=_LEAST)
        return slice_of(self._visits, phase, arm, turn.intervals(), self.prices)

    def _tour(self) -> None:
        """The knob is turned while requests run; nothing else changes."""
        self.client.pin(ENGINE, None)
        for phase in _TOUR:
            self.progress(f"turning the knob: {phase.name}")
            with self._traffic(phase):
                for speed in (*SPEEDS, 0.0):
                    self._turn(speed)
                    time.sleep(self.schedule.tour)

    def _turn(self, speed: float) -> None:
        """Turn the knob; the engine's beats tell when it took effect."""
        if speed != self._speed:
            self.turns.append(KnobTurn(time.time(), speed))
            self.client.set_knob(speed)
            self._speed = speed

    def _traffic(self, phase: Phase) -> _Traffic:
        self._traffics += 1
        settings = LoadSettings(
            url=self.session.engine.url,
            workload=phase.content_class,
            concurrency=phase.concurrency,
            max_tokens=self.options.max_tokens,
            temperature=self.options.temperature,
            seed=self.options.seed + self._traffics,
        )
        return _Traffic(settings, self.options.load_cores, self.requests)


class _Traffic(RampedTraffic):
    """Traffic whose records are kept."""

    def __init__(
        self, settings: LoadSettings, cores: frozenset[int] | None, kept: list[RequestRecord]
    ) -> None:
        super().__init__(settings, ramp=_RAMP, cores=cores)
        self._kept = kept

    def __exit__(self, *_: object) -> None:
        self._kept += self.stop()


def _until(options: DemoOptions, started: float) -> float:
    """When to be over; a slow start must not leave too little time to measure in."""
    return max(started + options.seconds, time.time() + 0.6 * (options.seconds - _STARTUP))
