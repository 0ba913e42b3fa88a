"""Drafters on recorded traffic: what the target emits is known, so is what it would accept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...inference.drafters.drafter import Ask, Drafter, Owner
from ...inference.drafters.scoring import agreed
from .traffic import Request


@dataclass(slots=True)
class Tally:
    """What became of drafts.

    Attributes:
        steps: verifications, those without a draft included.
        drafts: drafts of at least one token.
        drafted: tokens drafted.
        accepted: tokens accepted.
    """

    steps: int = 0
    drafts: int = 0
    drafted: int = 0
    accepted: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.steps + other.steps,
            self.drafts + other.drafts,
            self.drafted + other.drafted,
            self.accepted + other.accepted,
        )

    def per_draft(self) -> float:
        """Tokens accepted per draft."""
        return self.accepted / max(self.drafts, 1)

    def per_step(self) -> float:
        """Tokens accepted per verification."""
        return self.accepted / max(self.steps, 1)

    def precision(self) -> float:
        """Share of the tokens drafted that was accepted."""
        return self.accepted / max(self.drafted, 1)


def replay(drafter: Drafter, requests: Iterable[Request], depth: int) -> Tally:
    """Run requests one after the other, as a greedy engine would.

    Args:
        drafter: what drafts; it keeps what it learns.
        requests: in the order they come.
        depth: at most so many tokens per draft.
    """
    tally = Tally()
    for request in requests:
        drafter.begin(request.name, request.prompt, Owner("bench", request.session))
        # The first token comes with the prompt; from then on there is something to draft after.
        at = 1
        drafter.extend(request.name, request.output[:1])
        while at < len(request.output):
            (drafted,) = drafter.propose([Ask(request.name, depth)])
            right = agreed(drafted, request.output[at:])
            tally.steps += 1
            tally.drafts += bool(drafted)
            tally.drafted += len(drafted)
            tally.accepted += right
            drafter.extend(request.name, request.output[at : at + right + 1])
            at += right + 1
        drafter.end(request.name)
    return tally
