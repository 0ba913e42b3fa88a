"""What the controller asked of a planner, validated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...policies.plan.catalogue import make_plan_policy
from ...policies.plan.policy import PlanPolicy
from ...policies.plan.snapshot import PlanSnapshot
from ...policies.plan.state import MAX_AHEAD
from ...policies.snapshot import SnapshotError
from ..orders import Book, Standing
from ..reports import LEARNED
from ..wire import Pin, SetMode, UseDrafter, UsePolicy
from .messages import PlannerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOrders(Standing):
    """What holds now for a planner.

    Attributes:
        snapshot: of what is learned; None before the first.
        policy: a policy of the catalogue that decides instead of what is learned, if one does.
        spec: as it was asked for.
    """

    snapshot: PlanSnapshot | None = None
    policy: PlanPolicy | None = None
    spec: str = LEARNED

    @property
    def version(self) -> int:
        """Number of the snapshot that decides; 0 for none."""
        return 0 if self.snapshot is None or self.policy is not None else self.snapshot.meta.number


class PlanOrderBook(Book[PlanOrders]):
    """Orders of a planner.

    A policy that returns knows what it learned before.

    Args:
        info: who the planner is.
        orders: what holds until the controller says otherwise.
        seed: of policies that draw at random.
    """

    def __init__(self, info: PlannerInfo, orders: PlanOrders | None = None, seed: int = 0) -> None:
        super().__init__(info.planner, orders or PlanOrders())
        self._seed = seed
        self._kept: dict[str, PlanPolicy] = {}

    def _with(self, snapshot: object) -> PlanOrders:
        if not isinstance(snapshot, PlanSnapshot):
            raise SnapshotError("not a snapshot of the plan control point")
        return replace(self.orders, snapshot=snapshot)

    def _policy(self, spec: str) -> PlanPolicy | None:
        if spec in {"", LEARNED}:
            return None
        if spec not in self._kept:
            self._kept[spec] = make_plan_policy(spec, self._seed, live=True)
            if len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[spec]

    def _own(self, order: SetMode | Pin | UsePolicy | UseDrafter) -> None:
        super()._own(order)
        if isinstance(order, UsePolicy):
            self._change(spec=order.policy or LEARNED)

    def _check_pin(self, value: int) -> None:
        if not 0 <= value <= MAX_AHEAD:
            raise ValueError(f"steps ahead must be in [0, {MAX_AHEAD}], not {value}")


def check_plan_policy(spec: str) -> str:
    """A policy for a planner from outside: its specification, or ``learned``.

    Raises:
        ValueError: there is no such policy, or it cannot decide for live agents.
    """
    if spec in {"", LEARNED}:
        return LEARNED
    make_plan_policy(spec)
    return spec


_MOST_KEPT = 16
