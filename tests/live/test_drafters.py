"""One engine with several drafters: whoever drafts, requests get what the target alone would give.

Every step is planned at random (``planning``), and unless a request asks for a drafter, it is drawn
anew for every request and step; once with steps that overlap, once without.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flyball
import pytest
from flyball.benchmarks.stats import chi_square
from flyball.inference.drafters.guarded import FAULT_LIMIT
from flyball.inference.drafters.suffix.saving import store_path
from flyball.inference.models.family import DRAFT, TARGET, path
from flyball.inference.vllm.server import EngineProcess
from ports import free_port
from stack import Stack, eventually
from test_plans import HERE, RARE, SHORT, Answers, alone, greedy, positions, sampled
from work import bodies, complete

__all__ = ["alone"]  # pytest finds the fixture here

WILD, FAULTY, REMEMBERING, TELLING = (
    f"switching:{name}" for name in ("wild", "faulty", "remembering", "telling")
)
DRAFTERS = ("draft", "ngram", "suffix", "chain", "suffix+draft", WILD, FAULTY, REMEMBERING, TELLING)
NEW = "def nobody_else_says_this("
FEW = slice(None, None, 6)
"""Requests that every drafter serves, beside all others and alone; random ones serve them all."""


@dataclass
class Switching:
    """An engine, and what it writes down."""

    engine: EngineProcess
    folder: Path
    overlapping: bool

    @property
    def notes(self) -> dict[str, Any]:
        """Of the scheduler, once all requests have ended."""
        found: dict[str, Any] = json.loads((self.folder / "planned.json").read_text())
        return found

    def drafter(self, name: str) -> dict[str, Any]:
        """How one fares."""
        found: dict[str, dict[str, Any]] = json.loads((self.folder / "drafters.json").read_text())
        return found.get(name, {"verified": 0, "accepted": 0, "faults": 0})

    def stored(self, tenant: str) -> int:
        """Tokens that a tenant was drafted from its store."""
        file = self.folder / "stored.json"
        return int(json.loads(file.read_text()).get(tenant, 0)) if file.exists() else 0

    def remembered(self, tenant: str) -> int:
        """Tokens that a request of a tenant's is drafted from its store."""
        before = self.stored(tenant)
        self.ask({"prompt": NEW, "max_tokens": 60}, flyball_drafter=TELLING, flyball_tenant=tenant)
        self.flush()
        return self.stored(tenant) - before

    def flush(self) -> None:
        """Let what was asked for be told of: with the steps, and at the end of an interval."""
        self.ask({"prompt": "x = 1", "max_tokens": 24}, flyball_drafter="none")

    def ask(self, *asked: dict[str, Any], **arguments: object) -> list[list[int]]:
        """Greedy answers to requests with arguments."""
        wanted = [body | {"vllm_xargs": arguments} for body in asked]
        return complete(self.engine.url, wanted, temperature=0.0)


@pytest.fixture(scope="module", params=[True, False], ids=["overlapping", "one by one"])
def switching(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Switching]:
    del stack  # is there for those who answer alone, and takes its time first
    folder = tmp_path_factory.mktemp("switching")
    package = Path(flyball.__file__).parent.parent
    folders = [HERE / "overlapping"] * request.param + [HERE, package]
    paths = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    engine = EngineProcess(
        path(TARGET),
        path(DRAFT),
        free_port(),
        scheduler="switching.SwitchingScheduler",
        dtype="float32",
        max_length=1024,
        drafters=DRAFTERS,
        extra=["--enforce-eager", *SHORT],
        env={
            "PLANNED": str(folder / "planned.json"),
            "PYTHONPATH": os.pathsep.join(paths),
            "FLYBALL_DRAFTER": "random",
            "FLYBALL_SUFFIX_STORE": str(folder / "store"),
        },
        log=folder / "engine.log",
    )
    with engine:
        yield Switching(engine.wait_ready(240), folder, request.param)


def check(switching: Switching) -> None:
    """Nothing of the engine's went wrong."""
    notes = switching.notes
    assert (notes["broken"], notes["faults"], notes["last_fault"]) == ([], 0, "")


def test_random_drafters_and_random_plans_are_lossless(
    switching: Switching, alone: Answers
) -> None:
    assert greedy(switching.engine.url, aborted=8) == alone.greedy
    check(switching)
    for event in ("chunks", "cached", "preempted", "unequal", "shortened"):
        assert switching.notes[event], event
    assert bool(switching.notes["overlapped"]) is switching.overlapping
    for name in ("draft", "ngram", "suffix", "chain", "suffix+draft", REMEMBERING):
        assert switching.drafter(name)["accepted"], name
    assert switching.drafter(WILD)["verified"]
    assert switching.drafter("ngram")["scored_accepted"]


def test_every_drafter_is_lossless_beside_all_others(switching: Switching, alone: Answers) -> None:
    names, some = ("none", *DRAFTERS), bodies()[FEW]
    asked = [body | {"vllm_xargs": {"flyball_drafter": n}} for n in names for body in some]
    found = complete(switching.engine.url, asked, temperature=0.0)
    for at, name in enumerate(names):
        assert found[at * len(some) : (at + 1) * len(some)] == alone.greedy[FEW], name
    check(switching)


@pytest.mark.parametrize("name", ["none", "draft", "suffix", "chain"])
def test_a_drafter_alone_is_lossless(switching: Switching, alone: Answers, name: str) -> None:
    assert switching.ask(*bodies()[FEW], flyball_drafter=name) == alone.greedy[FEW]
    check(switching)


def test_a_faulty_drafter_is_taken_out_and_nobody_notices(
    switching: Switching, alone: Answers
) -> None:
    for _ in range(3):
        if switching.drafter(FAULTY).get("out"):
            break
        switching.ask(*bodies(), flyball_drafter=FAULTY)
    found = switching.drafter(FAULTY)
    assert found["out"]
    assert found["faults"] == FAULT_LIMIT
    assert found["last_fault"]
    before = found["verified"]
    assert switching.ask(*bodies()[:4], flyball_drafter=FAULTY) == alone.greedy[:4]
    assert switching.drafter(FAULTY)["verified"] == before
    check(switching)


def test_nothing_of_a_tenant_reaches_another(switching: Switching) -> None:
    body = {"prompt": NEW, "max_tokens": 60}
    drafted = []
    for tenant in ("a", "a", "b", "b", 7, 7):
        switching.flush()
        before = switching.drafter(REMEMBERING)["verified"]
        switching.ask(body, flyball_drafter=REMEMBERING, flyball_tenant=tenant)
        switching.flush()
        drafted.append(switching.drafter(REMEMBERING)["verified"] - before)
    # Each tenant has only what it said before; one that makes no sense has nothing, ever.
    assert [count > 0 for count in drafted] == [False, True, False, True, False, False], drafted


def test_a_tenants_memory_is_its_own(switching: Switching) -> None:
    drafted = [switching.remembered(tenant) for tenant in ("one", "one", "two", "two")]
    # The same prompt: what the first said would have served the second, too.
    assert [count > 0 for count in drafted] == [False, True, False, True], drafted
    check(switching)


def test_what_is_sampled_follows_the_target(switching: Switching, alone: Answers) -> None:
    ours = sampled(switching.engine.url)
    p = [chi_square(*positions(ours, alone.sampled, i)).p for i in range(4)]
    assert min(p) > RARE, p
    check(switching)


@pytest.mark.parametrize("switching", [False], indirect=True, ids=["one by one"])
def test_what_is_remembered_outlives_an_engine_stopped_under_load(switching: Switching) -> None:
    kept = [store_path(switching.folder / name, "lasting") for name in ("store", "told")]
    assert switching.remembered("lasting") == 0
    # It is saved as requests end, but not all the time.
    eventually(
        lambda: switching.remembered("lasting") and all(path.exists() for path in kept),
        what="stores that are kept",
    )
    # More than any machine is done with before the engine is told to stop.
    load = [{"prompt": f"x = {i}", "max_tokens": 900, "ignore_eos": True} for i in range(48)]
    with ThreadPoolExecutor() as pool:
        broken_off = pool.submit(switching.ask, *load, flyball_drafter=TELLING)
        time.sleep(0.5)
        switching.engine.stop(60)
        assert broken_off.exception() is not None
    assert all(path.exists() for path in kept)
    (switching.folder / "stored.json").unlink()
    switching.engine.start().wait_ready(240)
    # A tenant's store is read beside its first request.
    switching.ask({"prompt": "x = 1", "max_tokens": 24}, flyball_tenant="lasting")
    time.sleep(1.0)
    assert switching.remembered("lasting")
    assert not switching.remembered("never seen")
    check(switching)
