"""Passes that are timed, acceptance that is counted, and chains that generate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...inference.drafters.chain.drafter import ChainDrafter
from ...inference.drafters.chain.level import Level
from ...inference.drafters.chain.tokens import common
from ...inference.drafters.drafter import Ask, Owner
from ...inference.models import family
from ...inference.models.corpus import CLASSES as CONTENTS
from ...inference.models.prompts import prompts
from ...inference.models.tokenizer import load as load_tokenizer
from ...policies.chains.acceptance import ChainAcceptance
from ...policies.chains.load import ChainLoad
from ...policies.chains.times import Pass
from ...policies.spaces import CLASSES, MAX_DEPTH
from .figures import NAMES, Measured
from .options import ChainOptions

WARM: Final = 2
"""Steps of a generation before those that count."""

_WIDTHS: Final = (1, 2, 3, 5, 9)  # tokens per request of the passes that are profiled


@dataclass(frozen=True)
class Text:
    """A tokenized prompt and the number of its content class."""

    tokens: list[int]
    slot: int


@dataclass
class Bench:
    """Everything that is measured.

    Attributes:
        options: how much.
        levels: all models, smallest first, the target among them.
    """

    options: ChainOptions
    levels: Mapping[str, Level]
    acceptance: ChainAcceptance = field(default_factory=ChainAcceptance)

    def profile(self, batch: int) -> list[tuple[str, Pass]]:
        """One timed pass of every model and width."""
        texts = [text.tokens for text in self._texts(batch, 1)]
        shortest = min(map(len, texts))
        texts = [text[:shortest] for text in texts]
        found = []
        for name, level in self.levels.items():
            slots = range(batch)
            _clear(level, batch)
            level.read(slots, texts, [1] * batch)
            for width in _WIDTHS:
                start = time.perf_counter()
                level.read(slots, texts, [width] * batch)
                found.append((name, Pass(batch, width, time.perf_counter() - start)))
        return found

    def count(self) -> None:
        """Count what every model accepts of every smaller one, along its own text."""
        names = list(self.levels)
        batch = max(self.options.batches)
        pairs = [(a, b) for k, b in enumerate(names) for a in names[:k]]
        for number, pair in enumerate(pairs):
            self._count(pair, self._texts(batch, 100 + number))

    def load(self, batch: int) -> ChainLoad:
        """The requests of all visits together."""
        rounds = range(self.options.rounds)
        slots = [text.slot for number in rounds for text in self._visited(batch, number)]
        return ChainLoad(batch=batch, shares=np.bincount(slots, minlength=CLASSES) / len(slots))

    def visit(self, measured: Measured, number: int) -> None:
        """Generate with a chain for some steps, from the prompts of a number."""
        batch = measured.batch
        drafter = ChainDrafter([self.levels[name] for name in NAMES[:-1]], measured.plan)
        for level in self.levels.values():
            _clear(level, batch)
        texts = {str(k): text.tokens for k, text in enumerate(self._visited(batch, number))}
        for name, text in texts.items():
            drafter.begin(name, text, Owner(name))
        for step in range(-WARM, self.options.steps):
            start = time.perf_counter()
            emitted = self._step(drafter, texts)
            took = time.perf_counter() - start
            if step >= 0:
                measured.seconds.append(took)
                measured.tokens.append(emitted / batch)

    def _step(self, drafter: ChainDrafter, texts: dict[str, list[int]]) -> int:
        """Draft, verify and accept; the tokens emitted."""
        drafts = drafter.propose([Ask(name, MAX_DEPTH) for name in texts])
        emitted = self._verify(self.levels[NAMES[-1]], list(texts.values()), drafts)
        for name, tokens in zip(texts, emitted, strict=True):
            texts[name] = texts[name] + tokens
            drafter.extend(name, tokens)
        return sum(map(len, emitted))

    def _verify(
        self, level: Level, texts: Sequence[list[int]], drafts: Sequence[list[int]]
    ) -> list[list[int]]:
        """What a model keeps of drafts, and its own next token."""
        whole = [text + draft for text, draft in zip(texts, drafts, strict=True)]
        ends = [len(draft) + 1 for draft in drafts]
        said = level.read(range(len(texts)), whole, ends)
        return [own[: common(draft, own) + 1] for draft, own in zip(drafts, said, strict=True)]

    def _count(self, pair: tuple[str, str], texts: Sequence[Text]) -> None:
        lower, upper = (self.levels[name] for name in pair)
        rows = [text.tokens for text in texts]
        for level in (lower, upper):
            _clear(level, len(rows))
        for _ in range(self.options.steps):
            drafts = lower.draft(range(len(rows)), rows, MAX_DEPTH)
            emitted = self._verify(upper, rows, drafts)
            for text, tokens in zip(texts, emitted, strict=True):
                self.acceptance.add_run(pair, text.slot, MAX_DEPTH, len(tokens) - 1)
            rows = [row + tokens for row, tokens in zip(rows, emitted, strict=True)]

    def _visited(self, batch: int, number: int) -> list[Text]:
        """The prompts of a visit; those of small batches are of another class each time."""
        return self._texts(batch + len(CONTENTS), 10 + number)[number % len(CONTENTS) :][:batch]

    def _texts(self, batch: int, number: int) -> list[Text]:
        """Prompts of all content classes in turn, the same for the same numbers."""
        tokenizer = load_tokenizer(family.path(family.TARGET))
        each = -(-batch // len(CONTENTS))
        seed = 1000 * self.options.seed + number
        found = [
            Text(tokenizer.encode(prompt.text).ids[-self.options.tokens :], slot)
            for group in zip(*(prompts(c, each, seed) for c in CONTENTS), strict=True)
            for slot, prompt in enumerate(group)
        ]
        return found[:batch]


def _clear(level: Level, batch: int) -> None:
    for slot in range(batch):
        level.clear(slot)
