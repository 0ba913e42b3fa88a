"""What an engine's scheduler and its drafters tell each other, step by step.

They may be in two processes: each hangs its message on what vLLM sends there anyway, as an
attribute, which pickling keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...policies.transition import Floats
from .drafter import Owner
from .pool import DrafterState
from .scoring import Score

ASSIGNMENT: Final = "flyball_assignment"
"""Attribute of vLLM's ``SchedulerOutput``."""

DRAFTED: Final = "flyball_drafted"
"""Attribute of vLLM's ``ModelRunnerOutput``."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What is added to a step, over the seconds that one without drafts takes.

    Attributes:
        passes: by vLLM's draft model, by the number of its passes, shape (at least 1,). What is
            not told costs nothing more.
        position: by each draft that is verified.
        read: by each token that the draft model reads first, of what the step ran and it missed.
    """

    passes: Floats = field(default_factory=lambda: np.zeros(1))
    position: float = 0.0
    read: float = 0.0

    def of_passes(self, most: int) -> Floats:
        """Of 1, 2 and so on to so many passes, shape (most,)."""
        found: Floats = self.passes[np.minimum(np.arange(1, most + 1), len(self.passes) - 1)]
        return found


@dataclass(slots=True)
class Assignment:
    """From the scheduler, with a step: who drafts at its end, for the step after it.

    Attributes:
        drafters: of each request in the step.
        owners: of requests that are new in it.
        costs: what drafting and verifying add to the step.
        least: chance from which on a drafted token is worth verifying; None where that was not
            decided, and drafters go by their own.
    """

    drafters: dict[str, str] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    least: float | None = None


@dataclass(slots=True)
class Drafted:
    """From the drafters, with a step's outcome.

    Attributes:
        verified: of each request that had a drafter when it last drafted: whose draft, and how
            many of its tokens the step verified.
        scores: of drafts that were not used, decided since the last step.
        states: of the drafters.
        asked: how many tokens that drafter was asked for, as far as they could be verified.
        passes: of vLLM's draft model in the step; None where that is not known.
        read: tokens that it read before them in a step of the hybrid's, prompts among them.
        modelled: requests that it drafted for in them.
        spent: of the others that drafted in it, requests and seconds, by name.
    """

    verified: dict[str, tuple[str, int]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    states: dict[str, DrafterState] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    passes: int | None = None
    read: int = 0
    modelled: int = 0
    spent: dict[str, tuple[int, float]] = field(default_factory=dict)
