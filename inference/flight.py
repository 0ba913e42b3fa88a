"""A flight: one engine step between its scheduling and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from ..policies.spaces import MAX_DEPTH
from .requests import RequestState

if TYPE_CHECKING:
    from .interval import Interval


class Flight:
    """One engine step between its scheduling and its outcome.

    Attributes:
        interval: the one whose drafts this step verifies; None at the start.
        launched: when it was scheduled, seconds of ``time.perf_counter``.
        depth: what is drafted in this step, for the next one.
        before: what was drafted in the step before, for this one.
        requests: states of the decoding requests by id.
        checked: per position 1..MAX_DEPTH, those of which it is verified.
        verified: positions verified for them, drafts and bonus.
        prefill: prompt tokens in this step.
        context: cached tokens of the decoding requests.
        remaining: tokens that they may yet emit.
        drafting: decoding requests that vLLM's own drafter drafts for in this step.
        passes: of vLLM's draft model in this step; None where that was not told.
        read: tokens that it read before them in a step of the hybrid's, prompts among them.
        spent: requests that other drafters drafted for in it and seconds that they took, by name.
    """

    __slots__ = (
        "before",
        "checked",
        "context",
        "depth",
        "drafting",
        "interval",
        "launched",
        "passes",
        "prefill",
        "read",
        "remaining",
        "requests",
        "spent",
        "verified",
    )

    def __init__(
        self,
        requests: dict[str, RequestState],
        checked: Sequence[int],
        prefill: int,
        context: int,
        remaining: int,
    ) -> None:
        self.requests = requests
        self.checked = checked
        self.verified = len(requests) + sum(checked)
        self.prefill = prefill
        self.context = context
        self.remaining = remaining
        self.interval: Interval | None = None
        self.launched = 0.0
        self.depth = self.before = 0
        self.drafting = len(requests)
        self.passes: int | None = None
        self.read = 0
        self.spent: Mapping[str, tuple[int, float]] = {}

    def correct(self, lengths: Sequence[int]) -> None:
        """Say what was verified, where it turned out to be less than what was scheduled.

        Args:
            lengths: drafts verified of each decoding request.
        """
        counts = [0] * (MAX_DEPTH + 1)
        for length in lengths:
            counts[length] += 1
        self.checked = checked_of(counts)
        self.verified = len(self.requests) + sum(lengths)

    @property
    def made(self) -> int:
        """Passes of vLLM's draft model in this step: as many as were told, or as it is deep."""
        return self.depth if self.passes is None else self.passes

    @property
    def mean_context(self) -> float:
        """Cached tokens of a decoding request, mean; 0 without any."""
        return self.context / (len(self.requests) or 1)


def checked_of(lengths: Sequence[int]) -> list[int]:
    """How many requests verify each position 1..MAX_DEPTH.

    Args:
        lengths: how many requests verify 0, 1, ... MAX_DEPTH drafts.
    """
    return list(accumulate(lengths[:0:-1]))[::-1]
