"""An interval: a decision in force for a few engine steps, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Decision, Outcome
from ..policies.verified import Verified
from .guard_state import Stake
from .live_policy import LivePolicy
from .requests import RequestState


class Interval:
    """Sums the steps that verify what one decision drafted.

    Drafts are verified one engine step after they are made, and under asynchronous scheduling
    the outcome is known one or two steps later still. So an interval counts the steps launched
    and landed in its name, and is complete when it is closed and all have landed.
    """

    __slots__ = (
        "checked",
        "closed",
        "context",
        "counts",
        "decision",
        "drafted",
        "emitted",
        "finished",
        "following",
        "landed",
        "launched",
        "policy",
        "prefill",
        "request_seconds",
        "request_steps",
        "seconds",
        "stake",
        "steps",
        "switched",
        "verified",
    )

    def __init__(
        self, decision: Decision, switched: bool, policy: LivePolicy | None = None
    ) -> None:
        self.decision = decision
        self.policy = policy  # to be told what came of it
        self.switched = switched
        self.closed = False
        self.following = b""
        self.stake: Stake | None = None  # the guard's
        self.launched = self.landed = self.steps = 0
        self.seconds = self.request_seconds = 0.0
        self.request_steps = self.emitted = self.drafted = self.verified = 0
        self.prefill = self.context = self.finished = 0
        self.checked = [0] * MAX_DEPTH
        self.counts = Verified()

    @property
    def complete(self) -> bool:
        """Whether nothing more will be added."""
        return self.closed and self.landed == self.launched

    def add(self, flight: Flight, seconds: float, emitted: int, finished: int) -> None:
        """One engine step that verified drafts of this interval.

        The last such step drafts for the next interval already. Where that has another depth, the
        step's time is the doing of two decisions, and counts for neither.
        """
        decoding = len(flight.requests)
        if not decoding or flight.depth != self.decision.applied:
            return  # a step of prompts alone is none of the depth's doing
        self.steps += 1
        self.seconds += seconds
        self.request_seconds += seconds * decoding
        self.request_steps += decoding
        self.emitted += emitted
        self.drafted += flight.depth * decoding
        self.verified += flight.verified
        for j, requests in enumerate(flight.checked):
            self.checked[j] += requests
        self.prefill += flight.prefill
        self.context += flight.context
        self.finished += finished

    def outcome(self) -> Outcome:
        """What came of it."""
        tried, accepted = self.counts.positions()
        return Outcome(
            seconds=self.seconds,
            steps=self.steps,
            request_seconds=self.request_seconds,
            request_steps=self.request_steps,
            emitted=self.emitted,
            drafted=self.drafted,
            verified=self.verified,
            prefill=self.prefill,
            context=self.context,
            finished=self.finished,
            checked=tuple(self.checked),
            tried=tried,
            accepted=accepted,
            switched=self.switched,
        )


class Flight:
    """One engine step between its scheduling and its outcome.

    Attributes:
        interval: the one whose drafts this step verifies; None at the start.
        launched: when it was scheduled, seconds of ``time.perf_counter``.
        depth: what is drafted in this step, for the next one.
        requests: states of the decoding requests by id.
        checked: per position 1..MAX_DEPTH, those of which it is verified.
        verified: positions verified for them, drafts and bonus.
        prefill: prompt tokens in this step.
        context: cached tokens of the decoding requests.
        remaining: tokens that they may yet emit.
    """

    __slots__ = (
        "checked",
        "context",
        "depth",
        "interval",
        "launched",
        "prefill",
        "remaining",
        "requests",
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
        self.depth = 0

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
    def mean_context(self) -> float:
        """Cached tokens of a decoding request, mean; 0 without any."""
        return self.context / (len(self.requests) or 1)


def checked_of(lengths: Sequence[int]) -> list[int]:
    """How many requests verify each position 1..MAX_DEPTH.

    Args:
        lengths: how many requests verify 0, 1, ... MAX_DEPTH drafts.
    """
    return list(accumulate(lengths[:0:-1]))[::-1]
