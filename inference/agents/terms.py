"""What holds for all runs of a planner."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...policies.plan.policy import PlanPolicy
from .budget import Budget
from .calls import Seat
from .environment import Environments
from .journal import Watch
from .matching import Matcher


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run and its calls may take.

    Attributes:
        steps: most steps of a run; one that has not ended by then is returned as not complete.
        approximation_seconds: that a call of A may run.
        target_seconds: that a call of T may run.
        retries: times that T is asked again at a step after a fault.
        backoff: seconds before the first of these; each next waits twice as long.

    Raises:
        ValueError: one of them is out of its range.
    """

    steps: int = 64
    approximation_seconds: float = math.inf
    target_seconds: float = math.inf
    retries: int = 2
    backoff: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a run must be allowed at least 1 step, got {self.steps}")
        for name in ("approximation_seconds", "target_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.retries < 0 or not 0 <= self.backoff < math.inf:
            raise ValueError(
                "retries and backoff must not be negative, and backoff finite, got "
                f"{self.retries} and {self.backoff}"
            )


@dataclass(slots=True)
class Terms:
    """What a planner hands to its runs.

    Attributes:
        proposer: A.
        verifier: T.
        environments: where actions are executed.
        policy: decides.
        matcher: compares actions.
        budget: of concurrent calls.
        limits: of runs and calls.
        describe: writes a task as text.
        watch: told of every event; None where nobody looks on.
        speed: the knob, in [0, 1], now.
    """

    proposer: Seat
    verifier: Seat
    environments: Environments
    policy: PlanPolicy
    matcher: Matcher
    budget: Budget
    limits: Limits
    describe: Callable[[Any], str]
    watch: Watch | None
    speed: float
