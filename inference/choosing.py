"""Who drafts for whom: the place where drafters are chosen, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .drafter_choice import Choice, LearnedDrafters
from .drafters.catalogue import LEARNED, RANDOM, check_choice, offered
from .requests import RequestState


class DrafterChooser:
    """Chooses a drafter for each request, before every step.

    What a request asks for comes first, then what the operator has set, then the default. Where
    that is ``learned`` the choice is made interval by interval (``drafter_choice``), and carried
    out here; while there is none, the first drafter drafts.

    Args:
        names: of the engine's drafters; ``none`` is offered always.
        default: one of them, ``learned`` or ``random``; None for ``learned``, where there is a
            choice.
        seed: of the draws.

    Attributes:
        offered: the names, ``none`` included.
        default: what holds while the operator has set nothing.
        choice: the interval's, where it is learned.

    Raises:
        ValueError: if the default is not offered.
    """

    def __init__(
        self, names: Sequence[str], default: str | None = None, seed: int | None = None
    ) -> None:
        self.offered = offered(names)
        several = len(self.offered) > 2
        usual = LEARNED if several else self.offered[0]
        self.default = usual if default is None else check_choice(default, self.offered)
        self.choice: Choice | None = None
        self._learned: LearnedDrafters | None = None
        self._set: str | None = None
        self._rng = Random(seed)

    def learn(self, learned: LearnedDrafters) -> None:
        """Carry out its choices from here on."""
        self._learned = learned

    def set(self, name: str | None) -> None:
        """Have one drafter serve all requests that ask for none, or ``learned``, or ``random``.

        Args:
            name: None for the default.

        Raises:
            ValueError: if it is not offered.
        """
        self._set = None if name is None else check_choice(name, self.offered)

    @property
    def in_force(self) -> str:
        """Who drafts for requests that ask for nobody: a drafter, ``learned`` or ``random``."""
        return self._set or self.default

    def choose(self, requests: Sequence[RequestState]) -> list[str]:
        """The drafter of each request in the step about to run."""
        return [state.wanted or self._usual(state) for state in requests]

    def _usual(self, state: RequestState) -> str:
        name = self.in_force
        if name == RANDOM:
            return self._rng.choice(self.offered)
        if name != LEARNED:
            return name
        if self.choice is None or self._learned is None:
            return self.offered[0]
        return self._learned.of(state, self.choice)
