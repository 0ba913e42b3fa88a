"""Passes that are timed, acceptance that is counted, and chains that generate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

STRIDE: Final = 4
"""Tokens of the target's own from one count of what is accepted to the next."""

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

    def profile(self, batch: int, number: int = 0) -> list[tuple[str, Pass]]:
        """One timed pass of every model and width, on the prompts of a visit.

        The models take turns, as they do in a chain: each finds the others' weights in the caches.
        """
        texts = [text.tokens for text in self._visited(batch, number)]
        slots = range(batch)
        found = []
        self._clear(batch)
        for level in self.levels.values():
            level.read(slots, texts, [1] * batch)
        for width in _WIDTHS:
            for name, level in self.levels.items():
                start = time.perf_counter()
                level.read(slots, texts, [width] * batch)
                found.append((name, Pass(batch, width, time.perf_counter() - start)))
        return found

    def acceptance(self, batch: int) -> ChainAcceptance:
        """What every model accepts of every smaller one, on the prompts of all visits.

        It is counted along the target's own text: in a chain, too, that is what goes on.
        """
        counted = ChainAcceptance()
        target = self.levels[NAMES[-1]]
        for number in range(self.options.rounds):
            texts = self._visited(batch, number)
            self._clear(batch)
            rows, slots = [text.tokens for text in texts], range(batch)
            rest = target.draft(slots, rows, STRIDE * self.options.steps)
            for end in range(0, STRIDE * self.options.steps, STRIDE):
                so_far = [row + more[:end] for row, more in zip(rows, rest, strict=True)]
                self._count(counted, so_far, [text.slot for text in texts])
        return counted

    def load(self, batch: int) -> ChainLoad:
        """The requests of all visits together."""
        rounds = range(self.options.rounds)
        slots = [text.slot for number in rounds for text in self._visited(batch, number)]
        return ChainLoad(batch=batch, shares=np.bincount(slots, minlength=CLASSES) / len(slots))

    def visit(self, measured: Measured, number: int) -> None:
        """Generate with a chain for some steps, from the prompts of a number."""
        batch = measured.batch
        drafter = ChainDrafter([self.levels[name] for name in NAMES[:-1]], measured.plan)
        self._clear(batch)
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

    def _count(
        self, counted: ChainAcceptance, texts: Sequence[list[int]], slots: Sequence[int]
    ) -> None:
        names = list(self.levels)
        for k, lower in enumerate(names[:-1]):
            drafts = self.levels[lower].draft(range(len(texts)), texts, MAX_DEPTH)
            for upper in names[k + 1 :]:
                kept = self._verify(self.levels[upper], texts, drafts)
                for slot, tokens in zip(slots, kept, strict=True):
                    counted.add_run((lower, upper), slot, MAX_DEPTH, len(tokens) - 1)

    def _clear(self, batch: int) -> None:
        for level in self.levels.values():
            for slot in range(batch):
                level.clear(slot)

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
