"""The corpus: documents in three content classes, and what is held out.

Everything comes from the running interpreter and from this project's generator; nothing is
downloaded. The same interpreter and the same arguments give the same corpus.
"""

from __future__ import annotations

import ast
import hashlib
import random
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args

from ..agents.world import DIFFICULTIES, STYLES, make_task, plan, transcript

ContentClass = Literal["code", "tool_calls", "prose"]
CLASSES: tuple[ContentClass, ...] = get_args(ContentClass)

HELD_OUT = 0.05
# Tests, what is not the library's own, and what is tables rather than code.
_SKIPPED = {
    *("test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages"),
    *("pydoc_data", "encodings", "msilib", "turtledemo"),
}
_COMMENTS = re.compile(r"(?:^[ \t]*#[^\n]*\n){3,}", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z][a-z]+[,.;]? ")


@dataclass(frozen=True)
class Document:
    """A text of one class, under a name that decides on which side of the split it falls."""

    name: str
    content_class: ContentClass
    text: str

    @property
    def held_out(self) -> bool:
        """Whether it is kept from training."""
        return is_held_out(self.name)


def is_held_out(name: str) -> bool:
    """Whether documents of this name are held out: a function of the name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def interpreter() -> str:
    """Name the interpreter whose library is read."""
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"


@cache
def code() -> tuple[Document, ...]:
    """The standard library's modules, without its tests and what is not its own."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for file in sorted(root.rglob("*.py")):
        inside = file.relative_to(root)
        if _SKIPPED.isdisjoint(inside.parts) and "test" not in inside.name:
            text = file.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
            if len(text) > 200:
                found.append(Document(inside.as_posix(), "code", text))
    return tuple(found)


@cache
def prose() -> tuple[Document, ...]:
    """The language reference's topics, and docstrings and comments that are flowing text.

    These carry the name of their module, so that a module held out as code is held out as prose,
    too.
    """
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    found = [Document(f"topic {name}", "prose", text) for name, text in sorted(topics.items())]
    for module in code():
        texts = [*_docstrings(module.text), *_comments(module.text)]
        texts = [text for text in texts if _flows(text)]
        if texts:
            found.append(Document(module.name, "prose", "\n\n".join(texts) + "\n"))
    return _without_leaks(found)


def tool_calls(seed: int, count: int, *, held_out: bool = False) -> Iterator[Document]:
    """Transcripts of agents that do the right thing: difficulties and styles in turn.

    Args:
        seed: The first task's seed.
        count: How many seeds to go through; about a twentieth of them is held out.
        held_out: Which side of the split to give.
    """
    for number in range(seed, seed + count):
        name = f"task {number}"
        if is_held_out(name) == held_out:
            difficulty = DIFFICULTIES[number % len(DIFFICULTIES)]
            style = STYLES[number // len(DIFFICULTIES) % len(STYLES)]
            task = make_task(number, difficulty)
            yield Document(name, "tool_calls", transcript(task, plan(task), style))


def held_out_seeds(seed: int) -> Iterator[int]:
    """Endless seeds of held-out tasks, far from those that training goes through."""
    rng = random.Random(f"held out {seed}")
    while True:
        number = rng.randrange(10**6, 10**9)
        if is_held_out(f"task {number}"):
            yield number


def tokenizer_texts() -> Iterator[str]:
    """What the tokenizer is trained on: all of code and prose, and some transcripts.

    Transcripts are few (about a tenth), so that the vocabulary is not filled with their names.
    """
    documents = [document for document in (*code(), *prose()) if not document.held_out]
    documents += tool_calls(0, 2000)
    random.Random(0).shuffle(documents)
    return (document.text for document in documents)


def _without_leaks(documents: list[Document]) -> tuple[Document, ...]:
    """Take out of held-out documents every paragraph that a training document has as well.

    The language reference says some things under several topics, and modules share docstrings.
    """
    known = {
        paragraph.strip()
        for document in documents
        if not document.held_out
        for paragraph in document.text.split("\n\n")
    }
    found = []
    for document in documents:
        if document.held_out:
            paragraphs = document.text.split("\n\n")
            own = [text for text in paragraphs if len(text) < 80 or text.strip() not in known]
            if sum(map(len, own)) > 200:
                found.append(replace(document, text="\n\n".join(own)))
        else:
            found.append(document)
    return tuple(found)


def _docstrings(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the library holds a few files that are broken on purpose
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def _comments(source: str) -> Iterator[str]:
    """Blocks of comment lines, without their marks."""
    for block in _COMMENTS.findall(source):
        yield "\n".join(line.strip().lstrip("#").removeprefix(" ") for line in block.splitlines())


def _flows(text: str) -> bool:
    """Whether a docstring is mostly words: not a table, a signature or a doctest."""
    words = sum(len(word) for word in _WORD.findall(text))
    return len(text) > 120 and words > 0.6 * len(text) and ">>>" not in text
