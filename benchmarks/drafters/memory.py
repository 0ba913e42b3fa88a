"""The suffix memory against vLLM's method ``suffix``, and what a large store costs.

Three warmths: cold, where every session begins with nothing; online, where what came before in the
same traffic is remembered; offline, where other traffic was remembered before the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, islice
from typing import Final

import numpy as np

from ...inference.drafters.drafter import Ask, Drafter, Owner
from ...inference.drafters.suffix import Memory, SuffixDrafter
from . import traffic
from .arctic import SETTINGS, ArcticDrafter, has_arctic
from .replay import Tally, replay

DEPTH: Final = int(SETTINGS["max_tree_depth"])
WARMTHS: Final = ("cold", "online", "offline")
TOKENS: Final = 10_000_000
SESSIONS: Final = 400

Make = Callable[[], Drafter]


def compare(seed: int, sessions: int = SESSIONS, depth: int = DEPTH) -> dict[str, float]:
    """Replay one agent workload through both.

    Args:
        seed: of the workload.
        sessions: in it; there are three times as many before it, offline.
        depth: at most so many tokens per draft.

    Returns:
        Figures: ``suffix_accepted_over_arctic`` (per draft, traffic remembered online) and
        ``suffix_step_accepted_over_arctic`` (per verification), and all they are made of, as
        DRAFTER_WARMTH_accepted_per_draft, _accepted_per_step and _share_accepted. Without
        arctic-inference its figures and those made with them are left out.
    """
    makes: dict[str, Make] = {"suffix": SuffixDrafter}
    if has_arctic():
        makes["arctic"] = ArcticDrafter
    found: dict[str, float] = {}
    for name, make in makes.items():
        for warmth in WARMTHS:
            tally = _replayed(make, warmth, seed, sessions, depth)
            found[f"{name}_{warmth}_accepted_per_draft"] = tally.per_draft()
            found[f"{name}_{warmth}_accepted_per_step"] = tally.per_step()
            found[f"{name}_{warmth}_share_accepted"] = tally.precision()
    if "arctic" in makes:
        for figure, measure in (("", "per_draft"), ("_step", "per_step")):
            ours, theirs = (found[f"{name}_online_accepted_{measure}"] for name in makes)
            found[f"suffix{figure}_accepted_over_arctic"] = ours / theirs
    return found


def cost(seed: int, tokens: int = TOKENS, drafts: int = 20_000) -> dict[str, float]:
    """Fill a store and draft from it.

    Args:
        seed: of the documents.
        tokens: in the store at least.
        drafts: how many are timed, of one request each.

    Returns:
        ``suffix_bytes_per_token``; ``suffix_draft_us_p50`` and ``_p99``, microseconds of wall time;
        ``suffix_draft_cpu_us_p99``, the thread's own time, which other processes do not add to.
    """
    drafter = SuffixDrafter(Memory(2 * tokens))
    owner = Owner("bench", "")
    for number, document in enumerate(traffic.documents(seed)):
        drafter.begin("fill", document, owner)
        drafter.end("fill")
        if number % 100 == 0:
            drafter.memory.drain()  # faster than any engine would fill it: wait for the sorting
            if len(drafter.memory) >= tokens:
                break
    bytes_per_token = drafter.memory.nbytes() / len(drafter.memory)
    wall, own = _timed(drafter, seed + 1, drafts)
    drafter.close()
    return {
        "suffix_bytes_per_token": bytes_per_token,
        "suffix_draft_us_p50": float(np.percentile(wall, 50)),
        "suffix_draft_us_p99": float(np.percentile(wall, 99)),
        "suffix_draft_cpu_us_p99": float(np.percentile(own, 99)),
    }


def _replayed(make: Make, warmth: str, seed: int, sessions: int, depth: int) -> Tally:
    total = Tally()
    drafter = make()
    if warmth == "offline":
        before = traffic.sessions(seed + 1, 3 * sessions, sessions)
        replay(drafter, chain.from_iterable(before), depth)
    for session in traffic.sessions(seed, sessions, max(sessions // 3, 1)):
        if warmth == "cold":
            drafter.close()
            drafter = make()
        total += replay(drafter, session, depth)
    drafter.close()
    return total


def _timed(drafter: Drafter, seed: int, drafts: int) -> tuple[list[float], list[float]]:
    """Microseconds of every draft: wall time, and the thread's own."""
    wall: list[float] = []
    own: list[float] = []
    for document in islice(traffic.documents(seed), drafts):
        middle = len(document) // 2
        drafter.begin("timed", document[:middle], Owner("bench", "timed"))
        for at in range(middle, len(document)):
            began, thread = time.perf_counter_ns(), time.thread_time_ns()
            drafter.propose([Ask("timed", DEPTH)])
            own.append((time.thread_time_ns() - thread) / 1000)
            wall.append((time.perf_counter_ns() - began) / 1000)
            drafter.extend("timed", document[at : at + 1])
        drafter.end("timed")
        if len(wall) >= drafts:
            break
    return wall, own
