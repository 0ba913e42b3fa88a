"""Which request has which slot, and whose beginning a new one may take over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .tokens import common

_WORTH: Final = 16
"""Tokens in common from which taking over a beginning is worth it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A slot for a new request.

    Attributes:
        slot: its own now.
        source: the slot whose beginning it shares; itself where it takes over an ended request's.
        shared: tokens of that, 0 for none.
    """

    slot: int
    source: int
    shared: int


class Slots:
    """Slots of requests that run, and of ended ones until they are needed.

    Ended requests are the store of prefixes: the one that ended first, or was taken over from last
    the longest time ago, goes first. Requests of another tenant are never looked at.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._tokens: list[Sequence[int]] = [()] * count
        self._tenants = [""] * count
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(count))

    def take(self, tokens: Sequence[int], tenant: str) -> Found | None:
        """Find a slot for a request; None where all are taken.

        Args:
            tokens: its own, which may grow while it has the slot, and never change otherwise.
            tenant: whose it is.
        """
        if not self._free:
            return None
        source, shared = self._nearest(tokens, tenant)
        slot = self._choose(source, shared)
        del self._free[slot]
        self._tokens[slot], self._tenants[slot] = tokens, tenant
        return Found(slot, source, shared)

    def release(self, slot: int, tokens: Sequence[int]) -> None:
        """Let a request end.

        Args:
            slot: the one it had.
            tokens: that the target has committed for it: what others may share.
        """
        self._tokens[slot] = tokens
        self._free[slot] = None

    def _nearest(self, tokens: Sequence[int], tenant: str) -> tuple[int, int]:
        """The slot with the longest beginning in common, and its length; ended ones first."""
        best, shared = next(iter(self._free)), 0
        for slot, (other, owner) in enumerate(zip(self._tokens, self._tenants, strict=True)):
            if owner != tenant:
                continue
            length = common(other, tokens)
            if (length, slot in self._free) > (shared, best in self._free):
                best, shared = slot, length
        return (best, shared) if shared >= _WORTH else (next(iter(self._free)), 0)

    def _choose(self, source: int, shared: int) -> int:
        """An ended request's own slot if most of it is shared, else the one unused for longest."""
        if shared and source in self._free:
            if 2 * shared >= len(self._tokens[source]):
                return source
            self._free.move_to_end(source)
        return next(iter(self._free))
