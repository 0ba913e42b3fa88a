"""The command line that a vLLM server is started with."""

from __future__ import annotations

from pathlib import Path

import pytest
from flyball.inference.vllm.engine_log import cause
from flyball.inference.vllm.proposer import PROPOSER
from flyball.inference.vllm.server import EngineProcess


def process(**options: object) -> EngineProcess:
    return EngineProcess(Path("target"), Path("draft"), 8000, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("found", [True, False])
def test_without_a_compiler_nothing_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: bool
) -> None:
    compiler = tmp_path / "g++"
    if found:
        compiler.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert ("--enforce-eager" in process().command()) is not found


def test_further_arguments_come_last_and_win() -> None:
    assert process(extra=["--dtype", "float32"]).command()[-2:] == ["--dtype", "float32"]


def test_what_is_governed_is_told_to_vllm() -> None:
    command = " ".join(process().command())
    assert "--scheduler-cls flyball.inference.vllm.GovernedAsyncScheduler" in command
    assert '"num_speculative_tokens": 6' in command
    assert "--middleware flyball.inference.vllm.SloMiddleware" in command
    for plain in (process(scheduler=None).command(), EngineProcess("t", None, 8000).command()):
        assert not {"--scheduler-cls", "--middleware"} & {*plain}


def test_drafters_are_offered_by_a_worker_with_or_without_a_draft_model() -> None:
    offering = process(drafters=("draft", "ngram"))
    command = " ".join(offering.command())
    assert "--worker-cls flyball.inference.vllm.DraftingWorker" in command
    assert '"method": "draft_model"' in command
    assert offering.environment()["FLYBALL_DRAFTERS"] == "draft,ngram"
    assert "--worker-cls" not in process().command()
    assert "FLYBALL_DRAFTERS" not in process().environment()
    without = " ".join(EngineProcess("t", None, 8000, drafters=("ngram",)).command())
    assert f'"model": "{PROPOSER}"' in without
    assert "--scheduler-cls" in without


def test_the_governor_is_told_by_the_environment() -> None:
    told = process(controller="tcp://127.0.0.1:1", static_depth=0, env={"FLYBALL_MODE": "freeze"})
    environment = told.environment()
    assert environment["FLYBALL_CONTROLLER"] == "tcp://127.0.0.1:1"
    assert environment["FLYBALL_STATIC_DEPTH"] == "0"
    assert environment["FLYBALL_MODE"] == "freeze"
    told = process(slo_classes=Path("classes.toml"))
    assert told.environment()["FLYBALL_SLO_CLASSES"] == "classes.toml"
    assert "FLYBALL_SLO_CLASSES" not in process().environment()
    assert "FLYBALL_STATIC_DEPTH" not in process().environment()


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "usage: api_server.py [--log-level {ERROR,INFO}]\nx.py: error: argument --a",
            "x.py: error: argument --a",
        ),
        (
            "(A pid=1) ERROR 01-02 03:04:05 [a.py:1] It died.\nINFO it went on",
            "It died.",
        ),
        ("RuntimeError: one\nfoo.BarError: two", "RuntimeError: one"),
        ("(APIServer pid=1) pkg.ValidationError: 1 error", "pkg.ValidationError: 1 error"),
        ("INFO all is well", ""),
        ("", ""),
    ],
)
def test_the_line_that_says_why_is_found(log: str, reason: str) -> None:
    assert cause(log) == reason
