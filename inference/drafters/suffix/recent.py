"""Memory of what is new: tokens behind hash chains, at once searchable.

The last tokens before a position, 4, 2 or 1 of them, are a key; the positions of a key are
chained from the newest to the oldest, as in LZ77 compressors (Deflate, RFC 1951). How long the
matches of a chain's newest are is found by looking at each.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ....policies.compiling import compiled
from .matches import Matches, note_match
from .tokens import BOUNDARY, LONGEST, Integers, Tokens, Whole

Links = npt.NDArray[np.int32]

KEYS: Final = (4, 2, 1)
"""Tokens of the keys, longest first."""
STEPS: Final = (32, 12, 8)
"""Positions looked at per key."""
ENOUGH: Final = 4
"""Shorter keys are looked at only while there are fewer matches than this."""


class Recent:
    """Documents behind hash chains.

    Attributes:
        tokens: the documents, a ``BOUNDARY`` before each; the first ``size`` are in use.
        size: how many.
        starts: first position of every document, shape (documents,).
        sessions: the session of every document, shape (documents,).
        uses: tokens drafted from each and accepted, shape (documents,).
    """

    LEAST: Final = 256
    """Room to begin with, tokens."""

    def __init__(self, room: int = 0) -> None:
        self.size = 0
        self.starts: Integers = np.zeros(0, np.int64)
        self.sessions: Integers = np.zeros(0, np.int64)
        self.uses: Integers = np.zeros(0, np.int64)
        self.tokens: Tokens = np.zeros(0, np.uint32)
        self._make_room(max(self.LEAST, room))

    def add(self, tokens: Tokens, session: int) -> None:
        """Begin a document."""
        self.starts = np.append(self.starts, np.int64(self.size + 1))
        self.sessions = np.append(self.sessions, np.int64(session))
        self.uses = np.append(self.uses, np.int64(0))
        self._append(np.concatenate((np.array([BOUNDARY], np.uint32), tokens)))

    def extend(self, tokens: Tokens) -> None:
        """Go on with the newest document."""
        self._append(tokens)

    def end(self, length: int) -> Tokens:
        """The newest document's last tokens: as many as asked for, or all there are."""
        return self.tokens[max(int(self.starts[-1]), self.size - length) : self.size]

    def find(self, context: Tokens, session: int, memory: int, matches: Matches) -> None:
        """Note the matches of a context's end.

        Args:
            context: its last tokens, at most ``LONGEST``.
            session: the session of the request it is of.
            memory: the number of this memory in the matches.
            matches: where to.
        """
        matches.count = _find(
            self.tokens,
            self.size,
            self._links,
            self._heads,
            self.starts,
            self.sessions,
            context,
            session,
            memory,
            matches.depth,
            matches.ahead,
            matches.about,
            matches.count,
        )

    def nbytes(self) -> int:
        """Memory that is taken."""
        return self.tokens.nbytes + self._links.nbytes + self._heads.nbytes

    def _append(self, tokens: Tokens) -> None:
        size = self.size + len(tokens)
        if size > len(self.tokens):
            self._make_room(size)
        self.tokens[self.size : size] = tokens
        _link(self.tokens, self.size, size, self._links, self._heads)
        self.size = size

    def _make_room(self, size: int) -> None:
        room = 1 << (size - 1).bit_length()
        tokens: Tokens = np.empty(room, np.uint32)
        tokens[: self.size] = self.tokens[: self.size]
        self.tokens = tokens
        self._links: Links = np.empty((len(KEYS), room), np.int32)
        self._heads: Links = np.full((len(KEYS), room), -1, np.int32)
        _link(self.tokens, 0, self.size, self._links, self._heads)


@compiled
def _key(tokens: Tokens, at: int, length: int, room: int) -> Whole:
    """Where the chain of the tokens before a position begins; -1 where they are too few."""
    if at < length:
        return -1
    mixed = np.uint64(length)
    for j in range(at - length, at):
        if tokens[j] == BOUNDARY:
            return -1
        mixed = (mixed ^ np.uint64(tokens[j])) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.int64(mixed & np.uint64(room - 1))


@compiled
def _link(tokens: Tokens, begin: int, end: int, links: Links, heads: Links) -> None:
    """Chain the positions from ``begin`` to before ``end``."""
    room = heads.shape[1]
    for which, length in enumerate(KEYS):
        for at in range(begin, end):
            if tokens[at] != BOUNDARY:
                key = _key(tokens, at, length, room)
                if key >= 0:
                    links[which, at] = heads[which, key]
                    heads[which, key] = at


@compiled
def _agreement(tokens: Tokens, at: Whole, context: Tokens) -> int:
    """How many tokens before a position are the context's last."""
    size = len(context)
    length = 0
    while length < size and tokens[at - 1 - length] == context[size - 1 - length]:
        length += 1
    return length


@compiled
def _find(
    tokens: Tokens,
    size: int,
    links: Links,
    heads: Links,
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
    before = count
    above = LONGEST + 1
    for which, length in enumerate(KEYS):
        key = _key(context, len(context), length, heads.shape[1])
        if key < 0:
            continue
        at = np.int64(heads[which, key])
        for _ in range(STEPS[which]):
            if at < 0:
                break
            agreed = _agreement(tokens, at, context)
            if length <= agreed < above:
                count = note_match(
                    *(tokens, size, at, agreed, starts, sessions, session, memory, depth),
                    *(ahead, about, count),
                )
            at = np.int64(links[which, at])
        above = length
        if count - before >= ENOUGH:
            break
    return count
