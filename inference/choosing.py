"""Who drafts for whom: the place where drafters are chosen, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .drafters.catalogue import NONE, RANDOM
from .requests import RequestState


class DrafterChooser:
    """Chooses a drafter for each request, before every step.

    What a request asks for comes first, then what the operator has pinned, then the default.

    Args:
        offered: names of the engine's drafters; ``none`` is offered always.
        default: one of them, or ``random``; None for the first.
        seed: of the draws.

    Attributes:
        offered: the names, ``none`` included.
        pinned: the operator's; None for no pin.

    Raises:
        ValueError: if the default is not offered.
    """

    def __init__(
        self, offered: Sequence[str], default: str | None = None, seed: int | None = None
    ) -> None:
        self.offered = tuple(dict.fromkeys((*offered, NONE)))
        self.default = self.offered[0] if default is None else default
        if self.default not in (*self.offered, RANDOM):
            raise ValueError(
                f"the default drafter {self.default!r} is none of {', '.join(self.offered)}, nor "
                f"{RANDOM}"
            )
        self.pinned: str | None = None
        self._rng = Random(seed)

    def pin(self, name: str | None) -> None:
        """Have one drafter serve all requests that ask for none; None ends that.

        Raises:
            ValueError: if it is not offered.
        """
        if name is not None and name not in self.offered:
            raise ValueError(f"{name!r} is none of {', '.join(self.offered)}")
        self.pinned = name

    def choose(self, requests: Sequence[RequestState]) -> list[str]:
        """The drafter of each request in the step about to run."""
        return [state.wanted or self.pinned or self._default() for state in requests]

    def _default(self) -> str:
        return self._rng.choice(self.offered) if self.default == RANDOM else self.default
