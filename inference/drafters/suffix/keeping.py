"""Keeping generations few and bounded: merging small into large, dropping what is least used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .generation import Generation, least_used, merged, without

RATIO: Final = 4
"""A generation is merged into the next older one unless that is so many times larger."""
SLACK: Final = 0.9
"""What is full is emptied to this share, so that not every addition drops something."""

Generations = tuple[Generation, ...]
"""Newest first."""


def compact(generations: Generations) -> Generations:
    """Merge until every generation is ``RATIO`` times as large as the next newer one."""
    kept = list(generations)
    at = 0
    while at + 1 < len(kept):
        newer, older = kept[at], kept[at + 1]
        if len(older) < RATIO * len(newer):
            kept[at : at + 2] = [merged(older, newer)]
            at = max(at - 1, 0)
        else:
            at += 1
    return tuple(kept)


def evict(generations: Generations, tokens: int) -> Generations:
    """Drop so many tokens: the oldest generation's least used documents first."""
    kept = list(generations)
    while tokens > 0 and kept:
        oldest = kept.pop()
        left = without(oldest, least_used(oldest, tokens))
        tokens -= len(oldest) - len(left)
        if len(left):
            kept.append(left)
    return tuple(kept)


def size(generations: Generations) -> int:
    """Tokens in all of them."""
    return sum(map(len, generations))


def largest(stores: Mapping[str, Generations]) -> str:
    """Whose store is largest: it is the one that has to give."""
    return max(stores, key=lambda tenant: size(stores[tenant]))
