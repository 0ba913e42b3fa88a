"""What the controller asked of whatever is governed, validated."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..policies.runner import Runner
from ..policies.snapshot import Snapshot, SnapshotError
from ..policies.spaces import check_depth, check_speed
from .drafters.catalogue import check_choice
from .live_policy import KeptPolicies, LivePolicy
from .reports import LEARNED, EngineInfo, Mode
from .wire import Knob, Pin, SetMode, UseDrafter, UsePolicy

log = logging.getLogger("flyball")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds now, whatever is governed.

    Attributes:
        speed: the knob, in [0, 1].
        mode: what the governor does with its decisions.
        pin: the last one, released or not.
        serial: grows with every order that takes effect at once (all but snapshots).
    """

    speed: float = 0.5
    mode: Mode = Mode.APPLY
    pin: Pin | None = None
    serial: int = 0

    @property
    def pinned(self) -> int | None:
        """What was set from outside, if anything was."""
        return self.pin.depth if self.pin is not None else None


_Standing = TypeVar("_Standing", bound=Standing)


class Book(ABC, Generic[_Standing]):
    """Takes orders in the link's thread; the governor reads ``orders`` in its own.

    Args:
        name: of what is governed.
        orders: what holds until the controller says otherwise.
    """

    def __init__(self, name: str, orders: _Standing) -> None:
        self.orders = orders
        self.refused = 0
        self.last_refusal = ""
        self._name = name

    def receive(self, order: Any) -> None:
        """Take an order or a snapshot; one that cannot be followed is refused and counted."""
        try:
            if isinstance(order, Knob):
                self._change(speed=check_speed(order.speed))
            elif isinstance(order, SetMode | Pin | UsePolicy | UseDrafter):
                if order.engine == self._name:
                    self._own(order)
            else:
                self.orders = self._with(order)
        except ValueError as e:
            self.refuse(str(e))

    def refuse(self, reason: str) -> None:
        """Count something that was refused."""
        self.refused += 1
        self.last_refusal = f"refused: {reason}"
        log.warning("refused: %s", reason)

    @abstractmethod
    def _with(self, snapshot: Any) -> _Standing:
        """The orders with a snapshot in force.

        Raises:
            ValueError: it cannot be used.
        """

    @abstractmethod
    def _policy(self, spec: str) -> object:
        """A policy of the catalogue, made ready; None for what is learned.

        Raises:
            ValueError: there is none of that name, or it cannot be used.
        """

    @abstractmethod
    def _check_pin(self, value: int) -> None:
        """Refuse a pin that cannot be followed.

        Raises:
            ValueError: saying what it may be.
        """

    def _own(self, order: SetMode | Pin | UsePolicy | UseDrafter) -> None:
        if isinstance(order, UseDrafter):
            raise ValueError(f"{self._name} has no drafters")
        if isinstance(order, SetMode):
            self._change(mode=order.mode)
        elif isinstance(order, UsePolicy):
            self._change(policy=self._policy(order.policy))
        else:
            if order.depth is not None:
                self._check_pin(order.depth)
            self._change(pin=order)

    def _change(self, **change: object) -> None:
        now = self.orders
        self.orders = replace(now, **change, serial=now.serial + 1)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders(Standing):
    """What holds now for an engine's depth.

    Attributes:
        runner: the snapshot, ready to run.
        policy: a policy of the catalogue that decides instead of it, if one does.
        drafter: who drafts, as the operator says; None for what the engine was started with.
    """

    runner: Runner | None = None
    policy: LivePolicy | None = None
    drafter: str | None = None

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


class OrderBook(Book[Orders]):
    """Orders of an engine.

    Args:
        info: who the engine is.
        orders: what holds until the controller says otherwise.
        seed: of policies that draw at random.
    """

    def __init__(
        self, info: EngineInfo, orders: Orders | None = None, seed: int | None = None
    ) -> None:
        super().__init__(info.engine, orders or Orders())
        self._info = info
        self._policies = KeptPolicies(info, seed)
        if self.orders.runner is not None:
            self._prepare(self.orders.runner.snapshot)

    def _with(self, snapshot: Snapshot) -> Orders:
        self._prepare(snapshot)
        return replace(self.orders, runner=Runner(snapshot))

    def _policy(self, spec: str) -> LivePolicy | None:
        return self._policies.get(spec)

    def _own(self, order: SetMode | Pin | UsePolicy | UseDrafter) -> None:
        if isinstance(order, UseDrafter):
            if order.drafter is not None:
                check_choice(order.drafter, self._info.offered)
            self._change(drafter=order.drafter)
        else:
            super()._own(order)

    def _check_pin(self, value: int) -> None:
        check_depth(value, self._info.k_max)

    def _prepare(self, snapshot: Snapshot) -> None:
        """Check a snapshot; its step times and prices are the latest there are."""
        if snapshot.meta.k_max != self._info.k_max:
            raise SnapshotError(
                f"snapshot {snapshot.meta.number} is for k_max {snapshot.meta.k_max}, "
                f"this engine runs {self._info.k_max}"
            )
        self._policies.use_structure(snapshot.structure)
