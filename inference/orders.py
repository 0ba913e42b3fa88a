"""What the controller asked of an engine, validated."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from ..policies.runner import Runner
from ..policies.snapshot import Snapshot, SnapshotError
from ..policies.spaces import check_depth, check_speed
from .live_policy import KeptPolicies, LivePolicy
from .wire import LEARNED, EngineInfo, FromController, Knob, Mode, Pin, SetMode, UsePolicy

log = logging.getLogger("flyball")


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds now.

    Attributes:
        speed: the knob, in [0, 1].
        mode: what the governor does with its decisions.
        pin: the last one, released or not.
        runner: the snapshot, ready to run.
        policy: a policy of the catalogue that decides instead of it, if one does.
        serial: grows with every order that takes effect at once (all but snapshots).
    """

    speed: float = 0.5
    mode: Mode = Mode.APPLY
    pin: Pin | None = None
    runner: Runner | None = None
    policy: LivePolicy | None = None
    serial: int = 0

    @property
    def pinned(self) -> int | None:
        """The depth set from outside, if one is."""
        return self.pin.depth if self.pin is not None else None

    @property
    def version(self) -> int:
        """Number of the snapshot that decides; 0 for none."""
        if self.runner is None or self.policy is not None:
            return 0
        return self.runner.snapshot.meta.number

    @property
    def chooser(self) -> Runner | LivePolicy | None:
        """What decides, if anything does."""
        return self.runner if self.policy is None else self.policy

    @property
    def policy_name(self) -> str:
        """The policy in force: ``learned`` or a specification."""
        return LEARNED if self.policy is None else self.policy.spec


class OrderBook:
    """Takes orders in the link's thread; the governor reads ``orders`` in the engine's.

    Args:
        info: who the engine is.
        orders: what holds until the controller says otherwise.
        seed: of policies that draw at random.
    """

    def __init__(
        self, info: EngineInfo, orders: Orders | None = None, seed: int | None = None
    ) -> None:
        self.orders = orders or Orders()
        self.refused = 0
        self.last_refusal = ""
        self._info = info
        self._policies = KeptPolicies(info, seed)
        if self.orders.runner is not None:
            self._prepare(self.orders.runner.snapshot)

    def receive(self, order: FromController | Snapshot) -> None:
        """Take an order; one that cannot be followed is refused and counted."""
        try:
            if isinstance(order, Snapshot):
                self._prepare(order)
                self.orders = replace(self.orders, runner=Runner(order))
            elif isinstance(order, Knob):
                self._change(speed=check_speed(order.speed))
            elif order.engine == self._info.engine:
                self._own(order)
        except ValueError as e:
            self.refuse(str(e))

    def refuse(self, reason: str) -> None:
        """Count something that was refused."""
        self.refused += 1
        self.last_refusal = f"refused: {reason}"
        log.warning("refused: %s", reason)

    def _own(self, order: SetMode | Pin | UsePolicy) -> None:
        if isinstance(order, SetMode):
            self._change(mode=order.mode)
        elif isinstance(order, UsePolicy):
            self._change(policy=self._policies.get(order.policy))
        else:
            if order.depth is not None:
                check_depth(order.depth, self._info.k_max)
            self._change(pin=order)

    def _change(self, **change: object) -> None:
        now = self.orders
        self.orders = replace(now, **change, serial=now.serial + 1)  # type: ignore[arg-type]

    def _prepare(self, snapshot: Snapshot) -> None:
        """Check a snapshot; its step times and prices are the latest there are."""
        if snapshot.meta.k_max != self._info.k_max:
            raise SnapshotError(
                f"snapshot {snapshot.meta.number} is for k_max {snapshot.meta.k_max}, "
                f"this engine runs {self._info.k_max}"
            )
        self._policies.use_structure(snapshot.structure)
