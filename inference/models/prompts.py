"""Held-out prompts for load generation and measurement, per content class."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from ..agents.world import DIFFICULTIES, STYLES, make_task, plan, prompt
from .corpus import CLASSES, ContentClass, code, held_out_seeds, prose

# About 100 to 400 tokens at three characters a token.
_SHORTEST, _LONGEST = 350, 1300


@dataclass(frozen=True)
class Prompt:
    """A text to continue, with its content class."""

    text: str
    content_class: ContentClass


def prompts(content_class: str, n: int, seed: int) -> list[Prompt]:
    """Return n held-out prompts of a class, none twice while there are enough.

    The same arguments give the same prompts, and more of them begin with the fewer. `code`
    breaks off inside a function or class, `prose` inside a paragraph, and `tool_calls` is a
    transcript up to an assistant's turn. All suit `/v1/completions`.

    Args:
        content_class: `code`, `tool_calls` or `prose`.
        n: How many.
        seed: Which ones.
    """
    if content_class not in CLASSES:
        raise ValueError(f"no content class {content_class!r}; there are {', '.join(CLASSES)}")
    if n < 0:
        raise ValueError(f"the number of prompts must not be negative, got {n}")
    if content_class == "tool_calls":
        found = _transcripts(seed)
        return [Prompt(next(found), "tool_calls") for _ in range(n)]
    if content_class == "code":
        return [Prompt(text, "code") for text in _cut(_definitions(), n, seed, _cut_code)]
    return [Prompt(text, "prose") for text in _cut(_paragraphs(), n, seed, _cut_prose)]


def _transcripts(seed: int) -> Iterator[str]:
    """Endless beginnings of held-out transcripts, up to any of the right plan's turns."""
    rng = random.Random(seed)
    for number in held_out_seeds(seed):
        task = make_task(number, rng.choice(DIFFICULTIES))
        steps = plan(task)
        text = prompt(task, steps[: rng.randrange(len(steps))], rng.choice(STYLES))
        if len(text) >= _SHORTEST:
            yield text


def _cut(
    texts: tuple[str, ...], n: int, seed: int, cut: Callable[[str, random.Random], str]
) -> Iterator[str]:
    rng = random.Random(seed)
    order = rng.sample(texts, len(texts))
    for number in range(n):
        yield cut(order[number % len(order)], rng)


def _cut_code(text: str, rng: random.Random) -> str:
    """Break off at the end of a line, somewhere in the allowed lengths."""
    at = rng.randint(_SHORTEST, min(_LONGEST, len(text) - 100))
    return text[: text.rfind("\n", 0, at) + 1]


def _cut_prose(text: str, rng: random.Random) -> str:
    """Break off between two words, somewhere in the allowed lengths."""
    at = rng.randint(_SHORTEST, min(_LONGEST, len(text) - 100))
    return text[: text.rfind(" ", 0, at)]


@cache
def _definitions() -> tuple[str, ...]:
    """Functions and classes of held-out modules, long enough to break off inside."""
    texts = (
        text
        for document in code()
        if document.held_out
        for text in _bodies(document.text)
        if len(text) > _SHORTEST + 300
    )
    return tuple(texts)


def _bodies(source: str) -> Iterator[str]:
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield "".join(lines[node.lineno - 1 : node.end_lineno])


@cache
def _paragraphs() -> tuple[str, ...]:
    """Runs of paragraphs of held-out prose, each beginning where a paragraph does."""
    texts = (
        text
        for document in prose()
        if document.held_out
        for text in _runs(document.text.split("\n\n"))
        if len(text) > _SHORTEST + 300
    )
    return tuple(texts)


def _runs(paragraphs: list[str]) -> Iterator[str]:
    for index in range(0, len(paragraphs), 2):
        yield "\n\n".join(paragraphs[index : index + 12])[: _LONGEST + 200]
