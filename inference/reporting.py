"""What a governor says of itself, twice a second: its beat."""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING

import msgspec

from .guard_state import GuardState
from .reports import Beat

if TYPE_CHECKING:
    from .governor import Governor
    from .interval import Interval


def report(governor: Governor, current: Interval | None, running: int, idle: bool) -> Beat:
    """The state now; may be called from any thread.

    Args:
        governor: whose.
        current: the interval in force, if one is.
        running: requests that run.
        idle: whether nothing is in the air.
    """
    orders, deciding, meters = governor.book.orders, governor.deciding, governor.meters
    p50, p99 = meters.decide_us()
    prepare_p50, prepare_p99 = meters.prepare_us()
    plan_p50, plan_p99 = meters.plan_us()
    plan_cpu_p50, plan_cpu_p99 = meters.plan_cpu_us()
    brier, ece = governor.drafts.calibration.overall()
    guard, hints = GuardState(), governor.hints
    if governor.guard is not None:
        guard = governor.guard.state(deciding.is_guarded(orders), time.perf_counter())
    return Beat(
        info=msgspec.structs.replace(governor.info, classes=hints.names.padded()),
        at=time.time(),
        mode=orders.mode,
        speed=orders.speed,
        depth=current.decision.applied if current else deciding.static(orders),
        version=orders.version,
        pin=orders.pin.number if orders.pin and orders.pinned is not None else 0,
        running=running,
        waiting=0 if idle else deciding.waiting,
        decisions=governor.decisions,
        dropped=governor.reports.dropped,
        refused=governor.book.refused,
        faults=governor.faults,
        last_fault=governor.last_fault or governor.book.last_refusal,
        decide_us_p50=p50,
        decide_us_p99=p99,
        prepare_us_p50=prepare_p50,
        prepare_us_p99=prepare_p99,
        plan_us_p50=plan_p50,
        plan_us_p99=plan_p99,
        plan_cpu_us_p50=plan_cpu_p50,
        plan_cpu_us_p99=plan_cpu_p99,
        policy=orders.policy_name,
        totals=copy(meters.totals),
        survival_brier=brier,
        survival_ece=ece,
        guard=guard,
        ignored=hints.ignored,
        last_ignored=hints.last_ignored,
        slo=governor.attainment.counts(),
        drafters=governor.drafters.beats(),
        drafter=governor.chooser.in_force if governor.chooser is not None else "",
    )
