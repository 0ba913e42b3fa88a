"""Agents' sessions as an engine sees them: requests that grow turn by turn, with repeats."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...inference.agents.world import (
    DIFFICULTIES,
    END,
    STYLES,
    Style,
    make_task,
    plan,
    prompt,
    transcript,
    write,
)
from ...inference.models import TARGET, path
from ...inference.models.tokenizer import load

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TASKS: Final = 10_000_000
"""Tasks of a seed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a session.

    Attributes:
        name: its own.
        session: its session's.
        prompt: ids of tokens.
        output: what a target that does the right thing emits, ids of tokens.
    """

    name: str
    session: str
    prompt: list[int]
    output: list[int]


def sessions(seed: int, count: int, tasks: int) -> Iterator[list[Request]]:
    """Sessions of agents that solve tasks, some of which come again and again.

    How often a task comes falls as 1/rank (Zipf), as questions to a service do; a repeat differs in
    style half the time. The right plan is followed, so that no model is needed.

    Args:
        seed: of the tasks and of their order; two seeds have no task in common.
        count: how many sessions.
        tasks: how many tasks there are.
    """
    rng = random.Random(f"traffic {seed}")
    tokenizer = load(path(TARGET))
    weights = [1.0 / (rank + 1) for rank in range(tasks)]
    for number, rank in enumerate(rng.choices(range(tasks), weights, k=count)):
        difficulty = DIFFICULTIES[rank % len(DIFFICULTIES)]
        yield _session(tokenizer, f"{seed}-{number}", _seed(seed, rank), difficulty, rng)


def documents(seed: int) -> Iterator[list[int]]:
    """Endless whole transcripts of different tasks, for filling a store."""
    tokenizer = load(path(TARGET))
    number = 0
    while True:
        texts = [_transcript(_seed(seed, number + more)) for more in range(256)]
        number += len(texts)
        yield from (encoding.ids for encoding in tokenizer.encode_batch(texts))


def _seed(seed: int, number: int) -> int:
    return _TASKS * (seed + 1) + number


def _style(number: int) -> Style:
    return STYLES[number % len(STYLES)]


def _transcript(number: int) -> str:
    task = make_task(number, DIFFICULTIES[number % len(DIFFICULTIES)])
    return transcript(task, plan(task), _style(number // len(DIFFICULTIES)))


def _session(
    tokenizer: Tokenizer, name: str, number: int, difficulty: int, rng: random.Random
) -> list[Request]:
    task = make_task(number, difficulty)
    steps = plan(task)
    style = rng.choice(STYLES)
    requests = []
    for turn, step in enumerate(steps):
        asked = tokenizer.encode(prompt(task, steps[:turn], style)).ids
        answer = tokenizer.encode(write(step.thought, step.action, style) + END).ids
        requests.append(Request(f"{name}-{turn}", name, asked, answer))
    return requests
