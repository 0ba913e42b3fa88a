"""Chains of the embedded family, offline: predicted against measured seconds per token.

The target is a transformers model as well, so that nothing but the chain is in what is measured.
Times are profiled and acceptance is counted on prompts of their own; then every chain generates
from others. Passes and chains are visited in turn, in several rounds, so that what a shared machine
does meanwhile falls on both alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..inference.drafters.chain.drafter import ChainDrafter
from ..inference.drafters.chain.level import Level
from ..inference.drafters.chain.loading import load_level
from ..inference.drafters.chain.tokens import common
from ..inference.drafters.drafter import Ask, Owner
from ..inference.models import family
from ..inference.models.corpus import CLASSES as CONTENTS
from ..inference.models.prompts import prompts
from ..inference.models.tokenizer import load as load_tokenizer
from ..policies.chains.acceptance import ChainAcceptance
from ..policies.chains.load import ChainLoad, Family
from ..policies.chains.plan import Plan
from ..policies.chains.planner import ChainPlanner
from ..policies.chains.prediction import Prediction, predict
from ..policies.chains.times import Pass, fit_times
from ..policies.spaces import CLASSES, MAX_DEPTH

NAMES: Final = (family.DRAFT, family.MIDDLE, family.TARGET)
"""Smallest first."""

_WIDTHS: Final = (1, 2, 3, 5, 9)  # tokens per request of the passes that are profiled
_WARM: Final = 2  # steps of a generation before those that count
_TRIM: Final = 0.1  # share of slowest and of fastest passes that is left out


@dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """Every option.

    Raises:
        ValueError: naming the option that is out of range.
    """

    batches: tuple[int, ...] = (1, 4, 16)
    """requests at a time"""
    rounds: int = 6
    """visits to every pass and chain"""
    steps: int = 16
    """target passes of a visit to a chain"""
    tokens: int = 160
    """of a prompt, at most"""
    seed: int = 0
    """of the prompts"""

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise ValueError(f"batches must be at least 1, not {self.batches}")
        if min(self.rounds, self.steps) < 1 or not 1 <= self.tokens <= 1024:
            raise ValueError(
                "rounds and steps must be at least 1, and tokens in [1, 1024], not "
                f"{self.rounds}, {self.steps} and {self.tokens}"
            )


@dataclass(frozen=True)
class Text:
    """A tokenized prompt and the number of its content class."""

    tokens: list[int]
    slot: int


@dataclass
class Measured:
    """A chain at a batch size: what was predicted and what came of it.

    Attributes:
        batch: requests at a time.
        plan: the chain, and its windows.
        prediction: of its steps.
        seconds: of each step.
        tokens: emitted per request in each step.
    """

    batch: int
    plan: Plan
    prediction: Prediction
    seconds: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    @property
    def per_token(self) -> float:
        """Measured seconds per token of each request."""
        return trimmed(self.seconds) / float(np.mean(self.tokens))

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return abs(self.prediction.per_token / self.per_token - 1.0)


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
        for step in range(-_WARM, self.options.steps):
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


def run(options: ChainOptions, progress: Callable[[str], None] = lambda _: None) -> list[Measured]:
    """Profile, count and measure everything.

    Args:
        options: how much.
        progress: is told what goes on.
    """
    bench = Bench(options, _levels(options))
    progress("counting what is accepted")
    bench.count()
    found: list[Measured] = []
    for batch in options.batches:
        progress(f"batch {batch}")
        found += _compare(bench, batch)
    return found


def figures(found: Sequence[Measured]) -> dict[str, float]:
    """What a result says of them.

    ``chain_prediction_error`` is the mean relative error over chains and batch sizes,
    ``..._worst`` the greatest; ``chain_three_over_two_B`` the seconds per token of the chain of all
    models over those of the best one with one drafter, at batch size B.
    """
    errors = [measured.error for measured in found]
    out = {
        "chain_prediction_error": float(np.mean(errors)),
        "chain_prediction_error_worst": max(errors),
    }
    for batch in sorted({measured.batch for measured in found}):
        mine = [measured for measured in found if measured.batch == batch]
        by_length = {
            length: min(m.per_token for m in mine if len(m.plan.models) == length)
            for length in (1, len(NAMES) - 1)
        }
        out[f"chain_three_over_two_{batch}"] = by_length[len(NAMES) - 1] / by_length[1]
    return out


def trimmed(values: Sequence[float]) -> float:
    """Mean without the greatest and the least."""
    ordered = np.sort(values)
    cut = int(_TRIM * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())


def _compare(bench: Bench, batch: int) -> list[Measured]:
    """Every chain at a batch size."""
    load = bench.load(batch)
    bench.profile(batch)
    passes = bench.profile(batch)
    # Windows are planned by a first look; what they take is predicted from all that is measured.
    table = ChainPlanner(_family(passes)).table(load, bench.acceptance)
    found = [Measured(batch, candidate.plan, candidate.prediction) for candidate in table]
    for number in range(bench.options.rounds):
        for measured in found:
            passes += bench.profile(batch)
            bench.visit(measured, number)
    models = _family(passes)
    survivals = {pair: bench.acceptance.survival(pair) for pair in models.pairs()}
    for measured in found:
        measured.prediction = predict(measured.plan, models, load, survivals)
    return found


def _clear(level: Level, batch: int) -> None:
    for slot in range(batch):
        level.clear(slot)


def _family(passes: Sequence[tuple[str, Pass]]) -> Family:
    """Times of all models at one batch size."""
    cells: dict[tuple[str, int, int], list[float]] = {}
    for name, one in passes:
        cells.setdefault((name, one.batch, one.tokens), []).append(one.seconds)
    means = [
        (name, Pass(batch, tokens, trimmed(seconds)))
        for (name, batch, tokens), seconds in cells.items()
    ]
    times = {name: fit_times(one for other, one in means if other == name) for name in NAMES}
    return Family(NAMES, times)


def _levels(options: ChainOptions) -> dict[str, Level]:
    """All models, with room for what any visit writes."""
    capacity = options.tokens + (options.steps + _WARM + 1) * (MAX_DEPTH + 1)
    slots = max(*options.batches, len(CONTENTS))
    return {name: load_level(name, family.path(name), slots, capacity) for name in NAMES}
