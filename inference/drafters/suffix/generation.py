"""Generations: documents whose positions are sorted. Nothing of them changes but use counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .matches import Matches
from .ordering import Order, find, merge, sort
from .prefixes import Hashes
from .tokens import BOUNDARY, Integers, Tokens


@dataclass(frozen=True, slots=True)
class Generation:
    """Documents of a store, in the order of their age, and where everything in them is.

    Attributes:
        tokens: the documents, a ``BOUNDARY`` before each.
        order: their positions, sorted by what stands before each (``ordering``).
        starts: first position of every document, shape (documents,).
        sessions: the session of every document, shape (documents,).
        uses: tokens drafted from each and accepted, shape (documents,).
        hashes: hashes of the prefixes that were new with these documents (``prefixes``).
        hash_documents: the document of each hash.
    """

    tokens: Tokens
    order: Order
    starts: Integers
    sessions: Integers
    uses: Integers
    hashes: Hashes
    hash_documents: Integers

    def __len__(self) -> int:
        return len(self.tokens)

    def find(self, context: Tokens, session: int, memory: int, matches: Matches) -> None:
        """Note the longest matches of a context's end; arguments as of ``Recent.find``."""
        matches.count = find(
            *(self.tokens, self.order, self.starts, self.sessions, context, session, memory),
            *(matches.depth, matches.ahead, matches.about, matches.count),
        )

    def nbytes(self) -> int:
        """Memory that is taken."""
        kept = (self.tokens, self.order, self.starts, self.sessions, self.uses)
        return sum(a.nbytes for a in (*kept, self.hashes, self.hash_documents))


def build(
    tokens: Tokens,
    starts: Integers,
    sessions: Integers,
    uses: Integers,
    hashes: Hashes,
    hash_documents: Integers,
) -> Generation:
    """Sort documents; arguments as the generation's attributes."""
    order = sort(tokens)
    return Generation(tokens, order, starts, sessions, uses, hashes, hash_documents)


def merged(older: Generation, newer: Generation) -> Generation:
    """Two generations as one."""
    shift, documents = len(older), len(older.starts)
    tokens = np.concatenate((older.tokens, newer.tokens))
    apart = np.concatenate((older.order, newer.order + np.uint32(shift)))
    order = np.empty_like(apart)
    merge(tokens, apart, 0, len(older.order), len(apart), order)
    return Generation(
        tokens,
        order,
        np.concatenate((older.starts, newer.starts + shift)),
        np.concatenate((older.sessions, newer.sessions)),
        np.concatenate((older.uses, newer.uses)),
        np.concatenate((older.hashes, newer.hashes)),
        np.concatenate((older.hash_documents, newer.hash_documents + documents)),
    )


def least_used(generation: Generation, tokens: int) -> npt.NDArray[np.bool_]:
    """Which documents to drop for so many tokens: the least used, of equals the oldest."""
    lengths = _lengths(generation)
    first = np.argsort(generation.uses, kind="stable")
    enough = int(np.searchsorted(np.cumsum(lengths[first]), tokens)) + 1
    drop = np.zeros(len(lengths), np.bool_)
    drop[first[:enough]] = True
    return drop


def without(generation: Generation, drop: npt.NDArray[np.bool_]) -> Generation:
    """What is left without some documents; use counts are halved, so that old fame fades."""
    lengths = _lengths(generation)
    kept = np.repeat(~drop, lengths)
    positions = np.cumsum(kept) - 1
    order = generation.order[kept[generation.order]]
    documents = np.cumsum(~drop) - 1
    hashes = ~drop[generation.hash_documents]
    return Generation(
        generation.tokens[kept],
        positions[order].astype(np.uint32),
        positions[generation.starts[~drop] - 1] + 1,
        generation.sessions[~drop],
        generation.uses[~drop] // 2,
        generation.hashes[hashes],
        documents[generation.hash_documents[hashes]],
    )


def _lengths(generation: Generation) -> Integers:
    """Tokens of every document, its ``BOUNDARY`` included."""
    assert len(generation) == 0 or generation.tokens[0] == BOUNDARY
    return np.diff(generation.starts - 1, append=len(generation))
