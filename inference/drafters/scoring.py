"""Full information: drafts that were not used, held to what the target then emitted.

A draft that nobody verifies tells as much as one that is: the target emits its own tokens whatever
was drafted, so a draft is accepted as far as they agree. Above temperature 0 that is one sample of
the acceptance, with the right probability: a token x drafted by a deterministic drafter is accepted
with the target's probability of x, and that is how often the target emits x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Score(NamedTuple):
    """How one draft fared.

    Attributes:
        drafter: whose it was.
        request: for which.
        drafted: tokens of it; 0 if it had none to offer.
        accepted: those that the target emitted, up to the first that it did not.
        asked: tokens that were asked for.
    """

    drafter: str
    request: str
    drafted: int
    accepted: int
    asked: int


class Scorer:
    """Holds drafts until the target's tokens have decided over them; one per request and drafter.

    Attributes:
        scores: of drafts decided since they were last taken.
    """

    def __init__(self) -> None:
        self.scores: list[Score] = []
        # Drafts, tokens that were asked for, and those that agreed so far.
        self._open: dict[str, dict[str, tuple[list[int], int, int]]] = {}

    def awaits(self, request: str, drafter: str) -> bool:
        """Whether a draft is still undecided."""
        return drafter in self._open.get(request, ())

    def add(self, request: str, drafter: str, draft: list[int], asked: int) -> None:
        """A draft, made of the context that the next ``emitted`` tokens follow.

        Args:
            request: for which.
            drafter: whose.
            draft: its tokens.
            asked: how many were asked for.
        """
        if draft:
            self._open.setdefault(request, {})[drafter] = (draft, asked, 0)
        else:
            self.scores.append(Score(drafter, request, 0, 0, asked))

    def emitted(self, request: str, tokens: Sequence[int]) -> None:
        """The target has emitted tokens for a request."""
        drafts = self._open.get(request)
        if not drafts:
            return
        for drafter, (draft, asked, known) in list(drafts.items()):
            more = agreed(draft, tokens, known)
            if known + more < len(draft) and more == len(tokens):
                drafts[drafter] = (draft, asked, known + more)
                continue
            del drafts[drafter]
            self.scores.append(Score(drafter, request, len(draft), known + more, asked))

    def end(self, request: str) -> None:
        """A request ended: what is undecided stays so."""
        self._open.pop(request, None)

    def take(self) -> list[Score]:
        """The scores since this was last called."""
        scores, self.scores = self.scores, []
        return scores


def agreed(draft: Sequence[int], tokens: Sequence[int], begin: int = 0) -> int:
    """How many of some tokens, from the first on, are those of a draft from a position on."""
    count = 0
    for drafted, token in zip(draft[begin:], tokens, strict=False):
        if drafted != token:
            break
        count += 1
    return count
