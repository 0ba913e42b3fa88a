"""The live comparison with a controller, a wire and clients of its own, and an engine that is none.

It emits 1 + k / 2 tokens per step at depth k, and reports without being asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import live_runs
import msgspec
import numpy as np
import pytest
from factories import State, World
from flyball.benchmarks.arms import Phase
from flyball.benchmarks.depth.live import (
    LiveOptions,
    LiveRun,
    cold_arms,
    in_phase,
    learns,
)
from flyball.benchmarks.depth.options import DepthOptions
from flyball.benchmarks.depth.record import Record, load_record
from flyball.benchmarks.depth.run import run
from flyball.benchmarks.depth.sitting import live_arms, live_options, setup_of, sit
from flyball.benchmarks.depth.tally import Arm
from flyball.benchmarks.engines import models
from flyball.benchmarks.listener import Listener
from flyball.benchmarks.session import ENGINE, Session
from flyball.inference.address import Address
from flyball.inference.vllm.server import EngineError, EngineProcess
from flyball.policies.spaces import DEPTH_SPACE
from openai_api import Api
from ports import free_ports
from running import ControllerUnderTest, until
from wire_engine import WireEngine

PHASES = (Phase(4, "code"), Phase(4, "tool_calls"))
OPTIONS = LiveOptions(rounds=2, slice_seconds=0.15, cold_seconds=0.3, max_tokens=8)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Session]:
    """What a session has, around the engine that is none."""
    api = Api().start()
    tap = Address("127.0.0.1", free_ports(2))
    with (
        ControllerUnderTest(tmp_path / "run") as controller,
        Listener(tap, controller.address) as listener,
        WireEngine(str(tap), ENGINE, seconds=0.03),
    ):
        until(lambda: controller.client.status()["engines"])
        engine = EngineProcess("target", "draft", int(api.url.rsplit(":", 1)[1]))
        yield Session(engine, controller.client, listener, controller.url, tmp_path)
    api.stop()


def empty() -> Record:
    return Record(live_runs.setup(phases=[phase.name for phase in PHASES]), 0)


def test_a_run_is_kept_visit_by_visit_and_gone_on_with(running: Session, tmp_path: Path) -> None:
    path, record = tmp_path / "tally.json", empty()

    def say(text: str) -> None:
        if text.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LiveRun(running, record, OPTIONS, say, lambda: record.save(path), PHASES).run()
    again = load_record(path)
    assert again == record
    assert [visit.cold for visit in again.visits] == [True, True, False, False]
    assert again.left(0) == []
    LiveRun(running, again, OPTIONS, lambda _: None, lambda: again.save(path), PHASES).run()
    assert again.left(1) == []
    assert (again.sittings, again.failed) == (2, 0)
    assert again.requests > 0
    tally = again.tally()
    assert len(tally.units) == 4
    # The engine's tokens per second at each depth: what pins and policies did was in force.
    off, deep = tally.of(Arm("off")), tally.of(Arm("fixed?depth=3"))
    expected = (0.012 + 0.003) / 2.5 / 0.012
    assert deep[:, 0] / deep[:, 1] / (off[:, 0] / off[:, 1]) == pytest.approx(expected)
    # Ours is told of its own turns alone, which are less than half of the time.
    heard = len(running.listener.transitions)
    taught = running.client.status()["learner"]["transitions"]
    assert 0 < taught < heard / 2


def test_who_takes_turns_in_a_cold_start() -> None:
    arms = live_arms(DepthOptions(engine="vllm", policies=("table", "goodput", "ucb")))
    found = cold_arms(arms, 6)
    assert [arm.name for arm in found] == [
        "learned at 1",
        "fixed?depth=1",
        "goodput at 1",
        "ucb at 1",
    ]
    assert not learns("adaspec", 6)


def test_fewer_arms() -> None:
    few = DepthOptions(engine="vllm", policies=("fixed?depth=2", "ucb"), speeds=(1.0, 0.5))
    names = ["off", "fixed?depth=2", "ucb at 1", "learned at 0.5", "learned at 1"]
    assert [arm.name for arm in live_arms(few)] == names
    assert len(live_arms(DepthOptions(engine="vllm"))) == 7 + 7 + 3


def test_only_batches_of_the_phase_count() -> None:
    transition = World().transition(State(), 2)

    def at(batch: int) -> bool:
        raw = transition.decision.vector().copy()
        raw[DEPTH_SPACE.index("batch")] = batch
        decision = msgspec.structs.replace(transition.decision, observation=raw.tobytes())
        full = in_phase(lambda _: True, 4)
        return full(msgspec.structs.replace(transition, decision=decision))

    assert [at(batch) for batch in (1, 2, 3, 4, 5, 6, 16)] == [
        False,
        False,
        *[True] * 3,
        False,
        False,
    ]


@pytest.fixture
def whole(tmp_path: Path) -> tuple[DepthOptions, Path]:
    """Options, and a record in which nothing is left to measure for them."""
    options = DepthOptions(engine="vllm", policies=("ucb",), rounds=2, folder=tmp_path)
    setup = setup_of(options, models(), live_options(options))
    rng = np.random.default_rng(0)
    record = Record(setup, 0, sittings=1)
    for number in range(2):
        for phase in setup.phases:
            one = live_runs.visit(number, "1 x code", rng, noise=0.05)
            by_arm = {live_runs.ARMS[turn.arm]: turn for turn in one.turns}
            turns = [
                msgspec.structs.replace(by_arm.get(tuple(arm), one.turns[0]), arm=i)
                for i, arm in enumerate(setup.arms)
            ]
            record.visits.append(msgspec.structs.replace(one, phase=phase, turns=turns))
    path = tmp_path / "tally.json"
    record.save(path)
    return options, path


def test_figures_are_made_again_without_an_engine(whole, tmp_path: Path) -> None:
    options, path = whole
    found = run(replace(options, resume=path), make=None, progress=lambda _: None)
    figures = found["figures"]
    assert (figures["visits"], figures["visits_asked"], figures["sittings"]) == (18, 18, 1)
    assert {"regret_1", "regret_crossfit_1", "regret_crossfit_1_low", "best_static_ratio_0"} <= set(
        figures
    )
    assert not list(tmp_path.glob("tally__*"))


def test_a_record_of_other_options_is_refused(whole) -> None:
    options, path = whole
    other = replace(options, resume=path, policies=("linucb",))
    with pytest.raises(ValueError, match=r"arms .* then"):
        sit(other, lambda _: None)


def test_a_figure_that_cannot_be_made_loses_no_other(whole, monkeypatch) -> None:
    options, path = whole
    said: list[str] = []

    def broken(*_: object) -> None:
        raise ValueError("too few")

    monkeypatch.setattr("flyball.benchmarks.depth.run.paired_figures", broken)
    found = run(replace(options, resume=path), make=None, progress=said.append)
    assert "j_1" in found["figures"]
    assert found["arms"]["learned at 1"]["latency"] > 0
    assert any("too few" in text for text in said)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), EngineError("the engine ended with code 1")])
def test_a_sitting_that_ends_early_gives_what_was_measured(whole, monkeypatch, end) -> None:
    options, path = whole
    record = load_record(path)
    record.visits.pop()
    record.save(path)

    def fail(*_: object, **__: object) -> None:
        raise end

    monkeypatch.setattr("flyball.benchmarks.depth.sitting.session", fail)
    said: list[str] = []
    found = run(replace(options, resume=path), make=None, progress=said.append)
    assert (found["figures"]["visits"], found["figures"]["visits_asked"]) == (17, 18)
    assert found["figures"]["j_1_low"] <= found["figures"]["j_1"] <= found["figures"]["j_1_high"]
    assert any("17 of 18 visits were measured" in text and str(path) in text for text in said)
    with pytest.raises(type(end)):  # nothing was measured yet
        run(options, make=None, progress=said.append)
