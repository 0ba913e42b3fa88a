"""What a chain drafter is told to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """A chain of models, and how each proposal is made.

    The smallest model drafts ``draft`` tokens; the next verifies them and adds one of its own,
    which is a round. It does so ``rounds[0]`` times, then what it has verified goes up; and so on.
    The number of forward passes is thereby known beforehand, whatever is accepted: in a batch
    nobody waits for whose drafts fare worst.

    Attributes:
        models: names, smallest first; empty for no drafts at all.
        draft: tokens that the smallest drafts at a time, at least 1; 0 without models.
        rounds: of each further model, at least 1 each, one fewer than there are models.

    Raises:
        ValueError: naming what does not fit.
    """

    models: tuple[str, ...] = ()
    draft: int = 0
    rounds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"a chain has every model once, not {self.models}")
        if self.draft < bool(self.models) or (self.draft and not self.models):
            raise ValueError(
                f"a chain of {len(self.models)} models cannot draft {self.draft} tokens; with "
                "models it is at least 1, without it is 0"
            )
        if len(self.rounds) != max(len(self.models) - 1, 0) or min(self.rounds, default=1) < 1:
            raise ValueError(
                f"rounds are at least 1 for each model but the smallest of {self.models}, "
                f"not {self.rounds}"
            )

    @property
    def name(self) -> str:
        """For people, such as ``draft>middle``; ``none`` without models."""
        return ">".join(self.models) or "none"

    @property
    def longest(self) -> int:
        """Most tokens of a proposal."""
        longest = self.draft
        for rounds in self.rounds:
            longest = rounds * (longest + 1)
        return longest


NO_CHAIN = Plan()
"""No drafts."""
