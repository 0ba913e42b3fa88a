from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from factories import World
from flyball import __version__
from flyball.controller.cli import main
from flyball.inference.models import corpus, family
from ports import free_ports
from profiles import profile
from running import ControllerUnderTest, Peer, until
from weights import write_weights
from wire_engine import WireEngine


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerUnderTest]:
    with ControllerUnderTest(tmp_path_factory.mktemp("here") / "run") as controller:
        yield controller


class Run:
    """The command line in this process: its exit code and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["flyball", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    def refused(self, *arguments: str) -> str:
        """What is said of a command that must be refused: one line, exit code 2."""
        code, _, err = self(*arguments)
        assert code == 2, err
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    controller: ControllerUnderTest,
) -> Run:
    monkeypatch.setenv("FLYBALL_URL", controller.url)
    return Run(capsys, monkeypatch)


def test_the_command_line_starts_without_the_heavy_packages() -> None:
    heavy = ("torch", "vllm", "stable_baselines3", "matplotlib", "numpy")
    code = f"import flyball.controller.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_every_command_says_what_it_does(run: Run) -> None:
    commands = ("serve", "demo", "knob", "reward", "reward use", "status", "mode", "pin")
    commands += ("drafter", "policy", "policy use", "profile", "evaluate", "warm")
    commands += ("controller", "keys", "models train", "models verify", "tensorboard", "bench")
    for command in commands:
        code, out, _ = run(*command.split(), "--help")
        assert code == 0
        assert "Example: flyball" in " ".join(out.split()), command


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version")[:2] == (0, f"flyball {__version__}\n")


def test_the_knob_is_followed_to_every_engine(run: Run, controller: ControllerUnderTest) -> None:
    with WireEngine(str(controller.address), "followed"):
        until(lambda: _live(controller, "followed"))
        code, out, _ = run("knob", "0.8")
        assert code == 0
        assert out.startswith("speed 0.8\n")
        assert "followed: in force after" in out
    assert run("knob")[1] == "speed 0.8\n"


def _live(controller: ControllerUnderTest, name: str) -> bool:
    return any(e["engine"] == name and e["live"] for e in controller.client.status()["engines"])


@pytest.mark.parametrize("speed", ["1.5", "-0.5", "nan", "fast", ""])
def test_a_bad_speed_is_refused_before_anything_is_asked(
    run: Run, speed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_URL", f"http://127.0.0.1:{free_ports(1)}")
    assert "[0, 1]" in run.refused("knob", speed)


def test_nobody_there_is_said_in_one_line(run: Run) -> None:
    url = f"http://127.0.0.1:{free_ports(1)}"
    for command in (("knob",), ("status", "--once"), ("reward",), ("mode", "a", "off")):
        assert "no controller answers" in run.refused(*command, "--url", url)


def test_a_reward_is_shown_swapped_and_refused(run: Run) -> None:
    assert run("reward", "use", "goodput")[1] == "goodput\n"
    assert "'goodput' stays in force" in run.refused("reward", "use", "nowhere:Nothing")
    assert run("reward")[1] == "goodput\n"
    nobody = ("--url", f"127.0.0.1:{free_ports(1)}")
    assert "no controller answers" in run.refused("reward", "use", "goodput", *nobody)
    listed = run("reward", "list")[1].split()
    assert {"latency-cost", "goodput", "cost-under-latency"} <= set(listed)
    assert run("reward", "use", "latency-cost")[0] == 0


def test_status_is_a_table_or_json(run: Run, controller: ControllerUnderTest) -> None:
    with Peer(controller.address, "tabled") as peer:
        peer.beat(speed=0.25, decisions=12345)
        peer.report(World().transitions(10))
        until(lambda: _live(controller, "tabled"))
        _, out, _ = run("status", "--once")
        assert "depth 3 (pin 9)" not in out
        peer.beat(decisions=12345, pin=9, ignored=2, last_ignored="flyball_class [/] was odd")
        until(lambda: controller.client.status()["engines"][-1]["pin"] == 9)
        _, out, _ = run("status", "--once")
        assert "depth 3 (pin 9)" in out
        assert "2 flyball_class [/]" in out
        assert "tabled" in out
        assert "12345" in out
        assert "accepted at" in out
    code, out, _ = run("status", "--json")
    assert code == 0
    assert any(e["engine"] == "tabled" for e in json.loads(out)["engines"])


def test_mode_and_pin_reach_the_engine(run: Run, controller: ControllerUnderTest) -> None:
    with Peer(controller.address, "ordered") as peer:
        peer.beat()
        until(lambda: _live(controller, "ordered"))
        assert run("mode", "ordered", "shadow")[0] == 0
        assert peer.order_on(b"mode/ordered").mode == "shadow"
        assert run("pin", "ordered", "3")[0] == 0
        assert peer.order_on(b"pin/ordered").depth == 3
        assert run("pin", "ordered", "--release")[0] == 0
        assert peer.order_on(b"pin/ordered").depth is None
        assert "DEPTH" in run.refused("pin", "ordered")
        assert run("drafter", "ordered", "--release")[0] == 0
        assert peer.order_on(b"drafter/ordered").drafter is None
        assert "there is no choice" in run.refused("drafter", "ordered", "ngram")
        assert "NAME" in run.refused("drafter", "ordered")
        assert "shadow" in run.refused("mode", "ordered", "turbo")
    assert "no engine 'nobody'" in run.refused("pin", "nobody", "1")


def test_a_policy_is_listed_shown_and_used(run: Run, controller: ControllerUnderTest) -> None:
    _, listed, _ = run("policy", "list")
    assert listed.startswith("learned: ")
    assert "\nucb: UCB1" in listed
    assert "    c [0.1]: a number" in listed
    with Peer(controller.address, "switched") as peer:
        peer.beat(policy="off")
        until(lambda: _live(controller, "switched"))
        assert "switched: off\n" in run("policy")[1]
        code, out, _ = run("policy", "use", "ucb?c=0.5", "--engine", "switched")
        assert (code, out) == (0, "switched: policy ucb?c=0.5\n")
        assert peer.order_on(b"policy/switched").policy == "ucb?c=0.5"
        assert "there are learned, off" in run.refused("policy", "use", "x", "--engine", "switched")
        says = run.refused("policy", "use", "fixed?depth=7", "--engine", "switched")
        assert "option depth='7' must be an integer in [0, 6]" in says
        assert "no engine 'nobody'" in run.refused("policy", "use", "off", "--engine", "nobody")
        assert "name a policy" in run.refused("policy", "use", "", "--engine", "switched")
        nobody = ("--url", f"127.0.0.1:{free_ports(1)}")
        assert "no controller answers" in run.refused("policy", "use", "off", *nobody)
        until(lambda: peer.beat() and _alone(controller, "switched"))
        assert run("policy", "use", "off")[1] == "switched: policy off\n"
        with Peer(controller.address, "second") as second:
            second.beat()
            peer.beat()
            until(lambda: _live(controller, "second"))
            assert "--engine; there are second, switched" in run.refused("policy", "use", "off")


def _alone(controller: ControllerUnderTest, name: str) -> bool:
    return [e["engine"] for e in controller.client.status()["engines"] if e["live"]] == [name]


def test_keys_are_made_once(run: Run, tmp_path: Path) -> None:
    assert run("keys", str(tmp_path / "keys"))[1].count(".key") == 4
    assert "exists" in run.refused("keys", str(tmp_path / "keys"))


def test_bad_options_of_the_controller_are_refused(run: Run, tmp_path: Path) -> None:
    for option, value, says in (
        ("--speed", "1.5", "[0, 1]"),
        ("--speed", "fast", "[0, 1]"),
        ("--reward", "nowhere:Nothing", "does not import"),
        ("--prices", "free", "compute, engine_time"),
        ("--learner-share", "0", "(0, 1]"),
        ("--address", "nowhere", "tcp://HOST:PORT"),
        ("--http", "nowhere", "HOST:PORT"),
        ("--log-level", "loud", "debug, info"),
        ("--keys", str(tmp_path), "flyball keys"),
        ("--nice", "20", "[0, 19]"),
    ):
        ports = free_ports(4)
        given = {"--address": f"tcp://127.0.0.1:{ports}", "--http": f"127.0.0.1:{ports + 3}"}
        given |= {"--run": str(tmp_path / "run"), option: value}
        assert says in run.refused("controller", *(word for pair in given.items() for word in pair))
    exposed = run.refused("controller", "--address", "tcp://0.0.0.0:29757")
    assert "CURVE keys" in exposed
    assert "a token" in exposed


def _model(folder: Path, size: int, tokens: dict[str, int]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"vocab_size": size}))
    tokenizer = {"model": {"type": "BPE", "vocab": tokens, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_weights(folder)
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, ...]:
    """Options that name two folders which pass as models."""
    target, draft = (_model(tmp_path / name, 2, {"a": 0, "b": 1}) for name in ("target", "draft"))
    return ("--model", str(target), "--draft", str(draft))


def test_models_that_cannot_be_served_are_refused(
    run: Run, tmp_path: Path, pair: tuple[str, ...]
) -> None:
    other = _model(tmp_path / "other", 3, {"a": 0, "b": 1, "c": 2})
    assert "no model folder" in run.refused("serve", "--model", "/no/where", *pair[2:])
    assert "vocabularies differ" in run.refused("serve", *pair[:2], "--draft", str(other))
    assert "both --model and --draft" in run.refused("serve", *pair[:2])
    (tmp_path / "draft" / "model.safetensors").unlink()
    assert "draft has no weights" in run.refused("serve", *pair)


@pytest.mark.parametrize("words", [("/my/model",), ("--k-max", "4", "/my/model", "--", "-tp", "2")])
def test_a_model_without_its_option_is_no_argument_to_vllm(run: Run, words: tuple) -> None:
    assert "unexpected '/my/model': name models with --model" in run.refused("serve", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "0.0.0.0"), "--host cannot be given to vLLM here: the API stays on 127.0.0.1"),
        (("--max-num-seqs", "4", "--host=0.0.0.0"), "--host cannot"),
        (("--hos", "0.0.0.0"), "--host cannot"),
        (("--port", "1"), "flyball's own --port"),
        (("--model", "x"), "flyball's own --model"),
        (("--scheduler_cls", "x"), "--scheduler-cls cannot"),
        (("--speculative-config.model", "x"), "flyball's own --draft"),
        (("-sc={}",), "flyball's own --draft"),
    ],
)
def test_what_flyball_tells_vllm_cannot_be_undone(
    run: Run, pair: tuple[str, ...], words: tuple[str, ...], says: str
) -> None:
    assert says in run.refused("serve", *pair, "--", *words)


def test_a_word_that_vllm_would_take_for_a_model_is_refused(run: Run, pair: tuple) -> None:
    assert "unexpected '/my/model' after --" in run.refused("serve", *pair, "--", "/my/model")


@pytest.mark.parametrize(
    ("variables", "options", "says"),
    [
        ({"FLYBALL_MODE": "auto"}, (), "FLYBALL_MODE=auto: a mode is one of"),
        ({"FLYBALL_SNAPSHOT": "/no/where"}, (), "cannot read snapshot /no/where"),
        ({}, ("--controller", "tcp://10.0.0.1:5757"), "is beyond loopback: give the engine"),
        ({"FLYBALL_KEYS": "/no/where"}, (), "cannot read the key /no/where/server.key"),
    ],
)
def test_a_governor_that_would_not_start_is_refused_before_its_engine_is_started(
    run: Run,
    pair: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    options: tuple[str, ...],
    says: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    first = free_ports(5)
    given = ["--port", str(first), "--address", f"tcp://127.0.0.1:{first + 1}"]
    given += ["--http", f"127.0.0.1:{first + 4}", "--run", str(tmp_path / "run")]
    assert says in run.refused("serve", *pair, *given, *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("port", ["0", "99999", "-1"])
def test_a_port_that_is_none_is_refused(run: Run, port: str) -> None:
    code, _, err = run("serve", "--port", port)
    assert code == 2
    assert "'--port'" in err
    assert "Traceback" not in err


def test_bad_options_of_serve_are_refused_and_nothing_is_started(
    run: Run, tmp_path: Path, pair: tuple[str, ...]
) -> None:
    first = free_ports(5)
    with socket.create_server(("127.0.0.1", first + 4)):
        for options, says in (
            (("--speed", "1.5"), "[0, 1]"),
            (("--k-max", "9"), "[1, 8]"),
            (("--static-depth", "7"), "--static-depth must be in [0, 6]"),
            (("--dtype", "int8"), "bfloat16, float16, float32"),
            (("--engine-cores", "9999"), "names processor 9999"),
            (("--engine-cores", "all"), "0-3"),
            (("--reward", "nowhere:Nothing"), "does not import"),
            (("--controller", "here"), "tcp://HOST:PORT"),
            (("--port", str(first + 4)), f"port in use: 127.0.0.1:{first + 4}"),
            (("--http", f"127.0.0.1:{first + 4}"), f"port in use: 127.0.0.1:{first + 4}"),
            (("--address", f"tcp://127.0.0.1:{first + 2}"), "wanted for orders"),
            (("--port", str(first)), "port in use"),  # the controller's own
        ):
            given = ["--port", str(first + 3), "--address", f"tcp://127.0.0.1:{first}"]
            given += ["--http", f"127.0.0.1:{free_ports(1)}", "--run", str(tmp_path / "run")]
            assert says in run.refused("serve", *pair, *given, *options)
    assert not (tmp_path / "run").exists()


def test_the_profile_of_another_engine_is_refused_before_anything_is_started(
    run: Run, tmp_path: Path, pair: tuple[str, ...]
) -> None:
    path = tmp_path / "profile.json"
    profile().save(path)
    given = (*pair, "--profile", str(path), "--dtype", "float32", "--run", str(tmp_path / "run"))
    said = run.refused("serve", *given)
    assert "dtype: the profile's 'bfloat16', this engine's 'float32'" in said
    assert "target_hash: " in said
    assert "give it to `flyball controller`" in run.refused(
        "serve", *given, "--controller", "tcp://127.0.0.1:5757"
    )
    path.write_bytes(path.read_bytes()[:-9])
    assert "damaged" in run.refused("serve", *given)
    assert "damaged" in run.refused("controller", "--profile", str(path))
    assert not (tmp_path / "run").exists()


def test_a_start_that_cannot_be_is_refused_before_anything_is_started(
    run: Run, tmp_path: Path, pair: tuple[str, ...]
) -> None:
    path, none = tmp_path / "profile.json", str(tmp_path / "none")
    profile().save(path)
    given = ("--profile", str(path))
    folder = str(tmp_path / "run")
    for command in (("serve", *pair), ("controller",)):
        start = (*command, "--start", none, "--run", folder)
        assert "--start needs --profile FILE" in run.refused(*start)
        assert "`flyball warm` makes one" in run.refused(*start, *given)
        assert "no warm start" in run.refused(*command, *given, "--start", str(path))
    assert "give it to `flyball controller`" in run.refused(
        "serve", *pair, "--start", none, "--controller", "tcp://127.0.0.1:5757"
    )
    assert not (tmp_path / "run").exists()
    assert "how large the drafter is" in run.refused("warm", *given, "--out", none)
    assert "no profile at" in run.refused("warm", "--profile", none)
    msgspec.structs.replace(profile(), parameter_ratio=0.05).save(path)
    assert "compute, engine_time" in run.refused("warm", *given, "--prices", "free")
    assert "episodes must be in" in run.refused("warm", *given, "--episodes", "0")
    assert "is a folder" in run.refused("warm", *given, "--out", str(tmp_path))
    assert "no profile at" in run.refused("bench", "depth", "--profile", none)
    bench = ("bench", "depth", "--engine", "vllm")
    assert "the simulator alone" in run.refused(*bench, "--policies", "warm")
    assert "the profile is of another engine" in run.refused(*bench, *given)


def test_a_profile_that_cannot_be_measured_is_refused_before_an_engine_is_started(
    run: Run, tmp_path: Path
) -> None:
    assert "[1, 8]" in run.refused("profile", "--k-max", "9")
    assert "--minutes" in run.refused("profile", "--minutes", "-1")
    assert "is a folder" in run.refused("profile", "--out", str(tmp_path))
    assert "bfloat16, float16, float32" in run.refused("profile", "--dtype", "int8")
    assert "no model folder" in run.refused("profile", "--target", str(tmp_path / "none"))


def test_hashes_of_the_embedded_models_are_checked_alone(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("models", "verify", "--hashes")
    assert code == 0
    assert "files are as they were shipped" in out
    assert "measuring" not in out
    shutil.copytree(family.WEIGHTS, tmp_path / "copy")
    (tmp_path / "copy" / "draft" / "config.json").write_text("{}")
    code, out, err = run("models", "verify", "--hashes", "--weights", str(tmp_path / "copy"))
    assert code == 2
    assert "draft/config.json" in out
    assert "not as it was shipped" in err


def test_a_device_that_is_none_is_refused_before_anything_is_trained(
    run: Run, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert "'nosuch'" in run.refused("models", "train", "--device", "nosuch", "--work", str(work))
    assert not work.exists()


def test_training_says_what_it_does_and_how_to_go_on_once_stopped(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> tuple[str, ...]:
        signal.raise_signal(signal.SIGINT)
        return ("def one(): return 1",)

    monkeypatch.setattr(corpus, "tokenizer_texts", interrupted)
    code, out, _ = run("models", "train", "--work", str(tmp_path), "--weights", str(tmp_path))
    assert code == 130
    assert "training the tokenizer" in out
    assert f"the same command goes on from what is in {tmp_path}" in out


def test_tensorboard_without_a_run_says_so(run: Run, tmp_path: Path) -> None:
    assert "no run in" in run.refused("tensorboard", "--root", str(tmp_path))
    assert "no folder" in run.refused("tensorboard", str(tmp_path / "none"))
    assert "is no run" in run.refused("tensorboard", str(tmp_path))


def test_tensorboard_ends_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.here.1.0").touch()
    port = free_ports(1)
    code = "from flyball.controller.cli import main; main()"
    words = ["tensorboard", str(tmp_path), "--port", str(port)]
    with subprocess.Popen([sys.executable, "-c", code, *words]) as process:
        until(lambda: _listens(port), 60)
        process.terminate()
        assert process.wait(30) == 0
    assert not _listens(port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_unknown_benchmark_is_refused_with_those_there_are(run: Run) -> None:
    assert "overhead, lossless" in run.refused("bench", "everything")


def test_options_that_a_benchmark_would_not_use_are_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for words, says in (
        (
            ("overhead", "--trace", "x"),
            "--trace is no option of `overhead` but of `depth` and `slo`",
        ),
        (("depth", "--rounds", "2"), "--rounds is for --engine vllm, not for simulator"),
        (("depth", "--engine", "vllm", "--seeds", "2"), "--seeds is for --engine simulator"),
        (("depth", "--engine", "vllm", "--trace", "x"), "--trace is for --engine simulator"),
        (("depth", "--engine", "vllm", "--seconds", "60"), "--seconds is for --engine simulator"),
        (("depth", "--plots", str(file)), "--plots must name a folder"),
        (("depth", "--trace", "/no/where.csv"), "No such file or directory: /no/where.csv"),
    ):
        assert says in run.refused("bench", *words)


def test_options_of_a_comparison_under_objectives_are_refused_before_it_starts(
    run: Run, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("Timestamp,Request tokens,Response tokens\n0,100,10\n1,50,5\n")
    slo = ("bench", "slo", "--trace", str(trace))
    live = (*slo, "--engine", "vllm")
    for words, says in (
        (("bench", "slo"), "name at least one file with --trace"),
        (("bench", "slo", "--trace", str(tmp_path / "none.csv")), "none.csv"),
        ((*slo, "--engine", "gpu"), "no engine 'gpu'; there are vllm, simulator"),
        ((*slo, "--loads", "high"), "--loads must be numbers with commas"),
        ((*slo, "--loads", "0.9,-1"), "loads must be in [0.05, 10]"),
        ((*slo, "--scales", "99"), "scales must be in [0.1, 10]"),
        ((*slo, "--ttft-ms", "0"), "--ttft-ms must be a number of milliseconds from 1 to"),
        ((*slo, "--tpot-ms", "30", "--scales", "0.8,1"), "--scales is of no use with --tpot-ms"),
        ((*slo, "--tpot-ms", "-3"), "--tpot-ms must be a number of milliseconds from 0.1 to"),
        ((*slo, "--seconds", "1"), "seconds must be in [30, 86400]"),
        ((*slo, "--rounds", "2"), "--rounds is for --engine vllm, not for simulator"),
        ((*slo, "--speeds", "1"), "--speeds is no option of `slo` but of `depth`"),
        ((*live, "--seeds", "2"), "--seeds is for --engine simulator, not for vllm"),
        ((*live, "--profile", "x"), "--profile is for --engine simulator, not for vllm"),
        ((*live, "--seconds", "1"), "seconds must be in [10, 86400]"),
    ):
        assert says in run.refused(*words)
    trace.write_text("a,b\n1,2\n")
    assert str(trace) in run.refused(*slo)


def test_a_benchmarks_file_is_tried_before_it_starts_and_never_left_empty(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "WEIGHTS", tmp_path / "none")  # so that it cannot start
    assert "--json must name a file" in run.refused("bench", "overhead", "--json", str(tmp_path))
    new, old = tmp_path / "results" / "new.json", tmp_path / "old.json"
    old.touch()
    for file in (new, old):
        assert "flyball models train" in run.refused("bench", "overhead", "--json", str(file))
    assert not new.exists()
    assert old.exists()


def test_options_of_a_live_comparison_are_refused_before_it_starts(
    run: Run, tmp_path: Path
) -> None:
    live = ("bench", "depth", "--engine", "vllm")
    assert "numbers with commas" in run.refused(*live, "--speeds", "fast")
    assert "speeds must be in [0, 1]" in run.refused(*live, "--speeds", "0.5,2")
    assert "no policy 'luck'" in run.refused(*live, "--policies", "ucb,luck")
    assert "only a live run" in run.refused(
        "bench", "depth", "--resume", str(tmp_path / "tally.json")
    )
    assert "missing.json" in run.refused(*live, "--resume", str(tmp_path / "missing.json"))
    broken = tmp_path / "tally.json"
    broken.write_text("{}")
    assert "is no record" in run.refused(*live, "--resume", str(broken))
    assert "--guard is no option of `overhead` but of `depth`" in run.refused(
        "bench", "overhead", "--guard"
    )
