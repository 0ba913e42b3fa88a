"""What an interval's decision is made of: what is observed, who decides, and under which guard."""

from __future__ import annotations

import time
from random import Random
from struct import Struct
from typing import Final

from ..policies.prices import Prices, compute_prices
from ..policies.snapshot import Snapshot, SnapshotError
from ..policies.spaces import DEPTH_SPACE
from ..policies.structure import Structure
from ..policies.transition import Decision, Floats, Reason
from .choosing import DrafterChooser
from .drafter_choice import Choice, LearnedDrafters
from .drafter_records import DrafterRecords
from .drafter_times import DrafterTimes
from .drafters.catalogue import LEARNED
from .drafts import Drafts
from .flight import Flight
from .guard import Guard
from .interval import Interval
from .live_policy import LivePolicy, PolicyError
from .meters import Meters
from .moment import Moment, shares
from .orders import OrderBook, Orders
from .reports import EngineInfo, Mode
from .step_plan import Plan, Step
from .step_planner import StepPlanner


class Deciding:
    """Makes the decisions of one engine's governor.

    Args:
        info: who the engine is.
        book: of orders; is told what had to be refused.
        guard: None for none.
        chooser: of drafters; None where vLLM's own drafts for all.
        rng: of the exploration.

    Attributes:
        drafts: how drafts fare, whoever's.
        records: how each drafter fares.
        times: of steps, where there are several drafters.
        meters: what the engine does.
        planner: of its steps.
        waiting: requests that waited when something was decided last.
    """

    def __init__(
        self,
        info: EngineInfo,
        book: OrderBook,
        guard: Guard | None,
        chooser: DrafterChooser | None,
        rng: Random,
    ) -> None:
        self.drafts, self.records = Drafts(), DrafterRecords()
        self.meters = Meters()
        self.waiting = 0
        self.times: DrafterTimes | None = None
        self.planner = StepPlanner(self.drafts.estimator, self.records if chooser else None)
        self._info = info
        self._book = book
        self._guard = guard
        self._chooser = chooser
        self._rng = rng
        self._prices = compute_prices(info.parameter_ratio)  # until a snapshot says others
        self._learned: LearnedDrafters | None = None
        if chooser is not None:
            self.times = DrafterTimes(info.k_max)
            offered = chooser.offered
            self._learned = LearnedDrafters(offered, info.k_max, self.records, self.times)
            chooser.learn(self._learned)

    def decide(self, moment: Moment, orders: Orders) -> Interval:
        """The interval that is to follow."""
        before = moment.before
        if self.times is not None:
            self.records.settle()
            self.times.settle()
        observation = self._observe(moment, orders, time.perf_counter())
        (action, propensity, reason), choice = self._choose(observation, moment, orders)
        watching = orders.mode in WATCHING
        applied = self.static(orders) if watching else action
        decision = Decision(
            number=moment.number,
            at=time.time(),
            observation=_PACK(*observation),
            action=action,
            applied=applied,
            propensity=propensity,
            version=orders.version,
            speed=observation[-1],
            reason=reason,
            pin=orders.pin.number if orders.pin and orders.pinned is not None else 0,
            drafters=choice.shares() if choice is not None else {},
            tried=choice.tried if choice is not None else "",
        )
        switched = before is not None and before.decision.applied != applied
        learns = reason in DECIDED and orders.mode is not Mode.FREEZE
        interval = Interval(decision, switched, orders.policy if learns else None)
        interval.choice = None if watching else choice
        if self._guard is not None:
            guarded = self.is_guarded(orders)
            stake = self._guard.stake(moment.batch, decision.speed, self.prices(orders), guarded)
            interval.stake = stake
        return interval

    def plan(
        self,
        depth: int,
        step: Step,
        orders: Orders,
        drafted: Interval | None,
        flight: Flight | None,
    ) -> Plan:
        """The plan of a step at a depth, by whoever decides.

        Args:
            depth: that is drafted in it.
            step: the engine's queue.
            orders: in force.
            drafted: the interval that drafted what it verifies.
            flight: the step launched last.
        """
        cut = _is_decided(drafted)
        context = flight.mean_context if flight else 0.0
        if orders.policy is not None:
            return Plan(depth, self._verified(orders.policy, step, context) if cut else None)
        if orders.runner is None:
            return Plan(depth)
        snapshot = orders.runner.snapshot
        cut = cut and snapshot.meta.linear
        structure = self.structure(snapshot)
        return self.planner.plan(depth, step, structure, orders.speed, context, cut)

    def plan_ahead(
        self, depth: int, orders: Orders, drafted: Interval | None, flight: Flight | None
    ) -> None:
        """Plan the step after the one that runs, where that needs no look at the engine's queue.

        Args:
            depth: that is to be drafted in it.
            orders: in force.
            drafted: the interval that drafts now what it verifies.
            flight: the step that runs.
        """
        snapshot = deciding(orders)
        if snapshot is None or flight is None or self.planner.hurried or not _is_decided(drafted):
            return
        with self.meters.planning():
            structure = self.structure(snapshot)
            self.planner.plan_ahead(depth, flight, structure, orders.speed)

    def _verified(self, policy: LivePolicy, step: Step, context: float) -> list[int] | None:
        """What a policy of the catalogue has verified of each request; None for everything."""
        if not policy.verifies:
            return None
        try:
            return self.planner.verified_by(policy, step, context)
        except PolicyError as e:
            self._book.refuse(str(e))
            return None

    def static(self, orders: Orders) -> int:
        """The depth that nobody has decided."""
        return self._info.static_depth if orders.pinned is None else orders.pinned

    def is_guarded(self, orders: Orders) -> bool:
        """Whether the guard may act: a snapshot decides, by the losses that the guard measures."""
        return self._guard is not None and deciding(orders) is not None

    def prices(self, orders: Orders) -> Prices:
        """What things cost."""
        return orders.runner.snapshot.meta.prices if orders.runner else self._prices

    def structure(self, snapshot: Snapshot) -> Structure:
        """Step times and prices: those of a snapshot, but times of its own with several drafters.

        An engine's learner knows its steps by their depth alone, not by whose passes that made.
        """
        if self.times is None or not self.times.known:
            return snapshot.structure
        return self.times.structure(snapshot.meta.prices)

    def _choose(
        self, observation: list[float], moment: Moment, orders: Orders
    ) -> tuple[tuple[int, float, Reason], Choice | None]:
        """The depth, its propensity, why; and the drafters, where they are learned."""
        static, chooser = self._info.static_depth, orders.chooser
        if orders.pinned is not None:
            own = orders.pinned, 1.0, Reason.PINNED
            return own, self._drafters(moment, orders, own[0])
        if chooser is None or orders.mode is Mode.OBSERVE:
            return (static, 1.0, Reason.STATIC), self._drafters(moment, orders, static)
        guard = self._guard if self.is_guarded(orders) else None
        held = guard.held(time.perf_counter()) if guard is not None else None
        if held is not None:
            return (held, 1.0, Reason.GUARD), None
        if self._decides_both(orders):
            return self._both(moment, orders, guard)
        explore = self._explores(orders, guard)
        try:
            choice = chooser.act(observation, self._rng, explore)
            if guard is not None and orders.runner is not None:
                static_chance = orders.runner.probability(static)
                choice = guard.mix(choice, orders.runner.explored, static_chance, self._rng)
        except (SnapshotError, PolicyError) as e:
            self._book.refuse(str(e))
            return (static, 1.0, Reason.FALLBACK), None
        return choice, self._drafters(moment, orders, choice[0])

    def _both(
        self, moment: Moment, orders: Orders, guard: Guard | None
    ) -> tuple[tuple[int, float, Reason], Choice | None]:
        """Depth and drafters together; the guard's reference arm has the first drafter."""
        choice = self._drafters(moment, orders, None, self._explores(orders, guard))
        assert choice is not None
        reason = Reason.EXPLORE if choice.tried else Reason.POLICY
        own = choice.depth, choice.chances[choice.depth], reason
        if guard is None:
            return own, choice
        static = choice.chances[self._info.static_depth]
        mixed = guard.mix(own, choice.explored, static, self._rng)
        return mixed, None if mixed[2] is Reason.REFERENCE else choice

    def _drafters(
        self, moment: Moment, orders: Orders, depth: int | None, explore: bool | None = None
    ) -> Choice | None:
        """Who drafts, where that is learned.

        Args:
            moment: of the decision.
            orders: in force.
            depth: if that is decided; None to choose it, too.
            explore: whether drafters may be tried; None where the mode alone says so.
        """
        if self._learned is None or self._chooser is None or self._chooser.in_force != LEARNED:
            return None
        if orders.mode is Mode.OBSERVE:
            return None
        before = moment.before.choice if moment.before is not None else None
        return self._learned.decide(
            [*moment.requests.values()],
            depth,
            orders.speed,
            self.prices(orders),
            moment.context,
            orders.mode is not Mode.FREEZE if explore is None else explore,
            self._rng,
            before,
        )

    def _decides_both(self, orders: Orders) -> bool:
        """Whether drafters and depth are chosen together, by what both are known to cost."""
        return (
            self._chooser is not None
            and self._chooser.in_force == LEARNED
            and self.times is not None
            and self.times.known
            and orders.policy is None
            and orders.runner is not None
            and orders.runner.snapshot.meta.linear
        )

    @staticmethod
    def _explores(orders: Orders, guard: Guard | None) -> bool:
        return orders.mode is not Mode.FREEZE and (guard is None or guard.may_explore())

    def _observe(self, moment: Moment, orders: Orders, now: float) -> list[float]:
        """The observation, raw, in the order of ``DEPTH_SPACE``."""
        flight, requests, before = moment.flight, moment.requests, moment.before
        share, speed = shares(requests, orders.speed)
        decoding = len(requests) or 1
        arrivals, step_ms, per_request, prefill = self.meters.read(now)
        self.waiting = moment.load.waiting
        thresholds = self._thresholds(moment, orders)
        return [
            moment.batch,
            moment.load.waiting,
            moment.load.kv_usage,
            moment.context,
            prefill,
            per_request,
            arrivals,
            step_ms,
            flight.remaining / decoding if flight else 0.0,
            self.planner.slack,
            before.decision.applied if before else self._info.static_depth,
            *self.drafts.observe(requests.values(), share, thresholds),
            speed,
        ]

    def _thresholds(self, moment: Moment, orders: Orders) -> Floats | None:
        """Hope from which on the drafts of running requests are verified; None for all of them."""
        snapshot, before = deciding(orders), moment.before
        if not moment.requests or snapshot is None:
            return None
        states = list(moment.requests.values())
        depth = before.decision.applied if before else self._info.static_depth
        structure = self.structure(snapshot)
        return self.planner.thresholds(states, structure, orders.speed, depth, moment.context)


def _is_decided(interval: Interval | None) -> bool:
    """Whether an interval's depth was chosen by what was learned."""
    return interval is not None and interval.decision.reason in DECIDED


def deciding(orders: Orders) -> Snapshot | None:
    """The snapshot that decides, by losses that are linear in latency and cost; None if none."""
    if (
        orders.mode not in GOVERNING
        or orders.pinned is not None
        or orders.policy is not None
        or orders.runner is None
        or not orders.runner.snapshot.meta.linear
    ):
        return None
    return orders.runner.snapshot


WATCHING: Final = (Mode.OBSERVE, Mode.SHADOW)
"""Modes in which the static depth is applied."""

DECIDED: Final = (Reason.POLICY, Reason.EXPLORE)
"""Reasons of whoever decides by what was learned."""

GOVERNING: Final = (Mode.APPLY, Mode.FREEZE)
"""Modes in which what is decided is applied."""

_PACK: Final = Struct(f"<{DEPTH_SPACE.size}f").pack
