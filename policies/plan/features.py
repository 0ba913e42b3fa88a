"""Hashed features of a step: what is known before it is proposed, and what its proposal adds.

Feature hashing (Weinberger et al. 2009, arXiv 0902.2206): a feature is a text, its place is the
text's CRC-32 modulo the number of places, which no process or version of Python changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ..spaces import Array
from ..transition import Floats
from .state import Committed, PlanState, Proposed

PLACES: Final = 1 << 15
"""Places that features are hashed to; dense ones come after them."""

Places = npt.NDArray[np.int64]
Features = tuple[Places, Floats]
"""Places and values of one step's features, of one length."""


class Encoder(Protocol):
    """Anything that turns text into a vector, such as a text-embedding model."""

    @property
    def size(self) -> int:
        """Length of its vectors."""
        ...

    def encode(self, text: str) -> Array:
        """A float32 vector of shape (size,), of length about 1."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """What is known of a step before anything is proposed for it.

    Attributes:
        task: what is to be done, as text.
        index: of the step, from 0.
        verdicts: of the steps before it, oldest first; None where nothing was proposed.
        before: tool of the step before; None where that is not known, "" where there is none.
    """

    task: str
    index: int
    verdicts: tuple[bool | None, ...]
    before: str | None


def contexts(state: PlanState, count: int) -> list[StepContext]:
    """Contexts of the first ``count`` steps that are not settled, if those before all match."""
    verdicts = tuple(step.matched for step in state.committed)
    tools: list[str | None] = [state.committed[-1].tool if state.committed else ""]
    tools += [step.tool for step in state.proposed]
    tools += [None] * max(0, count - len(tools))
    settled = len(verdicts)
    return [
        StepContext(state.task, settled + i, verdicts + (True,) * i, tools[i]) for i in range(count)
    ]


class TaskMemory:
    """What the target agent did last at each step of each task, by hashes of fixed size.

    Attributes:
        actions: hash of the latest action, by task and index, then by task and tool before:
            int64, shape (2, PLACES); 0 where there was none.
    """

    def __init__(self) -> None:
        self.actions: Places = np.zeros((2, PLACES), np.int64)

    def add(self, task: str, committed: Sequence[Committed]) -> None:
        """Take all that a run committed."""
        before = ""
        for i, step in enumerate(committed):
            places = _memory_places(task, i, before)
            self.actions[range(2), places] = _hash(step.action)
            before = step.tool

    def usual(self, context: StepContext, proposed: Proposed) -> str:
        """Two characters: whether a proposal is what was done at this place, and after this tool.

        "=" for yes, "x" for no, "?" where nothing was done there yet.
        """
        places = _memory_places(context.task, context.index, context.before or "")
        own = _hash(proposed.action)
        done = (int(self.actions[row, place]) for row, place in enumerate(places))
        return "".join("?" if was == 0 else "=" if was == own else "x" for was in done)


def context_features(context: StepContext, encoder: Encoder | None = None) -> Features:
    """Features of a step that needs no proposal: its task, place and history."""
    return _with_dense(_of_context(context), context.task, encoder, 0)


@lru_cache(maxsize=8192)
def _of_context(context: StepContext) -> Features:
    """The hashed ones; kept, as every decision asks for those of eight steps again."""
    task, index, verdicts = context.task, context.index, context.verdicts
    last = "".join("?-+"[1 + (v is True) if v is not None else 0] for v in verdicts[-1:])
    key = _task_key(task)
    places, values = _placed(
        ("all", 1.0),
        (f"index {min(index, 7)}", 0.7),
        (f"last {last}", 0.5),
        (f"run {min(matches_in_a_row(verdicts), 4)}", 0.4),
        (f"before {context.before}", 0.5),
        (f"task {key}", 0.5),
        (f"task after {key} {context.before}", 0.7),
        (f"task at {key} {index}", 1.6),
    )
    words, shares = _words(task)
    return np.concatenate([places, words]), np.concatenate([values, 0.3 * shares])


def proposal_features(
    context: StepContext,
    proposed: Proposed,
    earlier: Sequence[str],
    usual: str,
    encoder: Encoder | None = None,
) -> Features:
    """What a proposal tells of its step, beside its context.

    Args:
        context: of the step.
        proposed: for it.
        earlier: actions of the steps before it.
        usual: how it stands to what the target agent did there before (``TaskMemory.usual``).
        encoder: adds dense features of the action; None for none.
    """
    found = _of_proposal(
        context,
        proposed.tool,
        proposed.action,
        f"{proposed.final} effectful {proposed.effectful}",
        proposed.action in earlier,
        _bucket(proposed.logprob),
        usual,
    )
    size = 0 if encoder is None else encoder.size
    return _with_dense(found, proposed.action, encoder, size)


@lru_cache(maxsize=8192)
def _of_proposal(
    context: StepContext,
    tool: str,
    action: str,
    final: str,
    repeats: bool,
    logprob: str,
    usual: str,
) -> Features:
    """The hashed ones; kept, as those of a context are."""
    key, index = _task_key(context.task), context.index
    at = min(index, 7)
    return _placed(
        ("proposed", 0.7),
        (f"final {final}", 1.0),
        (f"final at {final} {at}", 0.7),
        (f"repeats {repeats}", 1.0),
        (f"usual {usual}", 0.7),
        (f"usual and repeats {usual} {repeats} {final}", 0.7),
        (f"logprob {logprob}", 0.7),
        (f"tool {tool}", 0.5),
        (f"tool at {tool} {at}", 0.5),
        (f"tool after {tool} {context.before}", 0.5),
        (f"action of task {key} {action}", 0.5),
        (f"action of task at {key} {index} {action}", 1.4),
    )


def matches_in_a_row(verdicts: Sequence[bool | None]) -> int:
    """Matches since the last step that was none."""
    count = 0
    for verdict in reversed(verdicts):
        if verdict is not True:
            break
        count += 1
    return count


@lru_cache(maxsize=8192)
def text_features(task: str, tools: tuple[str, ...], count: int) -> Array:
    """Text as a short dense vector: words of the task in its first half, tools in the second.

    Args:
        task: what is to be done.
        tools: of the latest actions.
        count: length of the vector, even.

    Returns:
        float32, shape (count,), each half of length 1 or nought; kept, not to be written to.
    """
    out = np.zeros((2, count // 2), np.float32)
    np.add.at(out[0], _words(task)[0] % (count // 2), 1.0)
    np.add.at(out[1], [_place(f"tool {tool}") % (count // 2) for tool in tools], 1.0)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    out.flags.writeable = False
    return out.reshape(-1)


def _with_dense(features: Features, text: str, encoder: Encoder | None, offset: int) -> Features:
    """Features with a text's vector behind them, at places of its own."""
    if encoder is None:
        return features
    vector = encoder.encode(text).astype(np.float64)
    places = PLACES + offset + np.arange(encoder.size, dtype=np.int64)
    return np.concatenate([features[0], places]), np.concatenate([features[1], vector])


@lru_cache(maxsize=8192)
def _memory_places(task: str, index: int, before: str) -> tuple[int, int]:
    key = _task_key(task)
    return _place(f"done at {key} {index}"), _place(f"done after {key} {before}")


def _placed(*features: tuple[str, float]) -> Features:
    """Texts at their places; the value of each is what it may add to log-odds (``logistic``)."""
    texts, spreads = zip(*features, strict=True)
    return np.array([_place(text) for text in texts], np.int64), np.array(spreads)


@lru_cache(maxsize=8192)
def _hash(text: str) -> int:
    """A number that is never 0."""
    return crc32(text.encode("utf-8", "surrogatepass")) + 1


def _place(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass")) % PLACES


@lru_cache(maxsize=4096)
def _task_key(task: str) -> int:
    """A number for a task, short enough to be put into texts."""
    return crc32(task.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=4096)
def _words(task: str) -> Features:
    """A task's first words, so weighed that all together count as much as one other feature."""
    words = list(dict.fromkeys(re.findall(r"\w+", task[:4000].lower())))[:64]
    places = np.array([_place(f"word {word}") for word in words], np.int64)
    return places, np.full(len(words), 1.0 / math.sqrt(max(len(words), 1)))


def _bucket(logprob: float) -> str:
    """A log-probability's range: finer towards certainty."""
    if not math.isfinite(logprob):
        return "?"
    return str(min(int(4.0 * math.log1p(max(-logprob, 0.0) * 8.0)), 15))
