"""The governor: inside an engine, it observes, decides, applies and reports.

The engine's adapter calls it at four moments of every step, in the engine's own thread: ``plan``
before a step is scheduled, ``launch`` once it is, ``prepare`` while the model runs, ``land`` when
the step's outcome is known. Whatever can wait does so for ``prepare``, when the thread would only
wait for the model: the next interval is decided, the next step planned, and ``plan`` takes what is
ready. ``launch`` and ``land`` can wait, too; an adapter may put them off until then (``later``).
Orders from the controller arrive in another thread, in the order book, which swaps one immutable
value: the hot path takes no lock and does no I/O that can block.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from ..policies.slo import DEFAULT_CLASSES, NO_SLO, SloClasses
from ..policies.spaces import check_depth
from ..policies.transition import Transition
from .attainment import Attainment
from .choosing import DrafterChooser
from .deciding import GOVERNING, Deciding
from .flight import Flight
from .guard import Guard
from .guard_state import GuardSettings
from .interval import Interval
from .interval_reports import IntervalReports
from .moment import Load, Moment
from .orders import OrderBook, Orders
from .reporting import report
from .reports import Beat, EngineInfo, Mode
from .requests import Hints, RequestState
from .step_plan import Plan, Step

log = logging.getLogger("flyball")

FAULT_LIMIT: Final = 3
"""Faults after which a governor retires and the engine keeps its static depth for good."""

_OTHER: Final = 1.5
"""Ratio of batch sizes beyond which an interval is cut short. Around where it began, not in fixed
buckets: a request that ends while the next arrives would flip a full bucket at every turn."""

Verifications = Sequence[tuple[RequestState, int, int]]
"""Per decoding request that is still there: its state, its drafts that could be accepted, and those
that were."""

_IDLE: Final = 0.5  # seconds without a step after which an interval is cut short


class Governor:
    """Holds one engine's depth.

    Args:
        info: who the engine is.
        send: hands a transition to the controller without blocking; False if it was dropped.
        orders: what holds until the controller says otherwise.
        interval: most engine steps per decision.
        seed: of the exploration.
        guard: options of the guard; None for none.
        slo_classes: of objectives, that requests can name.
        chooser: of drafters; None where vLLM's own drafts for all.
    """

    def __init__(
        self,
        info: EngineInfo,
        send: Callable[[Transition], bool],
        orders: Orders | None = None,
        interval: int = 8,
        seed: int | None = None,
        guard: GuardSettings | None = None,
        slo_classes: SloClasses = DEFAULT_CLASSES,
        chooser: DrafterChooser | None = None,
    ) -> None:
        if interval < 1:
            raise ValueError(f"interval must be at least 1 engine step, not {interval}")
        check_depth(info.static_depth, info.k_max)
        self.info = info
        self.guard = Guard(info.static_depth, info.k_max, guard) if guard is not None else None
        self.book = OrderBook(info, orders, seed)
        self.steps_per_interval = interval
        self.chooser = chooser
        self.hints = Hints(slo_classes, chooser.offered if chooser is not None else ())
        self.attainment = Attainment()
        self.deciding = Deciding(info, self.book, self.guard, chooser, Random(seed))
        self.drafts, self.drafters = self.deciding.drafts, self.deciding.records
        self.planner, self.meters = self.deciding.planner, self.deciding.meters
        self.reports = IntervalReports(self.drafts, self.drafters, self.guard, self.book, send)
        self.decisions = self.faults = 0
        self.last_fault = ""
        self.retired = False
        self._current: Interval | None = None  # decides what this step drafts
        self._ready: Interval | None = None  # takes effect with the next step
        self._drafted: Interval | None = None  # drafted what the next step verifies
        self._later: list[Callable[[], None]] = []  # put off
        self._prepared = False  # since the last step was planned
        self._steps = 0  # steps scheduled in the current interval
        self._batch = 0  # requests when the current interval began
        self._serial = -1  # of the orders that the latest decision followed
        self._idled = False  # nothing was in the air for a while before this step
        self._flight: Flight | None = None  # the step launched last
        self._landed: Flight | None = None  # the step whose outcome came last
        self._running = 0
        self._last_landing = 0.0

    # The hot path, in the engine's thread.

    def plan(self, batch: int, load: Callable[[], Load], step: Step) -> Plan:
        """What the step about to be scheduled is to do.

        Args:
            batch: requests that run.
            load: looks at the engine; called only if orders came or no decision is ready.
            step: looks at the engine's queue.
        """
        depth = self.depth(batch, load)
        orders = self.book.orders
        if self.retired or orders.pinned is not None or orders.mode not in GOVERNING:
            return Plan(depth)
        ready = self.planner.take(depth, step)
        if ready is not None:
            return ready
        self.catch_up()
        with self.meters.planning():
            return self.deciding.plan(depth, step, orders, self._drafted, self._flight)

    def depth(self, batch: int, load: Callable[[], Load]) -> int:
        """The depth to draft in the step about to be scheduled.

        Args:
            batch: requests that run.
            load: looks at the engine; called only if orders came or no decision is ready.
        """
        started = time.perf_counter_ns()
        if not self._prepared:
            self.catch_up()
        self._prepared = False
        orders = self.book.orders
        self._running = batch
        if self.retired or orders.mode is Mode.OFF:
            self._forget()
            return self.deciding.static(orders)
        ready = self._ready
        if orders.serial != self._serial or (ready is None and self._is_overdue()):
            self.catch_up()
            self.reports.send()
            ready = self._decide(batch, load(), orders)
        if ready is not None:
            self._begin(ready)
            self.meters.decided(time.perf_counter_ns() - started)
        self._steps += 1
        assert self._current is not None
        return self._current.decision.applied

    def prepare(self, batch: int, load: Callable[[], Load]) -> None:
        """Do what had to wait: to be called while the model runs.

        An engine that never calls this is governed all the same, at its full cost in ``plan`` and
        without cutting intervals short.

        Args:
            batch: requests that run.
            load: looks at the engine; called only when a decision is due.
        """
        self._prepared = True
        self.catch_up()
        self.reports.send()
        orders = self.book.orders
        if self._current is None or orders.mode is Mode.OFF:
            return
        if self._ready is None and self._is_due(batch):
            started = time.perf_counter_ns()
            self._ready = self._decide(batch, load(), orders)
            self.meters.prepared(time.perf_counter_ns() - started)
        depth = (self._ready or self._current).decision.applied
        self.deciding.plan_ahead(depth, orders, self._drafted, self._flight)

    def launch(self, flight: Flight, depth: int, launched: float | None = None) -> None:
        """A step was scheduled: what it verifies was drafted by the step before.

        Args:
            flight: the step.
            depth: that is drafted in it.
            launched: when, seconds of ``time.perf_counter``; now by default.
        """
        flight.launched = time.perf_counter() if launched is None else launched
        flight.depth = depth
        flight.before = self._flight.depth if self._flight is not None else 0
        self._idled = self._flight is not None and self._is_idle(flight.launched)
        self._flight = flight
        flight.interval = self._drafted
        if flight.interval is not None:
            flight.interval.launched += 1
        previous, self._drafted = self._drafted, self._current
        if previous is not None and previous is not self._drafted:
            previous.closed = True
            self.reports.take(previous)

    def land(
        self,
        flight: Flight,
        landed: float,
        verifications: Verifications,
        emitted: int,
        finished: int,
    ) -> None:
        """A step's outcome is known.

        Args:
            flight: what ``launch`` was given.
            landed: when the outcome arrived, seconds of ``time.perf_counter``.
            verifications: of its decoding requests.
            emitted: tokens that reached decoding requests.
            finished: requests that ended.
        """
        # Steps overlap under asynchronous scheduling: each takes from the landing before it.
        seconds = landed - max(flight.launched, self._last_landing)
        self._last_landing = landed
        self._landed = flight
        self.meters.step(flight, seconds, emitted, finished)
        self.planner.landed(flight, seconds)
        if self.deciding.times is not None:
            self.deciding.times.landed(flight, seconds)
        interval = flight.interval
        if interval is not None:
            self.drafts.verified(interval.counts, verifications)
            interval.landed += 1
            interval.add(flight, seconds, emitted, finished)
            self.reports.take(interval)
        if finished >= len(flight.requests):
            self.reports.send()  # nobody may come for long

    def later(self, work: Callable[[], None]) -> None:
        """Put work off, until there is time for it or its outcome is needed."""
        self._later.append(work)

    def catch_up(self) -> None:
        """Do what was put off, in its order."""
        later, self._later = self._later, []
        for work in later:
            try:
                work()
            except Exception as e:  # noqa: BLE001 - what comes after it is done all the same
                self.fault(e)

    def admit(self, arguments: dict[str, object] | None) -> RequestState:
        """A new request, with its ``vllm_xargs``."""
        self.meters.arrivals += 1
        state = self.hints.state(arguments)
        self.planner.hurried |= state.slo.bound
        return state

    def finish(self, state: RequestState) -> str:
        """A request ended; with objectives, it is counted in its SLO class.

        Returns:
            The objectives that were given up or missed, joined by ``+``; "" for none.
        """
        if state.slo is NO_SLO:
            return ""
        self.planner.ended(state.emitted)
        times = (state.arrived, state.first, state.last)
        return self.attainment.finish(state.slo, *times, state.emitted, state.missed)

    def fault(self, error: Exception) -> None:
        """Something of ours failed; the engine goes on, after a few faults without us."""
        self.faults += 1
        self.last_fault = f"{type(error).__name__}: {error}"
        self._forget()
        self._drafted = None
        if self.faults <= FAULT_LIMIT:
            log.exception("governor fault %d", self.faults, exc_info=error)
        if self.faults == FAULT_LIMIT:
            self.retired = True
            log.error("governor retired after %d faults: static depth from here on", self.faults)

    def beat(self) -> Beat:
        """The state now; may be called from any thread."""
        idle = self._is_idle(time.perf_counter())
        return report(self, self._current, 0 if idle else self._running, idle)

    def _is_idle(self, now: float) -> bool:
        """Whether nothing is in the air, for a while now."""
        return self._flight is self._landed and now - self._last_landing > _IDLE

    def _is_overdue(self) -> bool:
        """Whether a decision cannot wait to be prepared."""
        return self._current is None or self._steps > self._longest()

    def _longest(self) -> int:
        """Steps that the interval in force may hold."""
        choice = self._current.choice if self._current is not None else None
        held = self.steps_per_interval
        return held if choice is None else min(held, choice.steps)

    def _is_due(self, batch: int) -> bool:
        """Whether the interval in force has run its time, or its decision no longer fits."""
        return (
            self._steps >= self._longest()
            or not (batch <= _OTHER * self._batch and self._batch <= _OTHER * batch)
            or self._idled
        )

    def _decide(self, batch: int, load: Load, orders: Orders) -> Interval:
        """The interval that is to follow."""
        if self.chooser is not None and orders.serial != self._serial:
            self.chooser.set(orders.drafter)
        self._batch, self._serial = batch, orders.serial
        number = self.decisions + 1
        moment = Moment(number, batch, load, self._flight, self._current)
        return self.deciding.decide(moment, orders)

    def _forget(self) -> None:
        """Nothing is decided any more."""
        self._current = self._ready = None
        if self.chooser is not None:
            self.chooser.choice = None

    def _begin(self, interval: Interval) -> None:
        """Put an interval in force; the one before it is over."""
        if self._current is not None:
            self._current.following = interval.decision.observation
        self._current, self._ready = interval, None
        if self.chooser is not None:
            self.chooser.choice = interval.choice
        self._steps = 0
        self.decisions += 1
