"""``flyball evaluate`` on runs of a learner."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import State, World
from flyball.controller.cli import main
from flyball.controller.run_log import RunLog, assess
from flyball.policies.snapshot import analytic
from learners import feed, train

STATES = (State(1, "easy"), State(8, "mixed"), State(16, "hard"))
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process: exit code, standard output and error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flyball", "evaluate", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def run(make_learner) -> Path:
    """The folder of a run with two snapshots."""
    learner, world = make_learner(), World()
    for _ in range(2):
        feed(learner, world, 300, STATES)
        train(learner, learner.updates + 20)
        assert learner.publish() is not None
    learner.checkpoint()
    return learner.run


def refused(answer: tuple[int, str, str]) -> str:
    code, _, error = answer
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def everything(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("*") if f.is_file()}


def test_snapshots_are_shown_beside_what_decided(command: Command, run: Path, tmp_path) -> None:
    before, file = everything(run), tmp_path / "evaluation.json"
    code, out, _ = command(1, "current", "--run", run, "--speed", 0.8, "--json", file)
    assert code == 0
    assert "600 decisions, latency-cost at speed 0.8" in out
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["logged", "1", "current"]
    found = json.loads(file.read_text())
    assert (found["speed"], found["decisions"], found["reward"]) == (0.8, 600, "latency-cost")
    logged, first, _ = found["snapshots"]
    assert logged["ips"] is None
    for name in ("ips", "snips", "dr"):
        assert first[name]["low"] < first[name]["value"] < first[name]["high"]
        assert f"{first[name]['value']:.3f}" in out
    # What decided drew depths at random; what was learned from that is better.
    assert first["dr"]["low"] > logged["dr"]["high"]
    assert everything(run) == before


def test_a_file_will_do_and_the_newest_decisions_alone(command: Command, run: Path) -> None:
    file = next((run / "snapshots").glob("*2.safetensors"))
    code, out, _ = command(file, "--run", run, "--last", 200)
    assert code == 0
    assert "200 decisions, latency-cost at the speed of each decision" in " ".join(out.split())
    log = RunLog.read(run)
    assert assess(log, [str(file)], last=200)[1].dr == assess(log, ["2"], last=200)[1].dr


def test_a_damaged_checkpoint_gives_way_to_the_one_before(command: Command, run: Path) -> None:
    (run / "checkpoint").rename(run / "checkpoint.previous")
    (run / "checkpoint").mkdir()
    (run / "checkpoint" / "state.json").write_text("{")
    assert command("--run", run)[0] == 0
    (run / "checkpoint.previous" / "state.json").write_text("{")
    assert "truncated" in refused(command("--run", run))
    assert (run / "checkpoint").exists()


def test_what_cannot_be_evaluated_is_refused(command: Command, run: Path, tmp_path: Path) -> None:
    assert "are 1, 2" in refused(command(7, "--run", run))
    assert "cannot read snapshot" in refused(command("seven", "--run", run))
    assert "holds no run" in refused(command("--run", tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    assert "[0, 1]" in refused(command("--run", run, "--speed", 1.5))
    assert "must name a file" in refused(command("--run", run, "--json", tmp_path))
    other = tmp_path / "other.safetensors"
    analytic(1, 4, World().prices, [0.01] * 7, 0.1).save(other)
    assert "depths up to 4" in refused(command(other, "--run", run))
    assert "at least 16 must" in refused(command("--run", run, "--last", 10))


def test_a_run_without_decisions_is_refused(command: Command, make_learner) -> None:
    learner = make_learner()
    learner.checkpoint()
    assert "nothing was learned from" in refused(command("--run", learner.run))
