"""Whatever a step is planned to do, requests get what the target alone would give them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flyball
import pytest
from flyball.benchmarks.drafts import drafted_pairs
from flyball.benchmarks.stats import chi_square
from flyball.inference.models.family import DRAFT, TARGET, path
from flyball.inference.models.prompts import prompts
from flyball.inference.vllm.server import EngineProcess
from ports import free_port
from stack import ENGINE, Stack, eventually
from work import bodies, complete

HERE = Path(__file__).parent
PROMPT = prompts("code", 4, 5)[3].text[:500]
SAMPLES = 300
RARE = 1e-4
ROUNDS = 4
SHORT = [
    *("--block-size", "32", "--num-gpu-blocks-override", "36"),
    *("--max-num-batched-tokens", "256", "--long-prefill-token-threshold", "80"),
]
"""Memory for little more than one request of the greatest length, and long prompts that make way
for short ones, so that some requests decode behind others that do not yet."""


@dataclass
class Answers:
    """What requests were answered by, as token ids."""

    greedy: list[list[int]]
    sampled: list[list[int]]


def greedy(url: str, aborted: int = 0) -> list[list[int]]:
    return complete(url, bodies(), aborted=aborted, temperature=0.0)


def sampled(url: str) -> list[list[int]]:
    """Four tokens, so that the third is drafted like any other."""
    one = {"prompt": PROMPT, "max_tokens": 4, "temperature": 1.0, "ignore_eos": True}
    return complete(url, [one] * SAMPLES, concurrency=32)


@pytest.fixture(scope="module")
def alone(stack: Stack) -> Answers:
    """Without speculation."""
    pin = stack.client.pin(ENGINE, 0)
    eventually(lambda: stack.state()["pin"] == pin)  # an idle engine still shows its last depth
    answers = Answers(greedy(stack.engine.url), sampled(stack.engine.url))
    stack.client.pin(ENGINE, None)
    return answers


@contextmanager
def planned(folder: Path, scheduler: str, overlapping: bool) -> Iterator[EngineProcess]:
    """An engine whose every step is planned at random, short of memory and of tokens per step."""
    package = Path(flyball.__file__).parent.parent
    folders = [HERE / "overlapping"] * overlapping + [HERE, package]
    paths = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    engine = EngineProcess(
        path(TARGET),
        path(DRAFT),
        free_port(),
        scheduler=f"planning.{scheduler}",
        dtype="float32",
        max_length=1024,
        extra=["--enforce-eager", *SHORT],
        env={"PLANNED": str(folder / "planned.json"), "PYTHONPATH": os.pathsep.join(paths)},
        log=folder / "engine.log",
    )
    with engine:
        yield engine.wait_ready(240)


def notes(folder: Path) -> dict[str, Any]:
    """What the engine's scheduler noted, once all requests have ended."""
    file = folder / "planned.json"
    eventually(file.exists)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def check(url: str, folder: Path, alone: Answers, never: Set[str] = frozenset()) -> None:
    """All that could happen has happened, in a few rounds of requests, and as planned.

    Args:
        url: of the engine.
        folder: where its scheduler's notes are.
        alone: the answers without speculation.
        never: what cannot happen there.
    """
    for _ in range(ROUNDS):
        assert greedy(url, aborted=8) == alone.greedy
        found = notes(folder)
        assert found.pop("broken") == []
        assert (found.pop("faults"), found.pop("last_fault")) == (0, "")
        missing = {what for what, count in found.items() if not count}
        if missing == never:
            return
    raise AssertionError(f"{missing - never} did not happen, or {never - missing} did: {found}")


def test_random_plans_under_asynchronous_scheduling(alone: Answers, tmp_path: Path) -> None:
    with planned(tmp_path, "PlannedAsyncScheduler", overlapping=True) as engine:
        check(engine.url, tmp_path, alone)
        ours = sampled(engine.url)
        assert notes(tmp_path)["broken"] == []
    p = [chi_square(*positions(ours, alone.sampled, i)).p for i in range(4)]
    assert min(p) > RARE, p
    # What it would give if drafts got through unverified.
    leak = drafted_pairs(path(DRAFT), PROMPT, [ids[0] for ids in ours], 0)
    assert chi_square([second for _, second in leak], [ids[1] for ids in ours]).p < RARE


def positions(ours: list[list[int]], theirs: list[list[int]], i: int) -> tuple[list[int], ...]:
    return [ids[i] for ids in ours], [ids[i] for ids in theirs]


def test_random_plans_under_plain_scheduling(alone: Answers, tmp_path: Path) -> None:
    with planned(tmp_path, "PlannedScheduler", overlapping=False) as engine:
        # Nothing overlaps, and drafts that a grammar forbids are dropped before they are scheduled.
        check(engine.url, tmp_path, alone, never={"overlapped", "vetoed"})
