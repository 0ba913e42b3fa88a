"""The live comparison under objectives, around a controller and an engine that is none.

Its tokens come from an OpenAI API with a few slots; its wire peer follows pins and policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from factories import State, World
from flyball.benchmarks.engines import BenchError
from flyball.benchmarks.listener import Listener
from flyball.benchmarks.session import ENGINE, Session
from flyball.benchmarks.slo.figures import slo_figures
from flyball.benchmarks.slo.live import LiveRun
from flyball.benchmarks.slo.options import SloOptions
from flyball.benchmarks.slo.texts import Texts
from flyball.benchmarks.switch import Switch
from flyball.inference.address import Address
from flyball.inference.models.family import TARGET, path
from flyball.inference.simulator.traces import Trace
from flyball.inference.vllm.server import EngineProcess
from openai_api import Api
from ports import free_ports
from running import ControllerUnderTest, until
from wire_engine import WireEngine

OPTIONS = SloOptions(
    engine="vllm", quick=True, k_max=6, traces=(Path("t.csv"),), ttft_ms=60000, tpot_ms=60000
)


def trace(n: int = 300) -> Trace:
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.exponential(1.0, n))
    return Trace(at - at[0], rng.integers(4, 400, n), rng.integers(2, 20, n), "t")


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    api = Api(slots=4).start()
    api.seconds = 0.1
    yield api
    api.stop()


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, api: Api
) -> Iterator[tuple[Session, WireEngine]]:
    """For all tests of this module; the last of them ends the peer."""
    tap = Address("127.0.0.1", free_ports(2))
    tmp_path = tmp_path_factory.mktemp("live")
    with (
        ControllerUnderTest(tmp_path / "run") as controller,
        Listener(tap, controller.address) as listener,
        WireEngine(str(tap), ENGINE) as engine,
    ):
        engine.busy = False
        until(lambda: controller.client.status()["engines"])
        process = EngineProcess("target", "draft", int(api.url.rsplit(":", 1)[1]), max_requests=8)
        yield Session(process, controller.client, listener, controller.url, tmp_path), engine


@pytest.fixture(scope="module")
def texts() -> Texts:
    return Texts(path(TARGET), "tool_calls")


def small(running: Session, texts: Texts, said: list[str]) -> LiveRun:
    made = LiveRun(running, OPTIONS, [trace()], texts, said.append)
    made.seconds = 0.8
    return made


def test_prompts_have_the_lengths_that_are_asked_for(texts: Texts) -> None:
    lengths = [1, 300, 7, 1024]
    found = texts.prompts(lengths, 3)
    assert [len(ids) for _, ids in found] == lengths
    assert {name for name, _ in found} == {"tool_calls"}
    assert found == texts.prompts(lengths, 3)
    assert found[3] != texts.prompts(lengths, 4)[3]


def test_every_arm_meets_the_same_requests_in_its_turn(
    engine: tuple[Session, WireEngine], api: Api, texts: Texts
) -> None:
    running, peer = engine
    peer.pins.clear()
    said: list[str] = []
    run = small(running, texts, said)
    found = run.run()
    (before,) = run.places
    (place,) = {key[0]: turn.place for key, turn in run.turns.items()}.values()
    assert min(before.capacity, place.capacity) > 0.0
    # As much slower as the machine has become, as much longer may a token take.
    assert place.tpot * place.capacity == pytest.approx(before.tpot * before.capacity)
    assert set(found.arms) == {"off", "adaspec", "flyball"}
    turns = {key[3]: turn for key, turn in run.turns.items()}
    n = len(turns["off"].records)
    assert n == round(0.9 * place.capacity * run.seconds)
    last = api.bodies[-3 * n :]  # of the only round
    met = [Counter(str(b["prompt"]) for b in last[i * n : (i + 1) * n]) for i in range(3)]
    assert met[0] == met[1] == met[2]
    asked = Counter(str(sorted(o.items())) for o in api.objectives[-3 * n :])
    assert {count % 3 for count in asked.values()} == {0}
    first, *others = ([r.start - t.records[0].start for r in t.records] for t in turns.values())
    for other in others:
        assert first == pytest.approx(other)
    assert {"adaspec", "learned"} <= set(peer.policies[1:])
    assert {*range(OPTIONS.k_max + 1), None} == set(peer.pins)  # each was shown; arms are let go
    figures = {**slo_figures(found.scores, 0), **found.figures}
    assert figures["goodput_ratio_to_best_peer"] == pytest.approx(1.0)  # one and the same server
    assert figures["failed_requests"] == figures["unfinished_requests"] == 0
    assert figures["requests"] == 3 * n
    assert figures["capacity_t"] == place.capacity


def test_requests_that_fail_are_said_to(
    engine: tuple[Session, WireEngine], api: Api, texts: Texts
) -> None:
    api.status = 500
    try:
        with pytest.raises(
            BenchError, match="no request of off was served: HTTP 500: the engine is on"
        ):
            small(engine[0], texts, []).run()
    finally:
        api.status = 200


def test_what_all_may_know_is_told_whoever_decided_it(engine: tuple[Session, WireEngine]) -> None:
    switch = Switch(engine[0])
    switch.in_force("fixed?depth=3", 1.0)
    assert switch.listener.teaches is not None
    decided = World().transition(State(), 3)
    assert not switch.listener.teaches(decided)  # not in a turn of ours
    switch.open = True
    assert switch.listener.teaches(decided)


def test_an_engine_that_does_not_follow_is_said_to(engine: tuple[Session, WireEngine]) -> None:
    running, peer = engine
    switch = Switch(running)
    switch.in_force("fixed?depth=3", 1.0)
    assert peer.depth == 3
    switch.in_force("goodput", 0.25)
    assert (peer.policies[-1], peer.speed) == ("goodput", 0.25)
    assert switch.idle().running == 0
    peer.busy = True
    with pytest.raises(BenchError, match="still had requests"):
        switch.idle(1.0)
    peer.__exit__()
    with pytest.raises(BenchError, match="did not follow: adaspec was not in force"):
        switch.in_force("adaspec", 1.0, seconds=1.0)
