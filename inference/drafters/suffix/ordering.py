"""Positions of tokens, sorted by what stands before each: sorting, merging and searching, compiled.

A suffix array (Manber and Myers 1990) of the text read backwards, its order bounded at ``LONGEST``
tokens: one binary search finds where the end of a context occurs, and how much of it. Equals are
in the order of their positions. Sorting is merging, so that generations are merged by the same
function.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ....policies.compiling import compiled
from .matches import note_match
from .tokens import BOUNDARY, LONGEST, Integers, Tokens, Whole

Order = npt.NDArray[np.uint32]

MOST_PER_GENERATION: Final = 16
"""Matches taken of one generation, spread evenly over all that are equally long."""


@compiled
def _after(tokens: Tokens, one: int, other: int) -> bool:
    """Whether one position comes after another; the first token is a ``BOUNDARY``."""
    for j in range(1, LONGEST + 1):
        a, b = tokens[one - j], tokens[other - j]
        if a != b:
            return bool(a > b)
        if a == BOUNDARY:
            break
    return one > other


@compiled
def merge(tokens: Tokens, order: Order, begin: int, middle: int, end: int, into: Order) -> None:
    """Merge two sorted runs of positions, of which the first's are the lower ones on a tie.

    Args:
        tokens: what the positions are in.
        order: the runs: from ``begin`` to ``middle`` and from there to ``end``.
        begin: where the first begins.
        middle: where the second begins.
        end: where it ends.
        into: what they are merged into, at the same places.
    """
    left, right = begin, middle
    for at in range(begin, end):
        if right >= end or (left < middle and not _after(tokens, order[left], order[right])):
            into[at] = order[left]
            left += 1
        else:
            into[at] = order[right]
            right += 1


@compiled
def sort(tokens: Tokens) -> Order:
    """Sort all positions that have a token and one before it in their document.

    Args:
        tokens: documents, a ``BOUNDARY`` before each.
    """
    order = np.empty(len(tokens), np.uint32)
    count = 0
    for at in range(2, len(tokens)):
        if tokens[at] != BOUNDARY and tokens[at - 1] != BOUNDARY:
            order[count] = at
            count += 1
    order = order[:count].copy()
    other = np.empty_like(order)
    run = 1
    while run < count:
        for begin in range(0, count, 2 * run):
            merge(tokens, order, begin, min(begin + run, count), min(begin + 2 * run, count), other)
        order, other = other, order
        run *= 2
    return order


@compiled
def _agreement(tokens: Tokens, at: Whole, context: Tokens, known: int) -> int:
    """How many tokens before a position are the context's last, at least those known."""
    size = len(context)
    length = known
    while length < size and tokens[at - 1 - length] == context[size - 1 - length]:
        length += 1
    return length


@compiled
def _locate(tokens: Tokens, order: Order, context: Tokens) -> tuple[int, int]:
    """Where the context would stand in the order, and the longest agreement, which is beside it."""
    size = len(context)
    low, high = 0, len(order)
    below = above = 0
    while low < high:
        middle = (low + high) // 2
        at = np.int64(order[middle])
        length = _agreement(tokens, at, context, min(below, above))
        if length < size and tokens[at - 1 - length] > context[size - 1 - length]:
            high, above = middle, length
        else:
            low, below = middle + 1, length
    return low, max(below, above)


@compiled
def _edge(tokens: Tokens, order: Order, context: Tokens, begin: int, step: int, length: int) -> int:
    """How many positions in a row agree so far, from ``begin`` on in the direction of ``step``.

    Looks twice as far each time, then halves (Bentley and Yao 1976).
    """
    room = len(order) - begin if step > 0 else begin + 1
    inside, outside = 0, 1
    while outside <= room and (
        _agreement(tokens, np.int64(order[begin + step * (outside - 1)]), context, 0) >= length
    ):
        inside, outside = outside, 2 * outside
    outside = min(outside, room + 1)
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if _agreement(tokens, np.int64(order[begin + step * (middle - 1)]), context, 0) >= length:
            inside = middle
        else:
            outside = middle
    return inside


@compiled
def find(
    tokens: Tokens,
    order: Order,
    starts: Integers,
    sessions: Integers,
    context: Tokens,
    session: int,
    memory: int,
    depth: int,
    ahead: Tokens,
    about: Integers,
    count: int,
) -> int:
    """Note the longest matches of a context's end.

    Returns:
        How many matches there are then.
    """
    place, length = _locate(tokens, order, context)
    if length == 0:
        return count
    begin = place - _edge(tokens, order, context, place - 1, -1, length)
    end = place + _edge(tokens, order, context, place, 1, length)
    taken = min(end - begin, MOST_PER_GENERATION)
    for nth in range(taken):
        # The newest of equals comes last, and is always among those taken.
        at = np.int64(order[end - 1 - nth * (end - begin) // taken])
        count = note_match(
            *(tokens, len(tokens), at, length, starts, sessions, session, memory, depth),
            *(ahead, about, count),
        )
    return count
