from __future__ import annotations

import dataclasses
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from flyball.controller.cli.serve import _serve
from flyball.controller.serving import ServeOptions, check
from flyball.controller.supervise import ControllerProcess, check_ports
from flyball.controller.vllm_options import check_extra, find_cores, parse_cores
from flyball.inference.client import ControllerClient
from flyball.inference.models.family import MIDDLE, path
from flyball.inference.vllm.server import EngineError, EngineProcess
from ports import free_ports
from running import until
from weights import write_weights

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class SmallEngine(EngineProcess):
    """A child that is started, awaited and stopped as an engine is, and serves nothing."""

    program: str = SERVER

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program, str(self.port)]


def _children(run: Path, program: str = SERVER) -> tuple[SmallEngine, ControllerProcess]:
    run.mkdir()
    first = free_ports(5)
    arguments = ["--run", str(run), "--address", f"tcp://127.0.0.1:{first}"]
    arguments += ["--http", f"127.0.0.1:{first + 3}"]
    url = f"http://127.0.0.1:{first + 3}"
    controller = ControllerProcess(arguments, ["--speed", "0.2"], url, run / "controller.log")
    engine = SmallEngine("t", "d", first + 4, log=run / "engine.log", program=program)
    return engine, controller


def test_a_dead_controller_is_started_again_while_serving_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine, controller = _children(tmp_path / "run")
    told: dict[str, float] = {}

    def operator() -> None:
        try:
            with ControllerClient(controller.url) as client:
                until(lambda: engine.pid, 60)
                told["first"] = client.knob()
                client.set_knob(0.9)
                os.kill(controller.pid, signal.SIGKILL)
                until(lambda: controller.restarts, 60)
                client.wait_ready(60)
                told["again"] = client.knob()
                told["engine"] = engine.poll() is None
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=operator)
    thread.start()
    assert _serve(engine, controller) == 0
    thread.join()
    # The speed of the command line was for the first start alone.
    assert told == {"first": 0.2, "again": 0.9, "engine": True}
    assert engine.poll() is not None
    assert not _exists(controller.pid)
    assert "serving goes on" in capfd.readouterr().err


def _exists(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


def test_serving_ends_with_the_engines_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine, _ = _children(
        tmp_path / "run", "import threading, os\nthreading.Timer(1, os._exit, [7]).start()" + SERVER
    )
    assert _serve(engine, None) == 7
    said = capfd.readouterr().out
    assert "/v1, model t, governed" in said
    assert f"engine: ended with code 7; its output is in {engine.log}" in said


def test_restarts_come_later_after_every_death(tmp_path: Path) -> None:
    controller = ControllerProcess(["--nonsense"], [], "http://127.0.0.1:9", tmp_path / "log")
    controller.start()
    controller.restarts = 20
    until(lambda: controller._process.poll() is not None)
    controller.tend()
    assert controller.restarts == 20  # not before its time
    controller._started = time.monotonic() - 3600
    controller.tend()
    assert controller.restarts == 21
    controller.stop()


def test_ports_in_use_or_named_twice_are_refused() -> None:
    first = free_ports(2)
    check_ports([("one", "127.0.0.1", first), ("two", "127.0.0.1", first + 1)])
    with pytest.raises(ValueError, match=f"127.0.0.1:{first}, wanted for two"):
        check_ports([("one", "127.0.0.1", first), ("two", "127.0.0.1", first)])
    taken = socket.create_server(("127.0.0.1", first))
    with taken, pytest.raises(ValueError, match=f"port in use: 127.0.0.1:{first}"):
        check_ports([("one", "127.0.0.1", first)])


@pytest.mark.parametrize(("text", "cores"), [("0-3", {0, 1, 2, 3}), ("0,2", {0, 2}), ("5", {5})])
def test_cores_are_read(text: str, cores: set[int]) -> None:
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "0-", "0-99999999"])
def test_cores_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="0-3 or 0,2"):
        parse_cores(text)


def test_cores_must_be_there() -> None:
    there = sorted(os.sched_getaffinity(0))
    assert find_cores(",".join(map(str, there))) == set(there)
    assert find_cores(None) is None
    with pytest.raises(ValueError, match=f"processor {there[-1] + 1}, which"):
        find_cores(f"{there[0]},{there[-1] + 1}")


def test_what_is_vllms_own_passes() -> None:
    check_extra(("--max-num-seqs", "4", "--model-impl=vllm", "-tp", "2", "--seed", "-1", "--", "-"))


def test_an_engine_that_starts_slowly_is_spoken_of(tmp_path: Path) -> None:
    engine, _ = _children(tmp_path / "run", "import time\ntime.sleep(1)" + SERVER)
    words: list[float] = []
    with engine:
        engine.wait_ready(60.0, waiting=words.append, every=0.0)
        assert words == sorted(words)
        assert len(words) >= 2


def test_an_engine_that_fails_says_why_and_where_its_log_is(tmp_path: Path) -> None:
    said = "(Worker pid=7) ERROR 11-21 15:45:43 [executor.py:953] "
    program = (
        f"print('''{said}It failed\\n{said}RuntimeError: no weights''')\nraise ValueError('late')"
    )
    engine, _ = _children(tmp_path / "run", program)
    engine.log.write_text(f"{said}KeyError: of the start before\n")
    with engine, pytest.raises(EngineError) as failed:
        engine.wait_ready(60.0)
    first, second, *_, last = str(failed.value).splitlines()
    assert first == "the engine ended with code 1 at its start: RuntimeError: no weights"
    assert str(engine.log) in second
    assert last == "ValueError: late"
    assert "start before" not in str(failed.value)


def _elsewhere(tmp_path: Path) -> ServeOptions:
    """Options for small models and a controller that is not started."""
    for name in ("target", "draft"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"vocab_size": 1}')
        (tmp_path / name / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
        write_weights(tmp_path / name)
    return ServeOptions(
        model=tmp_path / "target",
        draft=tmp_path / "draft",
        k_max=4,
        static_depth=2,
        dtype="float32",
        port=free_ports(1),
        engine="mine",
        engine_cores=str(min(os.sched_getaffinity(0))),
        controller="tcp://127.0.0.1:5757",
        address="tcp://127.0.0.1:1",
        http="127.0.0.1:1",
        run=tmp_path / "run",
        reward=None,
        speed=None,
        prices="compute",
        profile=None,
        start=None,
        seed=0,
        learner_share=0.25,
        keys=None,
        token_file=None,
        extra=("--max-num-seqs", "4"),
    )


def test_a_controller_that_runs_elsewhere_is_used(tmp_path: Path) -> None:
    options = _elsewhere(tmp_path)
    classes = tmp_path / "classes.toml"
    classes.write_text("[chat]\ntpot_ms = 0\n")
    with pytest.raises(
        ValueError, match=f"--slo-classes: {classes}: SLO class 'chat': tpot_ms must"
    ):
        check(dataclasses.replace(options, slo_classes=classes))
    classes.write_text("[chat]\ntpot_ms = 50\n")
    engine, controller = check(dataclasses.replace(options, slo_classes=classes))
    assert controller is None
    assert engine.environment()["FLYBALL_SLO_CLASSES"] == str(classes)
    assert engine.environment()["FLYBALL_CONTROLLER"] == "tcp://127.0.0.1:5757"
    assert engine.environment()["FLYBALL_STATIC_DEPTH"] == "2"
    assert engine.command()[-2:] == ["--max-num-seqs", "4"]
    engine, _ = check(dataclasses.replace(options, run=tmp_path / "b", drafters="draft,ngram"))
    assert engine.environment()["FLYBALL_DRAFTERS"] == "draft,ngram"
    with pytest.raises(ValueError, match="--drafters: no drafter is called 'n'"):
        check(dataclasses.replace(options, drafters="n"))
    with pytest.raises(ValueError, match="--worker-cls=x cannot be given"):
        check(dataclasses.replace(options, drafters="ngram", extra=("--worker-cls=x",)))


def test_options_of_drafters_are_checked_and_handed_on(tmp_path: Path) -> None:
    options = _elsewhere(tmp_path)
    with pytest.raises(ValueError, match="--suffix-store is for --drafters with suffix"):
        check(dataclasses.replace(options, suffix_store=tmp_path))
    both = dataclasses.replace(options, drafters="suffix,chain")
    with pytest.raises(ValueError, match=r"--chain .*: there is no model folder"):
        check(dataclasses.replace(both, chain=str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match="the vocabularies differ"):
        check(dataclasses.replace(both, chain=str(path(MIDDLE))))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--suffix-store .*: must be a folder"):
        check(dataclasses.replace(both, suffix_store=tmp_path / "file"))
    models = str(tmp_path / "draft")
    engine, _ = check(dataclasses.replace(both, suffix_store=tmp_path, chain=models))
    assert engine.environment()["FLYBALL_SUFFIX_STORE"] == str(tmp_path.resolve())
    assert engine.environment()["FLYBALL_CHAIN"] == models
