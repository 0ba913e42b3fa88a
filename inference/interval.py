"""An interval: a decision in force for a few engine steps, and what came of it."""

from __future__ import annotations

from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Decision, Outcome
from ..policies.verified import Verified
from .drafter_choice import Choice
from .flight import Flight
from .guard_state import Stake
from .live_policy import LivePolicy


class Interval:
    """Sums the steps that verify what one decision drafted.

    Drafts are verified one engine step after they are made, and under asynchronous scheduling
    the outcome is known one or two steps later still. So an interval counts the steps launched
    and landed in its name, and is complete when it is closed and all have landed.
    """

    __slots__ = (
        "checked",
        "choice",
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
        self.choice: Choice | None = None  # of drafters; None for the default
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
        step's time is the doing of two decisions, and counts for neither. Nor does a step that
        drafts deeper than was decided, for requests in a hurry, or verifies such drafts.
        """
        decoding, depth = len(flight.requests), self.decision.applied
        if not decoding or flight.depth != depth or flight.before != depth:
            return  # a step of prompts alone is none of the depth's doing
        self.steps += 1
        self.seconds += seconds
        self.request_seconds += seconds * decoding
        self.request_steps += decoding
        self.emitted += emitted
        self.drafted += flight.drafting * flight.made
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
