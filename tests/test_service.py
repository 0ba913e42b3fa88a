from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from factories import State, World
from flyball.controller import service
from flyball.controller.duty import Duty
from flyball.controller.learner import Learner
from flyball.controller.runs import RunError, RunLock, new_run, newest_run
from flyball.controller.service import Service, ServiceOptions
from flyball.controller.settings import LearnerSettings
from flyball.envs.commands import Commands
from flyball.inference.reports import Mode
from flyball.inference.wire import Knob, SetMode
from flyball.policies.snapshot import Snapshot
from ports import free_ports
from running import ControllerUnderTest, Peer, until
from wire_engine import WireEngine


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerUnderTest]:
    with ControllerUnderTest(tmp_path_factory.mktemp("here") / "run") as controller:
        yield controller


def test_the_knob_reaches_an_engine(controller: ControllerUnderTest) -> None:
    with Peer(controller.address) as peer:
        peer.order_on(b"knob")
        controller.client.set_knob(0.8)
        assert peer.order_on(b"knob") == Knob(0.8)
    with Peer(controller.address) as late:
        assert late.order_on(b"knob") == Knob(0.8)


def test_status_shows_the_beat(controller: ControllerUnderTest) -> None:
    with Peer(controller.address, "shown") as peer:
        peer.beat(speed=0.75, decisions=7)
        (engine,) = until(lambda: _named(controller, "shown"))
    assert (engine["speed"], engine["decisions"], engine["live"]) == (0.75, 7, True)


def _named(controller: ControllerUnderTest, name: str) -> list[dict]:
    return [e for e in controller.client.status()["engines"] if e["engine"] == name]


def test_a_message_of_an_unknown_schema_is_counted(controller: ControllerUnderTest) -> None:
    with Peer(controller.address) as peer:
        peer.push.send(msgspec.msgpack.encode({"kind": "beat", "schema": 99}))
        refused = until(lambda: controller.client.status()["refused"])
    assert refused["schema"] == 1


def test_what_is_measured_becomes_a_snapshot_for_every_engine(
    controller: ControllerUnderTest,
) -> None:
    with Peer(controller.address, "learned") as peer:
        peer.beat()
        peer.report(World().transitions(100, [State(), State(batch=16, content="easy")]))
        snapshot = Snapshot.from_bytes(peer.order_on(b"snapshot", 20.0))
    assert snapshot.meta.k_max == 6
    with Peer(controller.address, "late") as late:
        again = Snapshot.from_bytes(late.order_on(b"snapshot"))
    assert again.meta.number >= snapshot.meta.number


def test_a_step_over_the_wire_is_answered(controller: ControllerUnderTest) -> None:
    commands = Commands(str(controller.address))
    with WireEngine(str(controller.address), "stepped"):
        until(lambda: _named(controller, "stepped"))
        for depth in (0, 5, 2):
            value = commands.call("step", {"engine": "stepped", "depth": depth}, 10.0)
            assert value["transition"][0][4] == depth
        commands.call("pin", {"engine": "stepped", "depth": None})
    commands.close()


def test_killed_in_the_middle_it_resumes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = ControllerUnderTest(run, "--speed", "0.2")
    with first as controller, Peer(controller.address) as peer:
        peer.beat()
        peer.report(World().transitions(80))
        until(lambda: controller.client.status()["snapshot"], 20)
        controller.client.set_knob(0.7)
        controller.client.set_mode("engine-0", "freeze")
        controller.client.set_reward("goodput")
        before = controller.client.status()
        controller.kill()
        with ControllerUnderTest(run, ports=controller.ports) as again:
            after = again.client.status()
            assert (after["speed"], after["reward"]) == (0.7, "goodput")
            assert after["snapshot"] >= before["snapshot"] > 0
            assert after["learner"]["transitions"] == 80
            # The engine's own sockets reconnect, and get what holds.
            assert peer.order_on(b"mode/engine-0", 10.0) == SetMode("engine-0", Mode.FREEZE)
            peer.beat(decisions=99)
            until(lambda: [e for e in again.client.status()["engines"] if e["live"]])


def test_it_ends_in_order_with_a_last_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with ControllerUnderTest(run) as controller, Peer(controller.address) as peer:
        peer.beat()
        peer.report(World().transitions(30))
        until(lambda: controller.client.status()["learner"]["transitions"] == 30)
        controller.process.send_signal(signal.SIGTERM)
        assert controller.process.wait(15) == 0
    assert "stopped" in controller.log.read_text()
    learner = Learner(LearnerSettings(), run)
    assert learner.summary()["transitions"] == 30
    learner.close()


def test_a_loop_that_stood_still_is_said_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_SLOW", 0.0)
    monkeypatch.setattr(logging.getLogger("flyball"), "propagate", True)
    with service._timed("learning"):
        time.sleep(0.2)
    assert "stood still for 0.2 s in learning (0.0 s of CPU): the machine is busy" in caplog.text


@pytest.mark.parametrize("which", [0, 3])
def test_a_port_in_use_ends_it_with_code_2_and_leaves_nothing(tmp_path: Path, which: int) -> None:
    first, run = free_ports(4), tmp_path / "run"
    command = [sys.executable, "-m", "flyball.controller", "--run", str(run)]
    command += ["--address", f"tcp://127.0.0.1:{first}", "--http", f"127.0.0.1:{first + 3}"]
    with socket.create_server(("127.0.0.1", first + which)):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert str(first + which) in ended.stderr
    assert "in use" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not run.exists()


def test_two_controllers_never_share_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lock = RunLock(run)
    first = free_ports(4)
    options = ServiceOptions(run, f"tcp://127.0.0.1:{first}", f"127.0.0.1:{first + 3}", nice=0)
    with pytest.raises(RunError, match="another controller"):
        Service(options)
    lock.release()
    for port in range(first, first + 4):  # nothing was left open
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_training_keeps_to_its_share() -> None:
    now = 0.0
    worked = 0.0
    duty = Duty(0.25, clock=lambda: now, effort=lambda: worked)
    while now < 100.0:
        now += duty.wait()
        with duty.work():
            now += 0.08  # other work had the core for a while
            worked += 0.05
    assert worked / now == pytest.approx(0.05 / 0.23, rel=0.02)


def test_what_people_wait_for_takes_most_of_a_core() -> None:
    now = worked = 0.0
    duty = Duty(0.25, clock=lambda: now, effort=lambda: worked)
    while now < 100.0:
        now += duty.wait()
        with duty.work(urgent=True):
            now += 0.05
            worked += 0.05
    assert worked / now == pytest.approx(0.75, rel=0.02)


def test_with_nothing_to_do_training_rests() -> None:
    duty = Duty(1.0, clock=lambda: 0.0, effort=lambda: 0.0)
    with duty.work():
        pass
    assert duty.wait() > 0.01


def test_the_newest_run_is_the_one_written_to_last(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        newest_run(tmp_path)
    for i, name in enumerate(("older", "newer", "empty")):
        (tmp_path / name).mkdir()
        if name != "empty":
            file = tmp_path / name / "events.out.tfevents.1"
            file.write_bytes(b"")
            os.utime(file, (1000 + i, 1000 + i))
    assert newest_run(tmp_path) == tmp_path / "newer"
    assert new_run("serve", 3, tmp_path).name.startswith("serve__3__")
