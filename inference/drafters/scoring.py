"""What a draft would have brought: told from what was emitted, whichever was verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Score(NamedTuple):
    """What is known of a draft.

    Attributes:
        tried: positions of which it is known whether they would have been accepted: those up to the
            first that would not, as far as the target emitted.
        accepted: how many of them would have been, tried or one less.
    """

    tried: int
    accepted: int


def score(drafted: Sequence[int], emitted: Sequence[int]) -> Score:
    """Score a draft by what the target then emitted.

    Every drafter's draft can be scored so at every step: a target that verified another draft, or
    none, emitted what it would have accepted of this one. Exact for greedy requests; for sampled
    ones the draft is scored against the sample, which accepts as often as sampling itself would.

    Args:
        drafted: tokens, the first for the place of the first emitted.
        emitted: tokens, in one step or more.
    """
    for at, (one, other) in enumerate(zip(drafted, emitted, strict=False)):
        if one != other:
            return Score(at + 1, at)
    known = min(len(drafted), len(emitted))
    return Score(known, known)
