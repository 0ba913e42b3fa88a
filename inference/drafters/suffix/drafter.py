"""The suffix memory as a drafter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..drafter import Ask, Drafter, Owner
from .drafting import draft
from .matches import Matches
from .memory import Memory
from .recent import Recent
from .store import Store, session_number
from .tokens import AHEAD, LONGEST, OWN_DOCUMENT, SOURCES, Integers, Tokens, as_tokens
from .trust import HISTORY_PRIOR

NOTHING: Final[Tokens] = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft and how likely it is.

    Attributes:
        tokens: what was drafted.
        survival: P(this and all before it are accepted) of each, falling.
    """

    tokens: list[int]
    survival: list[float]


@dataclass(slots=True)
class _Request:
    """A running request.

    Attributes:
        tenant: whose it is.
        session: the number of its session.
        store: its tenant's.
        own: its prompt and output.
        tokens: its last draft and how it would go on, until something was emitted.
        cells: the cell of each of these tokens.
        used: the memory and document each is from.
        guesses: what each source would have drafted first.
        uses: the use counts of memories 1, 2, ... at that time.
        promised: tokens of that draft that are expected to be accepted.
        rejected: drafts rejected in its history.
        expected: rejections that were expected.
    """

    tenant: str
    session: int
    store: Store
    own: Recent
    tokens: Tokens | None = None
    cells: Integers = field(default_factory=lambda: np.zeros(AHEAD, np.int64))
    used: Integers = field(default_factory=lambda: np.zeros((AHEAD, 2), np.int64))
    guesses: Integers = field(default_factory=lambda: np.zeros((SOURCES, 2), np.int64))
    uses: tuple[Integers, ...] = ()
    promised: float = 0.0
    rejected: int = 0
    expected: float = 0.0


class SuffixDrafter(Drafter):
    """Drafts what followed before: in the request, in its session, in its tenant's store.

    A draft is as long as it is likely: every token's chance is estimated from how long and how
    many the matches are that it comes from and where, as they proved to be worth for this tenant,
    and from how this request's drafts did so far. How a draft would go on where it is ended is
    judged as well: chances that are learned only of what was drafted would never recover from being
    taken for too small.

    Attributes:
        threshold: a draft ends before its survival falls below this, where whoever asks says
            nothing; what verifying a token costs over what an emitted one is worth.
    """

    name = "suffix"

    THRESHOLD: Final = 0.15
    LOOKED_AT: Final = 0.02
    """Survival down to which it is looked at how a draft would go on."""
    ROOM: Final = 512
    """Room for output that a request begins with, tokens."""

    def __init__(self, memory: Memory | None = None, threshold: float = THRESHOLD) -> None:
        """Draft from a memory, a new one by default, which is then closed with the drafter.

        Raises:
            ValueError: if the threshold is not in (0, 1].
        """
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"a survival to stop at is in (0, 1], not {threshold}")
        self.threshold = threshold
        self.memory = memory if memory is not None else Memory()
        self._requests: dict[str, _Request] = {}
        self._matches = Matches()
        self._tokens: Tokens = np.zeros(AHEAD, np.uint32)
        self._survival = np.zeros(AHEAD)
        _compile()

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request; one of this name that is still there ends.

        Raises:
            ValueError: if the prompt holds something that is no id of a token.
        """
        tokens = as_tokens(prompt)
        self.end(request)
        own = Recent(len(tokens) + self.ROOM)
        own.add(tokens, OWN_DOCUMENT)
        store = self.memory.acquire(owner.tenant)
        session = session_number(owner.session)
        self._requests[request] = _Request(owner.tenant, session, store, own)

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in what was emitted; the last draft is judged by it, whether it was used or not.

        Raises:
            KeyError: if there is no such request.
            ValueError: if something is no id of a token.
        """
        running, emitted = self._requests[request], as_tokens(tokens)
        if len(emitted):
            self._judge(running, emitted)
            running.own.extend(emitted)

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft.

        Raises:
            KeyError: if there is no such request.
        """
        return [self.draft(ask).tokens for ask in asks]

    def draft(self, ask: Ask) -> Draft:
        """Draft for one request, and say how likely it is.

        Raises:
            KeyError: if there is no such request.
        """
        running, matches = self._requests[ask.request], self._matches
        context = running.own.end(LONGEST)
        matches.clear(ask.depth)
        running.own.find(context, running.session, 0, matches)
        running.uses = running.store.find(context, running.session, matches)
        trust = running.store.trust
        least = self.threshold if ask.least is None else ask.least
        count = draft(
            matches.ahead,
            matches.about,
            matches.count,
            trust.right,
            trust.chance,
            (HISTORY_PRIOR + running.rejected) / (HISTORY_PRIOR + running.expected),
            min(least, self.LOOKED_AT),
            self._tokens[: matches.depth],
            self._survival,
            running.cells,
            running.used,
            running.guesses,
        )
        running.tokens = self._tokens[:count].copy()
        survival = [alone for alone in self._survival[:count].tolist() if alone >= least]
        running.promised = sum(survival)
        return Draft(running.tokens[: len(survival)].tolist(), survival)

    def promised(self, request: str) -> float:
        """Tokens of its last draft for a request that it expects to be accepted.

        Raises:
            KeyError: if there is no such request.
        """
        return self._requests[request].promised

    def end(self, request: str) -> None:
        """Let go of a request; its prompt and output stay in its tenant's store."""
        running = self._requests.pop(request, None)
        if running is not None:
            own = running.own
            running.store.add(own.tokens[1 : own.size], running.session)
            self.memory.release(running.tenant)

    def close(self) -> None:
        """End all requests, sort and save what they were, end the background."""
        for request in tuple(self._requests):
            self.end(request)
        self.memory.close()

    def _judge(self, running: _Request, emitted: Tokens) -> None:
        drafted, running.tokens = running.tokens, None
        if drafted is None:
            return
        judged, expected, rejected = running.store.trust.judge(
            drafted, running.cells, running.guesses, emitted
        )
        running.expected += expected
        running.rejected += rejected
        for memory, document in running.used[: judged - rejected].tolist():
            if memory:
                running.uses[memory - 1][document] += 1


def _compile() -> None:
    """Have everything compiled before it is needed, with a memory that is then thrown away."""
    store, matches = Store(), Matches()
    tokens = np.arange(40, dtype=np.uint32) % np.uint32(8)
    store.add(tokens, 1)
    store.generations = (store.seal().sorted(),)
    store.add(tokens[1:], 1)
    store.find(tokens[:5], 1, matches)
    space = np.zeros(AHEAD, np.int64)
    guesses = np.zeros((SOURCES, 2), np.int64)
    count = draft(
        matches.ahead,
        matches.about,
        matches.count,
        store.trust.right,
        store.trust.chance,
        1.0,
        SuffixDrafter.THRESHOLD,
        np.zeros(AHEAD, np.uint32),
        np.zeros(AHEAD),
        space,
        np.zeros((AHEAD, 2), np.int64),
        guesses,
    )
    store.trust.judge(tokens[:count], space, guesses, tokens)
