"""The store of one tenant: what is new, what waits to be sorted, and generations."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from .generation import Generation, build
from .matches import Matches
from .prefixes import BLOCK, OVERLAP, Hashes, prefixes
from .recent import Recent
from .tokens import NO_SESSION, Integers, Tokens
from .trust import Trust


class Unsorted(Recent):
    """Documents of a store that no generation has yet.

    Attributes:
        hashes: the document of the hash of each prefix that was new (``prefixes``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.hashes: dict[int, int] = {}

    def nbytes(self) -> int:
        """Memory that is taken; a hash is counted as what Python takes for it."""
        return super().nbytes() + 100 * len(self.hashes)

    def sorted(self) -> Generation:
        """These documents as a generation."""
        hashes = np.array(list(self.hashes), np.uint64)
        documents = np.array(list(self.hashes.values()), np.int64)
        tokens = self.tokens[: self.size].copy()
        return build(tokens, self.starts, self.sessions, self.uses.copy(), hashes, documents)


class Store:
    """Documents of one tenant's requests that have ended.

    Belongs to the drafter's thread; generations come from the background, whole.

    Attributes:
        generations: newest first.
        waiting: full, not yet sorted, newest first.
        newest: where documents are added.
        trust: how far matches of this tenant's requests can be trusted.
    """

    FULL: Final = 1 << 16
    """Tokens from which on what is new is sorted."""

    def __init__(self) -> None:
        self.generations: tuple[Generation, ...] = ()
        self.waiting: tuple[Unsorted, ...] = ()
        self.newest = Unsorted()
        self.trust = Trust()

    def __len__(self) -> int:
        """Tokens held."""
        return sum(part.size for part in (self.newest, *self.waiting)) + sum(
            len(generation) for generation in self.generations
        )

    def nbytes(self) -> int:
        """Memory that is taken."""
        return sum(part.nbytes() for part in self._parts())

    def add(self, tokens: Tokens, session: int) -> None:
        """Keep a request's prompt and output, but for the beginning that is known already."""
        hashes = prefixes(tokens)
        known = self._known(hashes)
        new = (*known[:-1], False).index(False)
        if known[-1] or len(tokens) <= BLOCK * new + 1:
            return
        document = len(self.newest.starts)
        self.newest.add(tokens[max(0, BLOCK * new - OVERLAP) :], session)
        self.newest.hashes.update(dict.fromkeys(hashes[new:].tolist(), document))

    def full(self) -> bool:
        """Whether what is new should be sorted."""
        return self.newest.size >= self.FULL

    def seal(self) -> Unsorted:
        """Set what is new aside, for sorting, and begin anew; it is searched until then."""
        sealed, self.newest = self.newest, Unsorted()
        self.waiting = (sealed, *self.waiting)
        return sealed

    def release(self, part: Unsorted) -> None:
        """What waited is in a generation now, or given up."""
        self.waiting = tuple(other for other in self.waiting if other is not part)

    def find(self, context: Tokens, session: int, matches: Matches) -> tuple[Integers, ...]:
        """Note the matches of a context's end, newest memories first; memory 0 is the request.

        Returns:
            The use counts of memories 1, 2, ...
        """
        parts = self._parts()
        for number, part in enumerate(parts, 1):
            part.find(context, session, number, matches)
        return tuple(part.uses for part in parts)

    def _known(self, hashes: Hashes) -> list[bool]:
        """Whether each is somewhere already."""
        known = np.zeros(len(hashes), np.bool_)
        for generation in self.generations:
            known |= generation.knows(hashes)
        unsorted = (self.newest, *self.waiting)
        return [
            was or any(hashed in part.hashes for part in unsorted)
            for was, hashed in zip(known.tolist(), hashes.tolist(), strict=True)
        ]

    def _parts(self) -> tuple[Unsorted | Generation, ...]:
        return (self.newest, *self.waiting, *self.generations)


def session_number(session: str) -> int:
    """A number for a session, the same in every process; ``NO_SESSION`` for none."""
    if not session:
        return NO_SESSION
    digest = hashlib.blake2b(session.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2 | 1
