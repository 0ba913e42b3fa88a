"""Generations: documents whose positions are sorted. Nothing of them changes but use counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....policies.compiling import compiled
from .matches import Matches
from .ordering import Order, find, merge, sort
from .prefixes import Hashes
from .tokens import BOUNDARY, Integers, Tokens

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Generation:
    """Documents of a store, in the order of their age, and where everything in them is.

    Attributes:
        tokens: the documents, a ``BOUNDARY`` before each.
        order: their positions, sorted by what stands before each (``ordering``).
        starts: first position of every document, shape (documents,).
        sessions: the session of every document, shape (documents,).
        uses: tokens drafted from each and accepted, shape (documents,).
        hashes: hashes of the prefixes that were new with these documents (``prefixes``), sorted.
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

    def knows(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which prefixes are here."""
        if not len(self.hashes):
            return np.zeros(len(hashes), np.bool_)
        places = np.searchsorted(self.hashes, hashes)
        places[places == len(self.hashes)] = 0
        found: npt.NDArray[np.bool_] = self.hashes[places] == hashes
        return found

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
    """Sort documents; arguments as the generation's attributes, hashes in any order."""
    by_hash = np.argsort(hashes)
    return Generation(
        tokens,
        sort(tokens),
        starts,
        sessions,
        uses,
        hashes[by_hash],
        hash_documents[by_hash],
    )


def merged(older: Generation, newer: Generation) -> Generation:
    """Two generations as one."""
    shift, documents = len(older), len(older.starts)
    tokens, order = _joined(older.tokens, older.order, newer.tokens, newer.order)
    hashes = np.concatenate((older.hashes, newer.hashes))
    by_hash = np.argsort(hashes)
    return Generation(
        tokens,
        order,
        np.concatenate((older.starts, newer.starts + shift)),
        np.concatenate((older.sessions, newer.sessions)),
        np.concatenate((older.uses, newer.uses)),
        hashes[by_hash],
        np.concatenate((older.hash_documents, newer.hash_documents + documents))[by_hash],
    )


def least_used(generation: Generation, tokens: int) -> Flags:
    """Which documents to drop for so many tokens: the least used, of equals the oldest."""
    lengths = np.diff(generation.starts, append=len(generation) + 1)
    first = np.argsort(generation.uses, kind="stable")
    enough = int(np.searchsorted(np.cumsum(lengths[first]), tokens)) + 1
    drop = np.zeros(len(lengths), np.bool_)
    drop[first[:enough]] = True
    return drop


def without(generation: Generation, drop: Flags) -> Generation:
    """What is left without some documents; use counts are halved, so that old fame fades."""
    tokens, order, starts = _left(generation.tokens, generation.order, generation.starts, drop)
    documents = np.cumsum(~drop) - 1
    hashes = ~drop[generation.hash_documents]
    return Generation(
        tokens,
        order,
        starts,
        generation.sessions[~drop],
        generation.uses[~drop] // 2,
        generation.hashes[hashes],
        documents[generation.hash_documents[hashes]],
    )


# What touches every token is compiled, so that the engine's thread runs on meanwhile: NumPy would
# hold the interpreter's lock.


@compiled
def _joined(
    older: Tokens, older_order: Order, newer: Tokens, newer_order: Order
) -> tuple[Tokens, Order]:
    shift, middle = len(older), len(older_order)
    tokens = np.empty(shift + len(newer), np.uint32)
    tokens[:shift] = older
    tokens[shift:] = newer
    apart = np.empty(middle + len(newer_order), np.uint32)
    apart[:middle] = older_order
    for k in range(len(newer_order)):
        apart[middle + k] = newer_order[k] + shift
    order = np.empty_like(apart)
    merge(tokens, apart, 0, middle, len(apart), order)
    return tokens, order


@compiled
def _left(
    tokens: Tokens, order: Order, starts: Integers, drop: Flags
) -> tuple[Tokens, Order, Integers]:
    moved = np.full(len(tokens), BOUNDARY, np.uint32)
    kept = np.empty(len(tokens), np.uint32)
    begins = np.empty(len(starts), np.int64)
    size = documents = 0
    for document in range(len(starts)):
        if drop[document]:
            continue
        end = starts[document + 1] - 1 if document + 1 < len(starts) else len(tokens)
        begins[documents] = size + 1
        documents += 1
        for at in range(starts[document] - 1, end):
            kept[size], moved[at] = tokens[at], size
            size += 1
    left = np.empty(len(order), np.uint32)
    count = 0
    for at in order:
        if moved[at] != BOUNDARY:
            left[count] = moved[at]
            count += 1
    return kept[:size].copy(), left[:count].copy(), begins[:documents].copy()
