from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import zmq
import zmq.auth
from factories import beat, engine_info
from flyball.controller.http import HttpServer
from flyball.controller.hub import Hub
from flyball.controller.request import Mailbox
from flyball.controller.security import (
    ServerKeys,
    check_exposure,
    load_token,
    make_keys,
    token_matches,
)
from flyball.inference.address import Address
from flyball.inference.client import ControllerClient, ControllerError
from flyball.inference.curve import secure_client
from flyball.inference.wire import Knob, encode
from ports import free_ports
from running import until

TOKEN = "a-token-of-some-length"
HERE, BEYOND = Address("127.0.0.1", 5757), Address("0.0.0.0", 8757)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys") / "made"
    make_keys(directory)
    return directory


@pytest.fixture
def hub(keys: Path) -> Iterator[Hub]:
    hub = Hub(Address("127.0.0.1", free_ports(3)), ServerKeys.load(keys))
    yield hub
    hub.close()


def test_keys_are_for_their_owner_alone(keys: Path) -> None:
    files = sorted(keys.iterdir())
    assert [f.name for f in files] == [
        "engine.key",
        "engine.key_secret",
        "server.key",
        "server.key_secret",
    ]
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


def test_keys_are_never_overwritten(keys: Path) -> None:
    before = (keys / "server.key_secret").read_bytes()
    with pytest.raises(ValueError, match="exists"):
        make_keys(keys)
    assert (keys / "server.key_secret").read_bytes() == before


def test_an_engine_with_keys_is_heard_and_hears(hub: Hub, keys: Path) -> None:
    context: zmq.Context = zmq.Context()
    push, sub = context.socket(zmq.PUSH), context.socket(zmq.SUB)
    for socket in (push, sub):
        secure_client(socket, keys)
    sub.subscribe(b"knob")
    push.connect(hub.address.reports)
    sub.connect(hub.address.broadcast)
    hub.order(b"knob", Knob(0.8))
    push.send(encode(beat(engine_info())))
    assert until(lambda: hub.poll(0.05).messages) == [beat(engine_info())]
    until(lambda: hub.poll(0.02) and sub.poll(20))
    context.destroy(linger=0)


def test_without_the_right_keys_nothing_arrives(hub: Hub, keys: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    make_keys(stranger)
    (stranger / "server.key").write_bytes((keys / "server.key").read_bytes())
    context: zmq.Context = zmq.Context()
    for directory in (None, stranger):
        socket = context.socket(zmq.PUSH)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        secure_client(socket, directory)
        socket.connect(hub.address.reports)
        # The handshake never ends well, so there is nobody to send to.
        assert not socket.poll(400, zmq.POLLOUT)
    assert hub.poll(0.05).messages == []
    context.destroy(linger=0)


def test_missing_keys_are_named(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(ValueError, match=r"server\.key_secret"):
        ServerKeys.load(tmp_path)
    context: zmq.Context = zmq.Context()
    with pytest.raises(ValueError, match="flyball keys"):
        secure_client(context.socket(zmq.PUSH), tmp_path)
    context.destroy(linger=0)
    for name in ("server.key", "server.key_secret"):
        (tmp_path / name).write_bytes((keys / name).read_bytes())
    with pytest.raises(ValueError, match=r"engine\.key"):
        ServerKeys.load(tmp_path)


@pytest.mark.parametrize(("wire", "http"), [(BEYOND, HERE), (HERE, BEYOND), (BEYOND, BEYOND)])
def test_beyond_loopback_needs_keys_and_a_token(wire: Address, http: Address) -> None:
    for keys, token in ((None, None), (object(), None), (None, TOKEN)):
        with pytest.raises(ValueError, match="can be reached from other machines"):
            check_exposure(wire, http, keys, token)
    check_exposure(wire, http, object(), TOKEN)


def test_on_loopback_nothing_is_needed() -> None:
    check_exposure(HERE, HERE, None, None)


def test_a_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert load_token(None) is None
    monkeypatch.setenv("FLYBALL_TOKEN", TOKEN)
    assert load_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text(TOKEN + "-2\n")
    assert load_token(file) == TOKEN + "-2"


@pytest.mark.parametrize("weak", ["", "short", "with a space in the middle", "ünterwegs-zuhause"])
def test_a_weak_token_is_refused(tmp_path: Path, weak: str) -> None:
    file = tmp_path / "token"
    file.write_text(weak, "utf-8")
    with pytest.raises(ValueError, match="16 or more printable"):
        load_token(file)


def test_a_token_matches_only_itself() -> None:
    assert token_matches(f"Bearer {TOKEN}", TOKEN)
    for header in (None, "", TOKEN, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \udcff"):
        assert not token_matches(header, TOKEN)


def test_http_wants_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    mailbox = Mailbox()
    port = free_ports(1)
    server = HttpServer(Address("127.0.0.1", port), mailbox, TOKEN)
    server.start()
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: _answers(f"{url}/healthz"))
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = httpx.put(f"{url}/v1/knob", json={"speed": 1}, headers=headers)
            assert answer.status_code == 401
            assert "Bearer" in answer.json()["error"]
        with ControllerClient(url) as client, pytest.raises(ControllerError, match="FLYBALL_TOKEN"):
            client.knob()
        assert mailbox.take() == []
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}/v1/nowhere", headers=right).status_code == 404
    finally:
        server.close()
        mailbox.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
