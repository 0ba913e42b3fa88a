"""Matches of a context's end: what followed each, and how far it agrees."""

from __future__ import annotations

from typing import Final

import numpy as np

from ....policies.compiling import compiled
from .tokens import (
    AHEAD,
    BOUNDARY,
    NO_SESSION,
    OWN,
    OWN_DOCUMENT,
    SESSION,
    STORE,
    Integers,
    Tokens,
    Whole,
)

MOST: Final = 256
"""Matches looked at for one draft."""


class Matches:
    """The matches for one draft; made once and used again.

    Attributes:
        ahead: what followed, ended by ``BOUNDARY`` where nothing did, shape (MOST, AHEAD).
        about: by match: tokens that agree before it; its source; the number of the memory
            it was found in; the number of its document there; shape (MOST, 4).
        count: how many there are.
        depth: tokens looked at of what followed each, at most AHEAD.
    """

    def __init__(self) -> None:
        self.ahead: Tokens = np.zeros((MOST, AHEAD), np.uint32)
        self.about: Integers = np.zeros((MOST, 4), np.int64)
        self.count = 0
        self.depth = AHEAD

    def clear(self, depth: int) -> None:
        """Begin anew, for a draft of at most so many tokens."""
        self.count, self.depth = 0, min(depth, AHEAD)


@compiled
def note_match(
    tokens: Tokens,
    size: int,
    at: Whole,
    length: int,
    starts: Integers,
    sessions: Integers,
    session: int,
    memory: int,
    depth: int,
    ahead: Tokens,
    about: Integers,
    count: int,
) -> int:
    """Note a match that continues at a position; returns how many matches there are then."""
    if count >= MOST:
        return count
    document = np.searchsorted(starts, at, side="right") - 1
    of = sessions[document]
    if of == OWN_DOCUMENT:
        source = OWN
    elif session != NO_SESSION and session == of:
        source = SESSION
    else:
        source = STORE
    about[count, 0] = length
    about[count, 1] = source
    about[count, 2] = memory
    about[count, 3] = document
    most = min(depth, size - at)
    for j in range(most):
        ahead[count, j] = tokens[at + j]
        if tokens[at + j] == BOUNDARY:
            return count + 1
    if most < depth:
        ahead[count, most] = BOUNDARY
    return count + 1
