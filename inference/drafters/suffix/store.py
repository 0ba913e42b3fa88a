"""The store of one tenant: what is new, what waits to be sorted, and generations."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from .generation import Generation, build
from .matches import Matches
from .prefixes import BLOCK, OVERLAP, first_new, prefixes
from .recent import Recent
from .saving import Kept
from .tokens import NO_SESSION, Integers, Tokens
from .trust import Trust


class Unsorted(Recent):
    """Documents of a store that no generation has yet.

    Attributes:
        hashes: hashes of their prefixes, with the number of the document.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hashes: list[tuple[int, int]] = []

    def sorted(self) -> Generation:
        """These documents as a generation."""
        hashes = np.array([hashed for hashed, _ in self.hashes], np.uint64)
        documents = np.array([document for _, document in self.hashes], np.int64)
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
        self._known: set[int] = set()

    def __len__(self) -> int:
        """Tokens held."""
        return sum(part.size for part in (self.newest, *self.waiting)) + sum(
            len(generation) for generation in self.generations
        )

    def nbytes(self) -> int:
        """Memory that is taken; a known prefix is counted as what Python takes for it."""
        return sum(part.nbytes() for part in self._parts()) + 80 * len(self._known)

    def add(self, tokens: Tokens, session: int) -> None:
        """Keep a request's prompt and output, but for the beginning that is known already."""
        hashes: list[int] = prefixes(tokens).tolist()
        new = first_new(hashes, self._known)
        begin = max(0, BLOCK * new - OVERLAP) if new else 0
        if len(tokens) <= BLOCK * new + 1:
            return
        document = len(self.newest.starts)
        self.newest.add(tokens[begin:], session)
        self.newest.hashes += [(hashed, document) for hashed in hashes[new:]]
        self._known.update(hashes[new:])

    def full(self) -> bool:
        """Whether what is new should be sorted."""
        return self.newest.size >= self.FULL

    def seal(self) -> Unsorted:
        """Set what is new aside, for sorting, and begin anew; it is searched until then."""
        sealed, self.newest = self.newest, Unsorted()
        self.waiting = (sealed, *self.waiting)
        return sealed

    def sorted(self, part: Unsorted) -> None:
        """What waited is in a generation now."""
        self.waiting = tuple(other for other in self.waiting if other is not part)

    def forget(self, hashes: set[int]) -> None:
        """What begins so is no longer there."""
        self._known -= hashes

    def recall(self, kept: Kept) -> None:
        """Know of what was kept, but for its generations, which come with all others'."""
        for generation in kept.generations:
            self._known.update(generation.hashes.tolist())
        self.trust.restore(kept.right, kept.accepted)

    def drop(self, part: Unsorted) -> None:
        """Give up documents that could not be sorted."""
        self.sorted(part)
        self.forget({hashed for hashed, _ in part.hashes})

    def find(self, context: Tokens, session: int, matches: Matches) -> tuple[Integers, ...]:
        """Note the matches of a context's end, newest memories first; memory 0 is the request.

        Returns:
            The use counts of memories 1, 2, ...
        """
        parts = self._parts()
        for number, part in enumerate(parts, 1):
            part.find(context, session, number, matches)
        return tuple(part.uses for part in parts)

    def _parts(self) -> tuple[Unsorted | Generation, ...]:
        return (self.newest, *self.waiting, *self.generations)


def session_number(session: str) -> int:
    """A number for a session, the same in every process; ``NO_SESSION`` for none."""
    if not session:
        return NO_SESSION
    digest = hashlib.blake2b(session.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2 | 1
