"""What every drafter is: requests come and go, tokens are verified, drafts are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """A draft that is asked for.

    Attributes:
        request: which request's.
        depth: at most so many tokens, at least 1.
        least: P(a token and all before it are accepted) below which verifying it does not pay;
            None where nobody says, and the drafter has one of its own if it knows such chances.
    """

    request: str
    depth: int
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a request is.

    Attributes:
        tenant: nothing that one tenant's requests hold ever reaches another's; "" is one as well.
        session: requests of one conversation or agent; "" for one of its own.
    """

    tenant: str = ""
    session: str = ""


class Drafter(ABC):
    """Proposes tokens for requests; belongs to one thread.

    Tokens are ids of the target's vocabulary. A drafter that raises costs its draft, never a
    request: whoever asks goes on without.
    """

    name: str = ""
    """What users call it."""

    @abstractmethod
    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request; its prompt may be read until it ends, never changed."""

    @abstractmethod
    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens that the target has emitted for a request, in order.

        Every token is given once, whether it was drafted here, elsewhere, or not at all.
        """

    @abstractmethod
    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft.

        Returns:
            As many drafts as asks, each of 0 to ``depth`` tokens.
        """

    def promised(self, request: str) -> float:
        """Tokens of its last draft for a request that it expects to be accepted.

        Raises:
            NotImplementedError: if it expects nothing in particular, as most do.
        """
        raise NotImplementedError(f"{type(self).__name__} promises nothing")

    @abstractmethod
    def end(self, request: str) -> None:
        """Let go of a request; one that is not known is ignored."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End what runs in the background, and keep what is to be kept."""
