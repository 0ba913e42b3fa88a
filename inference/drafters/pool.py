"""The drafters of one engine, offered together: each request's drafts come from one of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .drafter import Ask, Drafter, Owner
from .guarded import Guarded
from .scoring import Score, Scorer

BUDGET: Final = 500e-6
"""Seconds per engine step for drafts that nobody uses, but for what they tell."""

CHEAP: Final = 200e-6
"""Seconds per draft up to which a drafter is asked for such."""

_FORGET: Final = 0.999  # of the seconds of one that took more, per step: it may have been the load


@dataclass(frozen=True, slots=True)
class DrafterState:
    """How a drafter is.

    Attributes:
        asked: drafts that it was asked for, since the start.
        drafted: tokens that it drafted.
        seconds: per draft asked for, moving mean.
        faults: since the start.
        last_fault: for people; "" before the first.
        out: whether it was taken out.
    """

    asked: int = 0
    drafted: int = 0
    seconds: float = 0.0
    faults: int = 0
    last_fault: str = ""
    out: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """What a drafter expects of a draft.

    Attributes:
        tokens: that will be accepted.
        length: of the draft, tokens.
    """

    tokens: float
    length: int


class DrafterPool:
    """Offers several drafters; belongs to one thread, and nothing that a drafter does gets out.

    Args:
        drafters: by the name under which each is offered; they belong to the pool from here on.
        vocabulary: tokens of the target.
        budget: seconds per step for drafts that are only scored; 0 for none of them.
    """

    def __init__(
        self, drafters: Mapping[str, Drafter], vocabulary: int, budget: float = BUDGET
    ) -> None:
        self._members = {
            name: Guarded(name, drafter, vocabulary) for name, drafter in drafters.items()
        }
        self._budget = budget
        self._turns = dict.fromkeys(drafters, 0)  # requests that had a draft only to be scored
        self._scorer = Scorer()
        self._spent: dict[str, tuple[int, float]] = {}
        self._requests: set[str] = set()
        self._consulted: dict[tuple[str, str], list[int]] = {}  # by drafter and request

    def __len__(self) -> int:
        """Drafters that have not been taken out."""
        return sum(not member.out for member in self._members.values())

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request; one of that name that has not ended is over."""
        if request in self._requests:
            self.end(request)
        self._requests.add(request)
        for member in self._members.values():
            member.begin(request, prompt, owner)

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens that the target has emitted for a request, in order."""
        if not tokens or request not in self._requests:
            return
        self._scorer.emitted(request, tokens)
        for member in self._members.values():
            member.extend(request, tokens)

    def end(self, request: str) -> None:
        """Let go of a request; one that is not known is ignored."""
        self._requests.discard(request)
        self._scorer.end(request)
        for member in self._members.values():
            member.end(request)

    def consult(
        self, name: str, requests: Iterable[str], depth: int, least: float | None = None
    ) -> dict[str, Promise]:
        """Have a drafter draft in this step, before it is known who drafts.

        The drafts are scored, whether they are used or not, and kept for ``propose``.

        Args:
            name: the drafter's.
            requests: for which.
            depth: most tokens per draft, at least 1.
            least: chance from which on a token is worth verifying; None leaves it to the drafter.

        Returns:
            What its draft promises, of each request that it has one for.
        """
        member = self._members[name]
        asks = [Ask(request, depth, least) for request in requests if member.knows(request)]
        started = time.perf_counter()
        for ask, draft in zip(asks, member.propose(asks), strict=True):
            self._consulted[name, ask.request] = draft
            self.score(ask.request, name, draft, depth)
        lengths = {ask.request: len(self._consulted[name, ask.request]) for ask in asks}
        promised = {r: Promise(member.promised(r), n) for r, n in lengths.items() if n}
        self._count(name, len(asks), time.perf_counter() - started)
        return promised

    def score(self, request: str, name: str, draft: list[int], asked: int) -> None:
        """Hold a draft, of one of the pool or of another, to what the target emits next."""
        if request in self._requests and not self._scorer.awaits(request, name):
            self._scorer.add(request, name, draft, asked)

    def propose(
        self,
        rows: Sequence[tuple[str, str]],
        depth: int,
        scored: int,
        least: float | None = None,
    ) -> list[list[int]]:
        """Draft, and ask cheap drafters for drafts that are only scored.

        What ``consult`` had drafted for a row's drafter is taken as it is.

        Args:
            rows: requests and the drafter of each; one that is not of this pool drafts nothing.
            depth: most tokens per draft; 0 for none.
            scored: most tokens of a draft that is only scored, at least 1.
            least: chance from which on a token is worth verifying; None leaves it to the drafters.

        Returns:
            As many drafts as rows, each of 0 to ``depth`` tokens.
        """
        drafts: list[list[int]] = [[] for _ in rows]
        for name, member in self._members.items() if depth else ():
            places = [i for i, (r, drafter) in enumerate(rows) if drafter == name]
            for i in places:
                drafts[i] = self._consulted.get((name, rows[i][0]), [])
            places = [i for i in places if self._is_asked(name, rows[i][0])]
            if not places:
                continue
            asks = [Ask(rows[i][0], depth, least) for i in places]
            started = time.perf_counter()
            for i, draft in zip(places, member.propose(asks), strict=True):
                drafts[i] = draft
            self._count(name, len(asks), time.perf_counter() - started)
        self._ask_for_nothing(rows, scored, least)
        self._consulted.clear()
        return drafts

    def scores(self) -> list[Score]:
        """Of drafts that were only scored, decided since this was last called."""
        return self._scorer.take()

    def spent(self) -> dict[str, tuple[int, float]]:
        """Drafts used that each drafter made since this was last called, and seconds."""
        spent, self._spent = self._spent, {}
        return spent

    def states(self) -> dict[str, DrafterState]:
        """How each drafter is."""
        return {
            name: DrafterState(m.asked, m.drafted, m.seconds, m.faults, m.last_fault, m.out)
            for name, m in self._members.items()
        }

    def close(self) -> None:
        """End what runs in the drafters' background, and let them keep what is to be kept."""
        for member in self._members.values():
            if not member.out:
                member.close()

    def _ask_for_nothing(
        self, rows: Sequence[tuple[str, str]], depth: int, least: float | None
    ) -> None:
        """Have drafts made where another's are used, as far as time allows."""
        left = self._budget
        for name, member in self._members.items():
            if member.seconds > CHEAP:
                member.seconds *= _FORGET
                continue
            if member.out or left <= 0.0:
                continue
            asks = [Ask(request, depth, least) for request, drafter in rows if drafter != name]
            asks = [
                ask
                for ask in asks
                if self._is_asked(name, ask.request) and not self._scorer.awaits(ask.request, name)
            ]
            started = time.perf_counter()
            asks = self._in_turn(name, asks, left)
            for ask, draft in zip(asks, member.propose(asks), strict=True):
                self._scorer.add(ask.request, name, draft, depth)
            left -= time.perf_counter() - started

    def _is_asked(self, name: str, request: str) -> bool:
        """Whether a drafter can be asked for a request's draft, and was not in this step."""
        return (name, request) not in self._consulted and self._members[name].knows(request)

    def _count(self, name: str, drafts: int, seconds: float) -> None:
        """A drafter made drafts that may be used."""
        if drafts:
            before = self._spent.get(name, (0, 0.0))
            self._spent[name] = (before[0] + drafts, before[1] + seconds)

    def _in_turn(self, name: str, asks: list[Ask], seconds: float) -> list[Ask]:
        """As many asks as take so long, beginning with those that were left out before."""
        if not asks:
            return asks
        each = self._members[name].seconds
        count = min(len(asks), max(int(seconds / each), 1) if each else 1)
        begin = self._turns[name] % len(asks)
        self._turns[name] = begin + count
        return (asks[begin:] + asks[:begin])[:count]
