"""Drafters for tests: small, real, and some of them not to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flyball.inference.drafters.drafter import Ask, Drafter, Owner

Propose = Callable[[Sequence[Ask]], list[list[int]]]


class Scripted(Drafter):
    """Proposes by a function, and keeps what it is told of requests."""

    def __init__(self, propose: Propose) -> None:
        self.contexts: dict[str, list[int]] = {}
        self.owners: dict[str, Owner] = {}
        self.closed = False
        self._propose = propose

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        self.contexts[request] = [*prompt]
        self.owners[request] = owner

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        self.contexts[request] += tokens

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        return self._propose(asks)

    def end(self, request: str) -> None:
        del self.contexts[request]

    def close(self) -> None:
        self.closed = True


def constant(*tokens: int) -> Scripted:
    """Always drafts the same tokens, as many as are asked for at most."""
    return Scripted(lambda asks: [[*tokens][: ask.depth] for ask in asks])
