"""The engine's side of the wire, against real sockets on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import zmq
from flyball.inference.address import Address, parse_address
from flyball.inference.governor import Governor
from flyball.inference.link import QUEUE, Link
from flyball.inference.reports import Beat, EngineInfo, FromEngine, Mode, Report
from flyball.inference.wire import Knob, Pin, SetMode, UseDrafter, UsePolicy, decode, encode
from flyball.policies.prices import compute_prices
from flyball.policies.snapshot import analytic
from flyball.policies.spaces import DEPTH_SPACE
from flyball.policies.step_time import PRIOR
from flyball.policies.transition import Decision, Outcome, Reason, Transition
from ports import free_address

INFO = EngineInfo(
    engine="e",
    target="t",
    draft="d",
    k_max=4,
    static_depth=2,
    parameter_ratio=0.1,
    offered=("draft", "ngram", "none"),
)
VECTOR = DEPTH_SPACE.zeros().tobytes()
TRANSITION = Transition(
    Decision(1, 0.0, VECTOR, 2, 2, 1.0, 0, 0.5, Reason.STATIC),
    Outcome(0.1, 8, 0.1, 8, 12, 16, 24, 0, 80, 0, *((8,) * 2 + (0,) * 6,) * 2, (4,) + (0,) * 7),
    VECTOR,
)
REPORT = Report("e", [TRANSITION])


class Controller:
    """Sockets where a controller would have them."""

    def __init__(self, address: Address) -> None:
        self.context = zmq.Context()
        self.reports = self.context.socket(zmq.PULL)
        self.reports.bind(address.reports)
        self.broadcast = self.context.socket(zmq.XPUB)
        self.broadcast.bind(address.broadcast)

    def receive(self, kind: type) -> object:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if self.reports.poll(100):
                message = decode(self.reports.recv(), FromEngine)
                if isinstance(message, kind):
                    return message
        raise AssertionError(f"no {kind.__name__} came")

    def wait_for_subscriber(self) -> None:
        for _ in range(4):
            assert self.broadcast.poll(5000)
            self.broadcast.recv()

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def address() -> Address:
    return parse_address(free_address())


@pytest.fixture
def governor() -> Governor:
    return Governor(INFO, lambda _: True, None)


@pytest.fixture
def link(address: Address, governor: Governor) -> Iterator[Link]:
    link = Link(address, "e")
    link.start(governor.book, governor.beat)
    yield link
    link.close()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_orders_arrive(address: Address, governor: Governor, link: Link) -> None:
    controller = Controller(address)
    controller.wait_for_subscriber()
    snapshot = analytic(3, 4, compute_prices(0.1), PRIOR.astype(np.float32), 0.1)
    for topic, payload in (
        (b"knob", encode(Knob(0.9))),
        (b"mode/e", encode(SetMode("e", Mode.SHADOW))),
        (b"policy/e", encode(UsePolicy("e", "goodput"))),
        (b"drafter/e", encode(UseDrafter("e", "ngram"))),
        (b"pin/e", encode(Pin("e", 4, 1))),
        (b"snapshot", snapshot.to_bytes()),
    ):
        controller.broadcast.send_multipart([topic, payload])
    eventually(lambda: governor.book.orders.runner is not None)
    orders = governor.book.orders
    assert (orders.speed, orders.mode, orders.pin) == (0.9, Mode.SHADOW, Pin("e", 4, 1))
    assert (orders.policy_name, orders.drafter) == ("goodput", "ngram")
    assert orders.runner is not None
    assert orders.runner.snapshot.meta == snapshot.meta
    controller.close()


@pytest.mark.parametrize(
    "frames",
    [
        [b"knob", b"\xc1"],
        [b"knob", encode(Knob(0.5, schema=99))],
        [b"knob", encode(Knob(7.0))],
        [b"snapshot", b"nothing of the kind"],
        [b"knob"],
        [b"knob", b"a", b"b"],
    ],
)
def test_hostile_orders_are_refused_and_change_nothing(
    address: Address, governor: Governor, link: Link, frames: list[bytes]
) -> None:
    controller = Controller(address)
    controller.wait_for_subscriber()
    before = governor.book.orders
    controller.broadcast.send_multipart(frames)
    eventually(lambda: governor.book.refused == 1)
    assert governor.book.orders == before
    controller.broadcast.send_multipart([b"knob", encode(Knob(0.25))])
    eventually(lambda: governor.book.orders.speed == 0.25)
    controller.close()


def test_beats_and_reports_reach_a_controller_that_comes_late_and_returns(
    address: Address, link: Link
) -> None:
    assert link.send(REPORT)  # nobody is there yet: it is kept
    controller = Controller(address)
    assert isinstance(controller.receive(Beat), Beat)
    controller.close()
    again = Controller(address)
    beat = again.receive(Beat)
    assert isinstance(beat, Beat)
    assert beat.info == INFO.__class__(**{**_fields(INFO), "classes": beat.info.classes})
    again.close()


def test_a_full_queue_drops_and_never_blocks(address: Address, link: Link) -> None:
    sent = sum(link.send(REPORT) for _ in range(QUEUE + 500))
    assert QUEUE * 0.9 <= sent <= QUEUE + 10


def test_beyond_loopback_keys_are_demanded() -> None:
    with pytest.raises(ValueError, match="FLYBALL_KEYS"):
        Link(Address("192.0.2.1", 5757), "e")


def _fields(info: EngineInfo) -> dict[str, object]:
    return {name: getattr(info, name) for name in info.__struct_fields__}
