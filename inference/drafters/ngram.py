"""Prompt look-up: what followed the latest tokens when they last stood in the request's context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from .drafter import Ask, Drafter, Owner

if TYPE_CHECKING:
    from .catalogue import DrafterContext

Tokens = npt.NDArray[np.int32]

SHORTEST: Final = 2
LONGEST: Final = 5


class NgramDrafter(Drafter):
    """Drafts what followed the longest n-gram that ends the context and stood in it before.

    Prompt look-up decoding (Saxena 2023), with the rules of vLLM's method ``ngram``: of n-grams
    of equal length the earliest, and no draft beyond the context's end.

    Args:
        shortest: tokens that must match, at least 1.
        longest: tokens that are compared, at least ``shortest``.

    Raises:
        ValueError: if the lengths make no sense.
    """

    name = "ngram"

    def __init__(self, shortest: int = SHORTEST, longest: int = LONGEST) -> None:
        if not 1 <= shortest <= longest:
            raise ValueError(
                f"n-grams are of 1 token at least, and the longest no shorter than the shortest, "
                f"not {shortest} to {longest}"
            )
        self._shortest, self._longest = shortest, longest
        self._contexts: dict[str, _Context] = {}

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:  # noqa: ARG002
        """Take in a request; whose it is does not matter, as nothing leaves it."""
        self._contexts[request] = _Context(prompt)

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens that the target has emitted for a request."""
        self._contexts[request].extend(tokens)

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft, 0 to ``depth`` tokens each."""
        shortest, longest = self._shortest, self._longest
        return [
            look_up(self._contexts[ask.request].tokens, ask.depth, shortest, longest)
            for ask in asks
        ]

    def end(self, request: str) -> None:
        """Let go of a request."""
        self._contexts.pop(request, None)


def look_up(tokens: Tokens, depth: int, shortest: int, longest: int) -> list[int]:
    """What followed the longest earlier n-gram that ends a context.

    Args:
        tokens: the context, shape (n,).
        depth: most tokens of the draft.
        shortest: least tokens of the n-gram.
        longest: most tokens of it.
    """
    # Where an occurrence of the last 1, 2, ... tokens ends: what is drafted begins there.
    ends = np.flatnonzero(tokens[:-1] == tokens[-1:]) + 1
    found = None
    for length in range(1, longest + 1):
        if length > 1:
            ends = ends[ends >= length]
            ends = ends[tokens[ends - length] == tokens[-length]]
        if not len(ends):
            break
        if length >= shortest:
            found = int(ends[0])
    drafted: list[int] = [] if found is None else tokens[found : found + depth].tolist()
    return drafted


class _Context:
    """Tokens of one request, in an array that grows by doubling."""

    __slots__ = ("_array", "_length")

    def __init__(self, prompt: Sequence[int]) -> None:
        self._length = len(prompt)
        self._array: Tokens = np.empty(max(2 * self._length, 64), np.int32)
        self._array[: self._length] = prompt

    @property
    def tokens(self) -> Tokens:
        return self._array[: self._length]

    def extend(self, tokens: Sequence[int]) -> None:
        length = self._length + len(tokens)
        if length > len(self._array):
            grown: Tokens = np.empty(2 * length, np.int32)
            grown[: self._length] = self.tokens
            self._array = grown
        self._array[self._length : length] = tokens
        self._length = length


def build(context: DrafterContext) -> NgramDrafter:  # noqa: ARG001 - as the catalogue calls it
    """One for an engine (``catalogue``)."""
    return NgramDrafter()
