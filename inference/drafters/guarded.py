"""A drafter that can do no harm: its faults cost its drafts, and in the end itself."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from .drafter import Ask, Drafter, Owner

log = logging.getLogger("flyball")

FAULT_LIMIT: Final = 3
"""Faults within ``FAULT_MEMORY`` proposals after which a drafter is taken out."""

FAULT_MEMORY: Final = 1000

_MOVE: Final = 0.05  # weight of one proposal in the mean seconds per draft


class Guarded:
    """One drafter behind a fence: never raises, and what it gives are drafts.

    Args:
        name: by which it is offered.
        drafter: belongs to this object from here on.
        vocabulary: tokens of the target; ids are in [0, vocabulary).

    Attributes:
        faults: since the start.
        last_fault: for people; "" before the first.
        out: whether it was taken out, for good.
        asked: drafts that were asked for.
        drafted: tokens that it drafted.
        seconds: per draft asked for, moving mean; 0 before the first.
    """

    def __init__(self, name: str, drafter: Drafter, vocabulary: int) -> None:
        self.name = name
        self.faults = self.asked = self.drafted = 0
        self.last_fault = ""
        self.out = False
        self.seconds = 0.0
        self._drafter = drafter
        self._closing: threading.Thread | None = None
        self._vocabulary = vocabulary
        self._known: set[str] = set()  # requests whose every token it has been given
        self._proposals = 0
        self._recent: deque[int] = deque(maxlen=FAULT_LIMIT)  # proposals that faults came after

    def knows(self, request: str) -> bool:
        """Whether it can be asked for a request's drafts."""
        return request in self._known

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:
        """Take in a request."""
        if not self.out and self._try(lambda: self._drafter.begin(request, prompt, owner)):
            self._known.add(request)

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in tokens of a request; one whose tokens it failed to take in it knows no more."""
        if request in self._known and not self._try(lambda: self._drafter.extend(request, tokens)):
            self.end(request)

    def end(self, request: str) -> None:
        """Let go of a request."""
        if request in self._known:
            self._known.discard(request)
            self._try(lambda: self._drafter.end(request))

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft for requests that it knows.

        Returns:
            As many drafts as asks, each of 0 to ``depth`` tokens of the vocabulary.
        """
        if self.out or not asks:
            return [[] for _ in asks]
        self._proposals += 1
        self.asked += len(asks)
        started = time.perf_counter()
        try:
            drafts = self._drafter.propose(asks)
            if len(drafts) != len(asks):
                raise ValueError(f"{len(drafts)} drafts for {len(asks)} asks")
            checked = self._checked(asks, drafts)
        except Exception as e:  # noqa: BLE001 - whatever a drafter does, requests go on
            self._fault(e)
            return [[] for _ in asks]
        self.drafted += sum(map(len, checked))
        mean = (time.perf_counter() - started) / len(asks)
        self.seconds += (_MOVE if self.seconds else 1.0) * (mean - self.seconds)
        return checked

    def promised(self, request: str) -> float:
        """Tokens of its last draft for a request that it expects to be accepted; 0 if it fails."""
        if not self.knows(request):
            return 0.0
        try:
            return self._drafter.promised(request)
        except Exception as e:  # noqa: BLE001
            self._fault(e)
            return 0.0

    def close(self) -> None:
        """End what runs in its background."""
        if self._closing is not None:
            self._closing.join()
        else:
            self._try(self._drafter.close)

    def _checked(self, asks: Sequence[Ask], drafts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Drafts of plain ints, with nothing in place of those that are not allowed.

        However many these are, they are one fault: a step goes on without them.
        """
        checked: list[list[int]] = []
        wrong: ValueError | None = None
        for ask, draft in zip(asks, drafts, strict=True):
            tokens = [int(token) for token in draft]
            error = self._wrong(ask, tokens)
            wrong = wrong or error
            checked.append([] if error else tokens)
        if wrong is not None:
            self._fault(wrong)
        return checked

    def _wrong(self, ask: Ask, tokens: Sequence[int]) -> ValueError | None:
        if len(tokens) > ask.depth:
            return ValueError(f"{len(tokens)} tokens, where {ask.depth} were asked for")
        if tokens and not (min(tokens) >= 0 and max(tokens) < self._vocabulary):
            wrong = next(token for token in tokens if not 0 <= token < self._vocabulary)
            return ValueError(f"token {wrong} is not in [0, {self._vocabulary})")
        return None

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as e:  # noqa: BLE001
            self._fault(e)
            return False
        return True

    def _fault(self, error: Exception) -> None:
        self.faults += 1
        self.last_fault = f"{type(error).__name__}: {error}"
        self._recent.append(self._proposals)
        if self.out:
            return
        log.warning("drafter %s, fault %d: %s", self.name, self.faults, self.last_fault)
        full = len(self._recent) == FAULT_LIMIT
        if full and self._proposals - self._recent[0] <= FAULT_MEMORY:
            self.out = True
            self._known.clear()
            log.error("drafter %s is taken out after %d faults", self.name, self.faults)
            # To save what it holds may take seconds, which no engine step is to wait for.
            self._closing = threading.Thread(
                target=self._try, args=(self._drafter.close,), name="flyball-closing"
            )
            self._closing.start()
