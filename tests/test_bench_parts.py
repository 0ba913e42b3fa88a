from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
import zmq
from flyball.benchmarks import overhead
from flyball.benchmarks.bench import run
from flyball.benchmarks.engines import free_ports, models
from flyball.benchmarks.listener import Listener
from flyball.benchmarks.snapshots import fixed_snapshot, random_snapshot
from flyball.benchmarks.stats import ratio_interval
from flyball.inference.address import Address
from flyball.inference.reports import FromEngine, Report
from flyball.inference.wire import TOPIC_KNOB, TOPIC_PIN, Knob, Pin, decode, encode
from flyball.policies.runner import Runner
from flyball.policies.snapshot import HIDDEN, Snapshot
from flyball.policies.spaces import DEPTH_SPACE
from wire_engine import WireEngine


def observations(n: int) -> np.ndarray:
    """Raw observations all over the space."""
    rng = np.random.default_rng(0)
    low = np.array([f.low for f in DEPTH_SPACE.fields])
    high = np.array([f.high for f in DEPTH_SPACE.fields])
    return rng.uniform(low, high, (n, DEPTH_SPACE.size)).astype(np.float32)


@pytest.mark.parametrize("depth", [0, 3, 6])
def test_a_fixed_snapshot_takes_its_depth_in_every_state_and_at_every_speed(depth: int) -> None:
    runner = Runner(Snapshot.from_bytes(fixed_snapshot(6, depth).to_bytes()))
    actions = {runner.act(raw.tolist(), Random(0))[0] for raw in observations(200)}
    assert actions == {depth}


def test_a_fixed_snapshot_costs_what_a_learned_one_costs() -> None:
    weights = fixed_snapshot(6, 2).weights
    assert [weights[f"layer{i}.weight"].shape[0] for i in range(3)] == [*HIDDEN, 7 * 3]


def test_a_random_snapshot_draws_every_depth() -> None:
    runner, rng = Runner(random_snapshot(6)), Random(0)
    raw = observations(1)[0].tolist()
    counts = np.bincount([runner.act(raw, rng)[0] for _ in range(1400)], minlength=7)
    assert counts.min() > 140


@pytest.fixture
def controller() -> Iterator[tuple[Address, zmq.Socket, zmq.Socket]]:
    """The sockets of a controller: where reports arrive, and from where orders go out."""
    address = Address("127.0.0.1", free_ports(3))
    context = zmq.Context()
    pull, pub = context.socket(zmq.PULL), context.socket(zmq.XPUB)
    pull.bind(address.reports)
    pub.bind(address.broadcast)
    yield address, pull, pub
    context.destroy(linger=0)


def test_a_listener_on_the_way_hears_everything_and_hands_it_on_both_ways(controller) -> None:
    onward, pull, pub = controller
    tap = Address("127.0.0.1", free_ports(2))
    with Listener(tap, onward) as listener, WireEngine(str(tap)) as engine:
        subscribed = set()
        while len(subscribed) < 2:  # the engine's own subscriptions arrive at the controller
            assert pub.poll(5000)
            subscribed.add(pub.recv())
        assert subscribed == {b"\x01" + TOPIC_KNOB, b"\x01" + TOPIC_PIN + b"peer"}
        pub.send_multipart([TOPIC_KNOB, encode(Knob(0.9))])
        pub.send_multipart([TOPIC_PIN + b"peer", encode(Pin("peer", 3, 6))])
        deadline = time.monotonic() + 5
        while (engine.pin, engine.speed) != (3, 0.9) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (engine.pin, engine.speed) == (3, 0.9)
        assert pull.poll(5000)
        while not (listener.transitions and listener.transitions[-1].decision.pin == 3):
            time.sleep(0.01)
            assert time.monotonic() < deadline
        assert listener.beat is not None
        assert listener.beat.info.engine == "peer"


def test_a_listener_withholds_what_is_not_to_teach(controller) -> None:
    onward, pull, _ = controller
    tap = Address("127.0.0.1", free_ports(2))
    listener = Listener(tap, onward)
    listener.teaches = lambda t: t.decision.number % 2 == 0
    told: list[int] = []
    with listener, WireEngine(str(tap)):
        deadline = time.monotonic() + 5
        while len(told) < 10 and time.monotonic() < deadline:
            assert pull.poll(5000)
            message = decode(pull.recv(), FromEngine)
            if isinstance(message, Report):
                told += [t.decision.number for t in message.transitions]
        heard = [t.decision.number for t in listener.transitions]
    assert len(told) >= 10
    assert all(number % 2 == 0 for number in told)
    assert any(number % 2 for number in heard)


def test_a_listener_drops_what_it_does_not_understand() -> None:
    address = Address("127.0.0.1", free_ports(2))
    context = zmq.Context()
    with Listener(address) as listener, WireEngine(str(address)):
        push = context.socket(zmq.PUSH)
        push.connect(address.reports)
        for data in (b"", b"\xff\xff", b"\x81\xa6schema\x63"):
            push.send(data)
        deadline = time.monotonic() + 5
        while len(listener.transitions) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(listener.transitions) >= 20
    context.destroy(linger=0)


def test_a_listener_alone_pins_an_engine() -> None:
    address = Address("127.0.0.1", free_ports(2))
    with Listener(address) as listener, WireEngine(str(address)):
        pin = listener.pin("peer", 2)
        deadline = time.monotonic() + 5
        while not (listener.transitions and listener.transitions[-1].decision.pin == pin.number):
            listener.publish(pin)
            time.sleep(0.05)
            assert time.monotonic() < deadline
        assert listener.transitions[-1].decision.applied == 2
        assert listener.pin("peer", 3).number > pin.number


def test_a_listener_with_a_controller_behind_it_leaves_orders_to_it(
    controller: tuple[Address, zmq.Socket, zmq.Socket],
) -> None:
    tap = Address("127.0.0.1", free_ports(3))
    with (
        Listener(tap, controller[0]) as listener,
        pytest.raises(ValueError, match="gives none"),
    ):
        listener.publish(listener.pin("peer", 2))


def test_free_ports_are_free_and_side_by_side() -> None:
    first = free_ports(4)
    for port in range(first, first + 4):
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))


def test_models_that_are_not_there_are_named(tmp_path) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        models(tmp_path / "no-target", tmp_path / "no-draft")


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(ValueError, match="there are overhead, lossless"):
        run("speed")


def test_a_program_that_is_told_to_end_stops_its_engines_first(tmp_path) -> None:
    script = """
import subprocess, sys, time
from contextlib import ExitStack
from flyball.benchmarks.engines import ended_by_signals
with ended_by_signals(), ExitStack() as stack:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stack.callback(child.wait)
    stack.callback(child.kill)
    print(child.pid, flush=True)
    time.sleep(60)
"""
    program = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(program.stdout.readline())
    program.terminate()
    assert program.wait(timeout=30) == 143
    assert not Path(f"/proc/{child}").exists()


def test_overhead_is_free_of_the_order_in_which_a_pair_was_measured():
    """Each is slower when it is second: that is nobody's overhead."""
    pairs = [(0.95 * 100.0, 100.0), (100.0, 0.95 * 100.0)] * 5
    figures = ratio_interval([overhead._rounds(pairs)])
    assert figures.value == pytest.approx(1.0)
    assert figures.high - figures.low < 1e-9
