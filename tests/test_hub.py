from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import zmq
from factories import World
from flyball.controller.hub import Hub, HubError
from flyball.controller.request import Mailbox, RefusedError
from flyball.inference.address import Address
from flyball.inference.reports import Report
from flyball.inference.wire import TOPIC_KNOB, Command, Knob, Pin, Reply, decode, encode
from ports import free_ports
from running import Peer, until


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub(Address("127.0.0.1", free_ports(3)))
    yield hub
    hub.close()


@pytest.fixture
def peer(hub: Hub) -> Iterator[Peer]:
    with Peer(hub.address) as peer:
        yield peer


@pytest.fixture
def dealer(hub: Hub) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(hub.address.commands)
    yield socket
    context.destroy(linger=0)


def messages(hub: Hub) -> list[Any]:
    return hub.poll(0.05).messages


def test_reports_and_beats_arrive_in_order(hub: Hub, peer: Peer) -> None:
    sent = [peer.beat(decisions=n) for n in range(3)]
    got: list[Any] = []
    until(lambda: got.extend(messages(hub)) or len(got) == 3)
    assert got == sent
    transitions = World().transitions(2)
    peer.report(transitions)
    assert until(lambda: messages(hub)) == [Report("engine-0", transitions)]


def test_what_is_no_message_is_dropped_and_counted_by_kind(hub: Hub, peer: Peer) -> None:
    peer.push.send(b"nonsense")
    peer.push.send(msgspec.msgpack.encode({"kind": "report", "schema": 99}))
    peer.push.send_multipart([b"two", b"frames"])
    peer.push.send(encode(Knob(0.5)))
    sent = peer.beat()
    assert until(lambda: messages(hub)) == [sent]
    assert hub.refused == {"malformed": 3, "schema": 1}
    assert "malformed" in hub.last_refusal


def test_a_late_joiner_gets_the_last_value_of_its_topics(hub: Hub) -> None:
    hub.order(TOPIC_KNOB, Knob(0.1))
    hub.order(TOPIC_KNOB, Knob(0.8))
    hub.order(b"pin/engine-0", Pin("engine-0", 7, 3))
    hub.order(b"pin/other", Pin("other", 8, 1))
    hub.publish(b"snapshot", b"weights")
    for _ in range(2):  # the second one is no less welcome
        with Peer(hub.address) as late:
            found: dict[bytes, Any] = {}
            while len(found) < 3:
                hub.poll(0.05)
                if late.orders.poll(10):
                    topic, order = late.order()
                    found[topic] = order
            assert found == {
                b"knob": Knob(0.8),
                b"pin/engine-0": Pin("engine-0", 7, 3),
                b"snapshot": b"weights",
            }


def test_commands_are_answered_to_who_asked(hub: Hub, dealer: zmq.Socket[bytes]) -> None:
    dealer.send(encode(Command(5, "status")))
    peer, command = until(lambda: hub.poll(0.05).commands)[0]
    assert command == Command(5, "status")
    assert hub.reply(peer, Reply(5, value={"speed": 0.5}))
    assert decode(dealer.recv(), Reply) == Reply(5, value={"speed": 0.5})


def test_a_req_socket_is_answered_too(hub: Hub) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.connect(hub.address.commands)
    socket.send(encode(Command(1, "knob")))
    peer, _ = until(lambda: hub.poll(0.05).commands)[0]
    hub.reply(peer, Reply(1, value=1))
    assert decode(socket.recv(), Reply).value == 1
    context.destroy(linger=0)


def test_a_command_that_is_none_is_answered_with_the_reason(
    hub: Hub, dealer: zmq.Socket[bytes]
) -> None:
    dealer.send(b"please")
    hub.poll(1.0)
    reply = decode(dealer.recv(), Reply)
    assert reply.error is not None
    assert "malformed" in reply.error


def test_a_client_that_is_gone_is_noticed(hub: Hub) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(hub.address.commands)
    socket.send(encode(Command(1, "step")))
    peer, _ = until(lambda: hub.poll(0.05).commands)[0]
    context.destroy(linger=0)
    until(lambda: not hub.reply(peer, Reply(1)))


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_port_in_use_is_named_and_nothing_stays_open(taken: int) -> None:
    address = Address("127.0.0.1", free_ports(3))
    context: zmq.Context[Any] = zmq.Context()
    other = context.socket(zmq.REP)
    other.bind(f"tcp://127.0.0.1:{address.port + taken}")
    try:
        with pytest.raises(HubError, match=f"port in use.*{address.port + taken}"):
            Hub(address)
    finally:
        context.destroy(linger=0)
    until(lambda: _opens(address))


def _opens(address: Address) -> bool:
    try:
        Hub(address).close()
    except HubError:
        return False
    return True


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(HubError, match="an address of this machine"):
        Hub(Address("192.0.2.1", free_ports(3)))


def test_localhost_can_be_listened_on() -> None:
    address = Address("localhost", free_ports(3))
    hub = Hub(address)
    with Peer(address) as peer:
        sent = peer.beat()
        assert until(lambda: messages(hub)) == [sent]
    hub.close()


def test_a_mailbox_ends_the_wait_and_carries_answers(hub: Hub) -> None:
    mailbox = Mailbox()
    hub.watch(mailbox)
    future = mailbox.send("knob", {"speed": 1.0})
    hub.poll(60.0)
    (request,) = mailbox.take()
    assert (request.name, request.arguments) == ("knob", {"speed": 1.0})
    request.answer({"speed": 1.0})
    assert future.result(1) == {"speed": 1.0}
    refused = mailbox.send("knob", {})
    mailbox.close()
    with pytest.raises(RefusedError, match="stopping"):
        refused.result(1)
