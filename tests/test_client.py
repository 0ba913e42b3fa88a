from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from factories import World
from flyball.inference.client import ControllerClient, ControllerError
from ports import free_ports
from running import ControllerUnderTest, Peer, until


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerUnderTest]:
    run = tmp_path_factory.mktemp("here") / "run"
    with ControllerUnderTest(run) as controller, Peer(controller.address) as peer:
        peer.beat()
        peer.report(World().transitions(40))
        until(lambda: controller.client.status()["snapshot"])
        yield controller


@pytest.fixture
def client(controller: ControllerUnderTest) -> Iterator[ControllerClient]:
    with ControllerClient(controller.url + "/") as client:
        yield client


def test_everything_can_be_asked_and_set(client: ControllerClient) -> None:
    assert client.set_knob(0.25) == client.knob() == 0.25
    assert client.set_reward("goodput") == client.reward() == "goodput"
    assert client.set_reward("latency-cost") == "latency-cost"
    assert client.set_mode("engine-0", "shadow") == "shadow"
    assert client.set_policy("engine-0", "goodput?bonus=1.2") == "goodput?bonus=1.2"
    assert client.set_policy("engine-0", "") == "learned"
    assert client.pin("engine-0", 3) < client.pin("engine-0", None)
    number = client.snapshots()[0]["number"]
    assert client.promote(number) == number
    assert client.checkpoint().endswith("run")
    assert client.status()["speed"] == 0.25


def test_a_refusal_carries_the_reason(client: ControllerClient) -> None:
    with pytest.raises(ControllerError, match="nobody") as refused:
        client.set_mode("nobody/else?", "shadow")
    assert refused.value.status == 404
    with pytest.raises(ControllerError, match=r"\[0, 1\]") as refused:
        client.set_knob(3)
    assert refused.value.status == 400


def test_nobody_there_is_said_clearly() -> None:
    with ControllerClient(f"http://127.0.0.1:{free_ports(1)}") as client:
        with pytest.raises(ControllerError, match="no controller answers"):
            client.knob()
        with pytest.raises(ControllerError, match="no controller was ready"):
            client.wait_ready(0.3)
    with ControllerClient("not a url") as client, pytest.raises(ControllerError):
        client.knob()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server of one answer to everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"\xff\xfe"])
def test_another_server_is_told_apart(body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    wrong = pytest.raises(ControllerError, match="is not a controller")
    with answering(head.encode() + body) as url, ControllerClient(url) as client, wrong:
        client.knob()


@pytest.mark.parametrize("body", [b'{"detail": "Not Found"}', b'{"error": {"code": 404}}'])
def test_an_engine_is_told_apart(body: bytes) -> None:
    head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    wrong = pytest.raises(ControllerError, match="is not a controller: it answers HTTP 404")
    with answering(head.encode() + body) as url, ControllerClient(url) as client, wrong:
        client.knob()


def test_an_address_as_the_controller_takes_it_is_understood(
    controller: ControllerUnderTest,
) -> None:
    with ControllerClient(controller.url.removeprefix("http://")) as client:
        assert client.knob() == controller.client.knob()


def test_the_token_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", "from-the-environment")
    for given, sent in ((None, "from-the-environment"), ("given", "given")):
        with ControllerClient(token=given) as client:
            assert client._http.headers["authorization"] == f"Bearer {sent}"
