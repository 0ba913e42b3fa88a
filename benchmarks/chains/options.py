"""Every option of the comparison of chains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """Every option.

    Raises:
        ValueError: naming the option that is out of range.
    """

    batches: tuple[int, ...] = (1, 4, 16)
    """requests at a time"""
    rounds: int = 6
    """visits to every pass and chain"""
    steps: int = 16
    """target passes of a visit to a chain"""
    tokens: int = 160
    """of a prompt, at most"""
    seed: int = 0
    """of the prompts"""

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1:
            raise ValueError(f"batches must be at least 1, not {self.batches}")
        if min(self.rounds, self.steps) < 1 or not 1 <= self.tokens <= 1024:
            raise ValueError(
                "rounds and steps must be at least 1, and tokens in [1, 1024], not "
                f"{self.rounds}, {self.steps} and {self.tokens}"
            )
