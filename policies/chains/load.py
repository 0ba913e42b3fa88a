"""What a chain is chosen for: the requests that are running, and the models there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from ..spaces import CLASSES
from ..transition import Floats
from .acceptance import Pair
from .times import PassTimes


@dataclass(frozen=True, kw_only=True)
class ChainLoad:
    """The requests that are running.

    Attributes:
        batch: how many, at least 1.
        shares: of them in each class, shape (CLASSES,), summing to 1.
        remaining: tokens that each has yet to get, on average: over how many a change of chains
            must pay.
        lags: by model, committed tokens per request that its cache does not hold yet, on average;
            models that are not named lag by nothing.

    Raises:
        ValueError: naming what is wrong.
    """

    batch: float
    shares: Floats
    remaining: float = 100.0
    lags: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.batch >= 1.0:
            raise ValueError(f"a load has at least 1 request, not {self.batch}")
        if self.shares.shape != (CLASSES,) or not np.isclose(self.shares.sum(), 1.0):
            raise ValueError(f"shares of {CLASSES} classes must sum to 1, not {self.shares}")


@dataclass(frozen=True)
class Family:
    """Models on one tokenizer.

    Attributes:
        models: names, smallest first; the last is the target.
        times: of each, seconds of its forward passes.
        memory: of each, bytes of weights and cache; models that are not named take none.
        packed: whether the target's passes hold each request's own proposal, as engines do, or
            all are padded to the longest.

    Raises:
        ValueError: without a target, or where a model has no times.
    """

    models: Sequence[str]
    times: Mapping[str, PassTimes]
    memory: Mapping[str, int] = field(default_factory=dict)
    packed: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("a family needs its target at least")
        if missing := [name for name in self.models if name not in self.times]:
            raise ValueError(f"no times of {', '.join(missing)}")

    @property
    def target(self) -> str:
        """Who verifies last."""
        return self.models[-1]

    @property
    def drafters(self) -> Sequence[str]:
        """All others, smallest first."""
        return self.models[:-1]

    def chains(self) -> list[tuple[str, ...]]:
        """Every chain, the empty one first; within each, smallest first."""
        lengths = range(len(self.drafters) + 1)
        return [chain for length in lengths for chain in combinations(self.drafters, length)]

    def pairs(self) -> list[Pair]:
        """All that may follow each other."""
        return list(combinations(self.models, 2))

    def needs(self, chain: Sequence[str]) -> int:
        """Bytes that a chain takes, the target not among them."""
        return sum(self.memory.get(name, 0) for name in chain)


Survivals = Mapping[Pair, Floats]
"""P(positions 1..k all accepted) by pair, each of shape (CLASSES, MAX_DEPTH)."""
