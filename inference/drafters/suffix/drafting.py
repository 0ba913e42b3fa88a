"""From matches to a draft: token by token, what most followed, while it is likely enough."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ....policies.compiling import compiled
from ....policies.transition import Floats
from .tokens import BOUNDARY, LONGEST, SOURCES, Integers, Tokens
from .trust import LENGTHS, cell, length_range

Flags = npt.NDArray[np.bool_]

CLOSENESS: Final = 0.5
"""Weight of a match relative to one of the same source that is a token longer."""
SURE: Final = 0.98
"""Most that a source's odds are taken for."""


@compiled
def draft(
    ahead: Tokens,
    about: Integers,
    count: int,
    right: Floats,
    chance: Floats,
    frailty: float,
    threshold: float,
    tokens: Tokens,
    survival: Floats,
    cells: Integers,
    used: Integers,
    guesses: Integers,
) -> int:
    """Draft from matches.

    Sources vote with their odds of being right, matches within one by how much of the context
    they agree with: near the longest, by counts. A match that continues as drafted is a
    token longer at each position, one that does not is left.

    Args:
        ahead: what followed each match (``Matches``).
        about: what is known of each.
        count: how many matches there are.
        right: how far sources are trusted (``Trust``).
        chance: P(accepted) by cell (``Trust``).
        frailty: multiplier on the hazards of this request.
        threshold: survival below which the draft ends.
        tokens: where the draft goes, shape (depth,).
        survival: where P(this and all before are accepted) goes, shape (depth,).
        cells: where their cells go, shape (depth,).
        used: where the memory and document that each token is from go, shape (depth, 2).
        guesses: where each source's own first token goes (``Trust.judge``), shape (SOURCES, 2).

    Returns:
        How many tokens the draft has.
    """
    alive = np.ones(count, np.bool_)
    weights = np.empty(count)
    closeness = CLOSENESS ** (LONGEST - about[:count, 0]).astype(np.float64)
    guesses[:, 0] = -1
    alone = 1.0
    for j in range(len(tokens)):
        _weigh(ahead, about, alive, closeness, j, right, weights)
        if j == 0:
            _guess(ahead, about, alive, guesses)
        best, share, support = _most(ahead, alive, weights, j)
        if best < 0:
            return j
        token = ahead[best, j]
        which = cell(about[best, 1], about[best, 0] + j, share, support)
        alone *= max(1.0 - frailty * (1.0 - chance[which]), 0.0)
        if alone < threshold:
            return j
        tokens[j], survival[j], cells[j] = token, alone, which
        used[j, 0], used[j, 1] = about[best, 2], about[best, 3]
        for k in range(count):
            alive[k] = alive[k] and ahead[k, j] == token
    return len(tokens)


@compiled
def _weigh(
    ahead: Tokens,
    about: Integers,
    alive: Flags,
    closeness: Floats,
    j: int,
    right: Floats,
    weights: Floats,
) -> None:
    """The weight of every match that goes on to position j; those that do not are left."""
    longest = np.zeros(SOURCES, np.int64)
    factors = np.zeros(SOURCES)
    for k in range(len(alive)):
        alive[k] = alive[k] and ahead[k, j] != BOUNDARY
        if alive[k]:
            source = about[k, 1]
            longest[source] = max(longest[source], about[k, 0])
            factors[source] += closeness[k]
    for source in range(SOURCES):
        if longest[source] > 0:
            trusted = min(right[source * LENGTHS + length_range(longest[source] + j)], SURE)
            factors[source] = trusted / (1.0 - trusted) / factors[source]
    for k in range(len(alive)):
        if alive[k]:
            weights[k] = closeness[k] * factors[about[k, 1]]


@compiled
def _guess(ahead: Tokens, about: Integers, alive: Flags, guesses: Integers) -> None:
    """What followed the longest match of every source; of equals, the one noted first."""
    longest = np.zeros(SOURCES, np.int64)
    for k in range(len(alive)):
        source, length = about[k, 1], about[k, 0]
        if alive[k] and length > longest[source]:
            longest[source] = length
            guesses[source, 0] = ahead[k, 0]
            guesses[source, 1] = source * LENGTHS + length_range(length)


@compiled
def _most(ahead: Tokens, alive: Flags, weights: Floats, j: int) -> tuple[int, float, int]:
    """The heaviest match of the token that weighs most, or -1; its share; how many have it."""
    total, most, best, support = 0.0, 0.0, -1, 0
    for k in range(len(alive)):
        if not alive[k]:
            continue
        total += weights[k]
        weight, heaviest, others, first = 0.0, k, 0, True
        for i in range(len(alive)):
            if alive[i] and ahead[i, j] == ahead[k, j]:
                first = first and i >= k
                weight += weights[i]
                others += 1
                if weights[i] > weights[heaviest]:
                    heaviest = i
            if not first:
                break
        if first and weight > most:
            most, best, support = weight, heaviest, others
    return best, most / total if total > 0.0 else 0.0, support
