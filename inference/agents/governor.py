"""The governor of a planner: it decides as it is ordered, and reports what came of it.

In a planner's place of a policy. Whatever decides, in every mode, our own policy's estimates of
matches and calls go on, as those of drafts and step times do in an engine, so that whoever decides
next knows them. Another policy is told of nothing while it is frozen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from ...policies.calibration import Calibration
from ...policies.plan.fixed import Fixed
from ...policies.plan.learned import Learned
from ...policies.plan.policy import EndedCall, FinishedRun, PlanPolicy
from ...policies.plan.rows import PlanRecorder, PlanRows
from ...policies.plan.snapshot import PlanSnapshot
from ...policies.plan.space import observe
from ...policies.plan.state import MAX_AHEAD, Ahead, PlanState
from ...policies.spaces import Array
from ..address import Address
from ..link import Link
from ..meters import Durations
from ..reports import Mode, PlanBeat, PlanReport
from ..wire import TOPIC_PLAN_SNAPSHOT
from .messages import MOST_ROWS, PlannerInfo, PlanTotals, columns_of
from .orders import PlanOrderBook, PlanOrders

log = logging.getLogger("flyball")

Send = Callable[[PlanReport], bool]
"""Hands a report to the controller without blocking; False if it was dropped."""


class PlanGovernor(PlanPolicy):
    """Decides for one planner.

    Args:
        info: who the planner is.
        send: takes the transitions of every complete run; None for nobody.
        orders: what holds until the controller says otherwise.
        learned: our policy; None for a new one.
        own_speed: whether the planner's own speed holds, and not the knob.
        seed: of everything random.
    """

    name: ClassVar[str] = "governed"
    about: ClassVar[str] = "decides as the controller orders"

    def __init__(
        self,
        info: PlannerInfo,
        send: Send | None = None,
        orders: PlanOrders | None = None,
        learned: Learned | None = None,
        own_speed: bool = False,
        seed: int = 0,
    ) -> None:
        self.info = info
        self.learned = Learned(seed=seed) if learned is None else learned
        self.book = PlanOrderBook(info, orders, seed)
        self.totals = PlanTotals()
        self.decisions = self.dropped = self.faults = 0
        self.last_fault = ""
        self._static = Fixed(info.static_steps)
        self._send = send
        self._own_speed = own_speed
        self._recorder = PlanRecorder()
        self._durations = Durations()
        self._calibration = Calibration()
        self._choosers: dict[int, PlanPolicy] = {}  # by run
        self._untold: set[int] = set()  # runs that whoever decides is not told of any more
        self._aheads = [0] * (MAX_AHEAD + 1)
        self._latest = PlanState("")
        self._ahead = 0

    def connect(self, address: Address, keys: Path | None = None) -> Link:
        """Follow a controller, and report to it, until the link is closed.

        Args:
            address: where it listens.
            keys: folder of CURVE keys; needed beyond loopback.

        Raises:
            ValueError: the controller must not be reached without keys.
        """
        link = Link(address, self.info.planner, keys, TOPIC_PLAN_SNAPSHOT, PlanSnapshot.from_bytes)
        self._send = link.send
        link.start(self.book, self.beat)
        return link

    @property
    def barrier(self) -> bool:  # type: ignore[override]
        """Whether the next run goes in rounds; see ``PlanPolicy``."""
        return self._chooser().barrier

    @property
    def slow(self) -> bool:  # type: ignore[override]
        """Whether its rounds are considered; see ``PlanPolicy``."""
        return self._chooser().slow

    def decide(self, state: PlanState) -> Ahead:
        """Decide; see ``PlanPolicy``. A fault costs the speculation, never the run."""
        started = time.perf_counter_ns()
        state = self._standing(state)
        orders = self.book.orders
        try:
            ahead = self._applied(state, self._ready(state, orders).decide(state), orders)
            if orders.mode is not Mode.OFF:
                self._recorder.decided(state, self._observe(state), ahead)
        except Exception as e:  # noqa: BLE001 - a run goes on whatever its policy does
            self._fault(e)
            ahead = Ahead(0)
        self._count(state, ahead)
        self._durations.add(time.perf_counter_ns() - started)
        return ahead

    async def consider(self, state: PlanState) -> Ahead:
        """Decide for a round, taking time; see ``PlanPolicy``."""
        state = self._standing(state)
        orders = self.book.orders
        try:
            # What is known by now: verdicts may come in while it considers.
            observation = self._observe(state)
            ahead = await self._ready(state, orders).consider(state)
            ahead = self._applied(state, ahead, orders)
            if orders.mode is not Mode.OFF:
                self._recorder.decided(state, observation, ahead)
        except Exception as e:  # noqa: BLE001 - a run goes on whatever its policy does
            self._fault(e)
            ahead = Ahead(0)
        self._count(state, ahead)
        return ahead

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:
        """Learn that a step is settled."""
        self.totals.steps += 1
        self.totals.judged += matched is not None and bool(state.proposed)
        self.totals.matched += bool(matched)
        if matched is not None:
            chance = float(self.learned.estimates.matches.chances(state)[0])
            self._calibration.add([chance], int(matched))
        self._tell(state.run, lambda policy: policy.settled(state, index, matched))

    def ended(self, call: EndedCall, state: PlanState) -> None:
        """Learn that a call ended."""
        self.totals.calls += 1
        self.totals.cancelled += not call.done
        self._recorder.ended(call, state)
        self._tell(state.run, lambda policy: policy.ended(call, state))

    def finished(self, run: FinishedRun) -> None:
        """Learn that a run ended, and report it."""
        totals = self.totals
        totals.runs += 1
        totals.complete += run.complete
        totals.seconds += run.seconds
        totals.dollars += run.dollars
        totals.wasted += run.wasted
        self._tell(run.run, lambda policy: policy.finished(run))
        self._choosers.pop(run.run, None)
        self._untold.discard(run.run)
        rows = self._recorder.finished(run)
        if rows is not None and self._send is not None and self.book.orders.mode is not Mode.OFF:
            self._report(rows)

    def beat(self) -> PlanBeat:
        """What it is and does now; may be called from another thread."""
        orders, latest = self.book.orders, self._latest
        p50, p99 = self._durations.percentiles()
        brier, ece = self._calibration.overall()
        return PlanBeat(
            info=self.info,
            at=time.time(),
            mode=orders.mode,
            speed=latest.speed if self._own_speed else orders.speed,
            version=orders.version,
            pin=orders.pin.number if orders.pin else 0,
            policy=orders.spec,
            running=len(self._choosers),
            in_flight=latest.in_flight if self._choosers else 0,
            ahead=self._ahead,
            decisions=self.decisions,
            dropped=self.dropped,
            refused=self.book.refused,
            faults=self.faults,
            last_fault=self.last_fault or self.book.last_refusal,
            decide_us_p50=p50,
            decide_us_p99=p99,
            survival_brier=brier,
            survival_ece=ece,
            aheads=tuple(self._aheads),
            totals=msgspec.structs.replace(self.totals),
        )

    def _observe(self, state: PlanState) -> Array:
        """An observation, at the speed that was decided at."""
        ours = self._choosers.get(state.run) is self.learned
        seen = self.learned.serving(state) if ours else state
        return observe(seen, self.learned.estimates)

    def _standing(self, state: PlanState) -> PlanState:
        """The state at the knob that holds."""
        return state if self._own_speed else replace(state, speed=self.book.orders.speed)

    def _ready(self, state: PlanState, orders: PlanOrders) -> PlanPolicy:
        """Who decides for a run, as is ordered."""
        chooser = self._of(state)
        if chooser is self.learned:
            self.learned.snapshot = orders.snapshot or self.learned.snapshot
        chooser.explore = orders.mode is Mode.APPLY
        return chooser

    def _applied(self, state: PlanState, ahead: Ahead, orders: PlanOrders) -> Ahead:
        """What is done where so much was decided."""
        return self._static.decide(state) if orders.mode is Mode.SHADOW else ahead

    def _chooser(self) -> PlanPolicy:
        """Who decides by the orders that hold now."""
        orders = self.book.orders
        if orders.pinned is not None:
            return Fixed(orders.pinned)
        if orders.mode in {Mode.OFF, Mode.OBSERVE}:
            return self._static
        return self.learned if orders.policy is None else orders.policy

    def _of(self, state: PlanState) -> PlanPolicy:
        """Who decides for a run: rounds and the rolling window do not change within one."""
        begun, now = self._choosers.get(state.run), self._chooser()
        if begun is None or (begun.barrier, begun.slow) == (now.barrier, now.slow):
            self._choosers[state.run] = begun = now
        return begun

    def _tell(self, run: int, notice: Callable[[PlanPolicy], None]) -> None:
        """Give a notice to what is learned, and to whoever else decides for the run."""
        self._safely(lambda: notice(self.learned))
        chooser = self._choosers.get(run)
        if chooser is None or chooser is self.learned:
            return
        if run not in self._untold and self.book.orders.mode is Mode.FREEZE:
            # For good: a run with a gap would be learned from as if there had been none.
            self._untold.add(run)
            self._safely(lambda: chooser.forget(run))
        if run not in self._untold:
            self._safely(lambda: notice(chooser))

    def _safely(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as e:  # noqa: BLE001 - a run goes on whatever its policy does
            self._fault(e)

    def _count(self, state: PlanState, ahead: Ahead) -> None:
        self.decisions += 1
        self._aheads[ahead.steps] += 1
        self._latest, self._ahead = state, ahead.steps

    def _report(self, rows: PlanRows) -> None:
        """Hand over a run's transitions; of a very long one, the last."""
        if len(rows) > MOST_ROWS:
            rows = rows.take(np.arange(len(rows) - MOST_ROWS, len(rows)))
        assert self._send is not None
        if not self._send(PlanReport(self.info.planner, columns_of(rows))):
            self.dropped += 1

    def _fault(self, error: Exception) -> None:
        self.faults += 1
        self.last_fault = f"{type(error).__name__}: {error}"
        if self.faults <= 3:
            log.exception("a decision of a plan failed: it goes on without running ahead")
