"""From matches to a draft: token by token, what most followed, while it is likely enough."""

from __future__ import annotations

from typing import Final

import numpy as np

from ....policies.compiling import compiled
from ....policies.transition import Floats
from .tokens import BOUNDARY, LONGEST, SOURCES, Integers, Tokens
from .trust import LENGTHS, cell, length_range

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
    alive = np.arange(count)
    weights = np.empty(count)
    closeness = CLOSENESS ** (LONGEST - about[:count, 0]).astype(np.float64)
    guesses[:, 0] = -1
    alone = 1.0
    for j in range(len(tokens)):
        alive = alive[: _keep(ahead, alive, j, BOUNDARY, False)]
        if len(alive) == 0:
            return j
        if j == 0:
            _guess(ahead, about, alive, guesses)
        _weigh(about, alive, closeness, j, right, weights)
        best, share, support = _most(ahead, alive, weights, j)
        token = ahead[best, j]
        which = cell(about[best, 1], about[best, 0] + j, share, support)
        alone *= max(1.0 - frailty * (1.0 - chance[which]), 0.0)
        if alone < threshold:
            return j
        tokens[j], survival[j], cells[j] = token, alone, which
        used[j, 0], used[j, 1] = about[best, 2], about[best, 3]
        alive = alive[: _keep(ahead, alive, j, token, True)]
    return len(tokens)


@compiled
def _keep(ahead: Tokens, alive: Integers, j: int, token: int, has: bool) -> int:
    """Move those to the front that have a token at position j, or have not; returns how many."""
    count = 0
    for k in alive:
        if (ahead[k, j] == token) == has:
            alive[count] = k
            count += 1
    return count


@compiled
def _weigh(
    about: Integers, alive: Integers, closeness: Floats, j: int, right: Floats, weights: Floats
) -> None:
    """The weight at position j of every match that goes on."""
    longest = np.zeros(SOURCES, np.int64)
    factors = np.zeros(SOURCES)
    for k in alive:
        source = about[k, 1]
        longest[source] = max(longest[source], about[k, 0])
        factors[source] += closeness[k]
    for source in range(SOURCES):
        if longest[source] > 0:
            trusted = min(right[source * LENGTHS + length_range(longest[source] + j)], SURE)
            factors[source] = trusted / (1.0 - trusted) / factors[source]
    for k in alive:
        weights[k] = closeness[k] * factors[about[k, 1]]


@compiled
def _guess(ahead: Tokens, about: Integers, alive: Integers, guesses: Integers) -> None:
    """What followed the longest match of every source; of equals, the one noted first."""
    longest = np.zeros(SOURCES, np.int64)
    for k in alive:
        source, length = about[k, 1], about[k, 0]
        if length > longest[source]:
            longest[source] = length
            guesses[source, 0] = ahead[k, 0]
            guesses[source, 1] = source * LENGTHS + length_range(length)


@compiled
def _most(ahead: Tokens, alive: Integers, weights: Floats, j: int) -> tuple[int, float, int]:
    """The heaviest match of the token that weighs most; its share; how many have it.

    Args:
        ahead: what followed each match.
        alive: at least one match.
        weights: of each.
        j: the position.
    """
    total, most, best, support = 0.0, -1.0, alive[0], 0
    for place, k in enumerate(alive):
        total += weights[k]
        weight, heaviest, others, first = 0.0, k, 0, True
        for earlier, i in enumerate(alive):
            if ahead[i, j] == ahead[k, j]:
                first = first and earlier >= place
                if not first:
                    break
                weight += weights[i]
                others += 1
                if weights[i] > weights[heaviest]:
                    heaviest = i
        if first and weight > most:
            most, best, support = weight, heaviest, others
    return best, most / total, support
