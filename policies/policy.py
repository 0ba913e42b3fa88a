"""What every policy of the depth control point is: observations in, depths and propensities out.

One interface for all of them, learned, analytic, bandit or static, and for one live engine as for
many simulated ones: row i of every array belongs to engine i. A policy that learns or remembers
keeps what it knows of engine i apart from the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .prices import Prices
from .spaces import Array
from .structure import Structure
from .transition import Floats

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What a policy chose, for n engines.

    Attributes:
        actions: depths, tokens, int64 of shape (n,).
        propensities: the probabilities with which they were chosen, float64 of shape (n,), in
            (0, 1].
        explored: where the choice was made in order to learn, bool of shape (n,).
    """

    actions: Integers
    propensities: Floats
    explored: npt.NDArray[np.bool_]

    @classmethod
    def certain(cls, actions: npt.NDArray[np.integer]) -> Choice:
        """Actions that could not have been others."""
        n = len(actions)
        return cls(actions.astype(np.int64), np.ones(n), np.zeros(n, bool))


class Policy(ABC):
    """Chooses depths for n engines at once.

    Args:
        structure: the analytic prediction: step times, prices and the greatest depth.
        engines: how many.
        seed: of everything random.
    """

    name: ClassVar[str] = ""
    """What users call it."""

    about: ClassVar[str] = ""
    """One line for people, with the source where the idea is someone's."""

    def __init__(self, structure: Structure, engines: int = 1, seed: int = 0) -> None:
        self.structure = structure
        self.engines = engines
        self.rng = np.random.default_rng(seed)

    @property
    def k_max(self) -> int:
        """Greatest depth, tokens."""
        return self.structure.k_max

    @property
    def prices(self) -> Prices:
        """What things cost."""
        return self.structure.prices

    def use_structure(self, structure: Structure) -> None:
        """Take a newer fit of the step times; what was learned stays."""
        self.structure = structure

    @abstractmethod
    def act(self, raw: Array) -> Choice:
        """Choose.

        Args:
            raw: raw observations with the speed set, float32, shape (n, DEPTH_SPACE.size).
        """

    def verify(
        self,
        survival: Floats,  # noqa: ARG002 - of others
        depth: int,  # noqa: ARG002
        seconds: Floats,  # noqa: ARG002
        factors: Floats,  # noqa: ARG002
    ) -> Integers | None:
        """Settle how many drafts of each request one engine step verifies.

        Args:
            survival: P(positions 1..j all accepted), shape (n, MAX_DEPTH).
            depth: that was drafted.
            seconds: of a step without drafts, per pass of the drafter, per position verified.
            factors: on the sum of those, by depth from 0 to the greatest.

        Returns:
            Drafts to verify, shape (n,); None, as of most policies, for all of them.
        """
        return None

    def exploit(self, raw: Array) -> Choice:
        """Choose what is best by what is known, never in order to learn; arguments as ``act``."""
        return self.act(raw)

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:  # noqa: B027 - optional
        """Take in what came of a choice; a policy that does not learn ignores it.

        Args:
            raw: what was seen when it was made, as for ``act``.
            actions: depths that were in force, shape (n,): an explorer's or a guard's, perhaps.
            outcomes: rows as ``outcome_row`` makes them, shape (n, ROW_SIZE); one without steps
                or tokens says that nothing was measured for its engine.
        """
