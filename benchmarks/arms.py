"""Phases of traffic, arms of a comparison, and what one arm did in one slice of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..policies.prices import Prices
from ..policies.transition import Transition

CONCURRENCIES: Final = (1, 4, 16)
CLASSES: Final = ("code", "tool_calls", "prose")


@dataclass(frozen=True, order=True)
class Phase:
    """Traffic of one kind.

    Attributes:
        concurrency: requests under way.
        content_class: of their prompts.
    """

    concurrency: int
    content_class: str

    @property
    def name(self) -> str:
        """Such as ``4 x code``."""
        return f"{self.concurrency} x {self.content_class}"


PHASES: Final = tuple(Phase(n, content) for n in CONCURRENCIES for content in CLASSES)


@dataclass(frozen=True)
class Arm:
    """One way to set the depth.

    Attributes:
        name: what it is called.
        depth: the depth pinned; None for the governed engine.
        speed: the knob, for the governed engine.
    """

    name: str
    depth: int | None = None
    speed: float | None = None


FIXED: Final = (2, 6)
SPEEDS: Final = (0.0, 0.5, 1.0)
OFF: Final = Arm("off", depth=0)
ARMS: Final = (
    OFF,
    *(Arm(f"depth {depth}", depth=depth) for depth in FIXED),
    *(Arm(f"governed {speed:g}", speed=speed) for speed in SPEEDS),
)


@dataclass(frozen=True)
class Slice:
    """What one arm did in one slice of a visit to a phase.

    Attributes:
        visit: counts the visits; the slices of one are paired.
        phase: the traffic.
        arm: who set the depth.
        intervals: complete intervals.
        seconds: of engine steps.
        request_seconds: of engine steps, times the requests in them.
        emitted: tokens.
        dollars: by the price list.
        depth: mean depth, weighted by seconds.
    """

    visit: int
    phase: Phase
    arm: Arm
    intervals: int
    seconds: float
    request_seconds: float
    emitted: int
    dollars: float
    depth: float

    @property
    def tokens_per_second(self) -> float:
        """Of all requests together."""
        return self.emitted / self.seconds

    @property
    def seconds_per_token(self) -> float:
        """Of each request."""
        return self.request_seconds / self.emitted

    @property
    def dollars_per_token(self) -> float:
        """By the price list."""
        return self.dollars / self.emitted


def slice_of(
    visit: int, phase: Phase, arm: Arm, transitions: Iterable[Transition], prices: Prices
) -> Slice | None:
    """Sum up the intervals of a slice; None if there was none."""
    found = list(transitions)
    outcomes = [t.outcome for t in found]
    seconds = sum(o.seconds for o in outcomes)
    emitted = sum(o.emitted for o in outcomes)
    if not seconds or not emitted:
        return None
    return Slice(
        visit=visit,
        phase=phase,
        arm=arm,
        intervals=len(found),
        seconds=seconds,
        request_seconds=sum(o.request_seconds for o in outcomes),
        emitted=emitted,
        dollars=sum(
            prices.verified * o.verified + prices.drafted * o.drafted + prices.second * o.seconds
            for o in outcomes
        ),
        depth=sum(t.decision.applied * t.outcome.seconds for t in found) / seconds,
    )
