"""What the governor remembers of requests: their class, and how their drafts fared."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from ..policies.slo import DEFAULT_CLASSES, NO_SLO, Slo, SloClasses, SloError, show
from ..policies.spaces import BEHAVIOURS, CLASSES, check_speed
from .attainment import lost, missed
from .drafters.drafter import Owner
from .history import History
from .objectives import ARGUMENTS, resolve

CLASS_HINT: Final = "flyball_class"
SPEED_HINT: Final = "flyball_speed"
TENANT_HINT: Final = "flyball_tenant"
SESSION_HINT: Final = "flyball_session"
DRAFTER_HINT: Final = "flyball_drafter"
_OURS: Final = "flyball_"

NAMED: Final = CLASSES - len(BEHAVIOURS)
"""Classes that requests can name."""

LONGEST_NAME: Final = 256
"""Characters of a tenant's or a session's name. A longer one is not cut: two could be one then."""


class RequestState(History):
    """One request: its speed, its objectives, whose it is, and how its drafts fared lately.

    Attributes:
        speed: speed it asks for, or None for the knob's.
        arrived: when the engine was given it, or came before, seconds of ``time.perf_counter``.
        first: when its first token came; NaN before.
        last: when its latest token came; NaN before.
        emitted: output tokens that it has been given.
        slo: its objectives; ``NO_SLO`` itself for none.
        promised: the first of ``slack.TERMS``: those that never change.
        missed: the objective that cannot be met any more, "ttft", "tpot" or "deadline"; "" while
            all can.
        open_ended: whether the API server may end it, at a stop string, before the engine would.
        owner: whose it is; None if it says so in a way that makes no sense: what it holds is then
            kept from every drafter that remembers.
        wanted: the drafter that it asks for; "" for none in particular.
        drafter: who drafts for it in the step that was scheduled last; "" before the first.
        histories: how each drafter's drafts for it fared, where there are several.
    """

    __slots__ = (
        *("arrived", "drafter", "emitted", "first", "histories", "last", "missed", "open_ended"),
        *("owner", "promised", "slo", "speed", "wanted"),
    )

    def __init__(self, named: int | None, speed: float | None, slo: Slo = NO_SLO) -> None:
        super().__init__(named)
        self.speed = speed
        self.arrived = time.perf_counter()
        self.first = self.last = math.nan
        self.emitted = 0
        self.slo = slo
        self.promised = (slo.ttft, slo.tpot, slo.deadline, self.arrived, math.inf)
        self.missed = ""
        self.open_ended = False
        self.owner: Owner | None = Owner()
        self.wanted = self.drafter = ""
        self.histories: dict[str, History] = {}

    def emit(self, tokens: int, at: float) -> None:
        """Output tokens came, at least one.

        Args:
            tokens: how many.
            at: seconds of ``time.perf_counter``.
        """
        if not self.emitted:
            self.first = at
        self.last = at
        self.emitted += tokens

    def came_before(self, seconds: float) -> None:
        """It came so long before the engine was given it: its objectives count from then on."""
        self.arrived -= seconds
        self.promised = (*self.promised[:3], self.arrived, *self.promised[4:])

    def limit(self, tokens: int) -> None:
        """It may emit so many tokens at most."""
        self.promised = (*self.promised[:-1], float(tokens))

    def history(self, drafter: str) -> History:
        """How one drafter's drafts for it fared; a new one the first time."""
        found = self.histories.get(drafter)
        if found is None:
            found = self.histories[drafter] = History(self.named)
        return found

    def likened(self, drafter: str) -> History:
        """By what is told how a drafter's drafts will fare: its own, or what drafts for it now.

        Of one that has not drafted for it nothing is known but how requests fared that are as hard
        or easy as this is for another.
        """
        own = self.history(drafter)
        if own.tried or self.drafter in ("", drafter):
            return own
        return History(self.history(self.drafter).slot)

    def lost(self) -> str:
        """Objectives given up or missed so far, joined by ``+``; "" for none."""
        names = missed(self.slo, self.arrived, self.first, self.last, self.emitted)
        return lost(names, self.missed)


class ClassNames:
    """Names that requests gave themselves, in the slots after the behaviours, first come."""

    def __init__(self) -> None:
        self.names: list[str] = [*BEHAVIOURS]

    def slot(self, name: str) -> int | None:
        """The slot of a name, taking a free one; None when all are taken."""
        if name in self.names[len(BEHAVIOURS) :]:
            return self.names.index(name, len(BEHAVIOURS))
        if len(self.names) == CLASSES:
            return None
        self.names.append(name)
        return len(self.names) - 1

    def padded(self) -> tuple[str, ...]:
        """All slots; "" for a free one."""
        return (*self.names, *("",) * (CLASSES - len(self.names)))


class Hints:
    """Takes what requests say of themselves in their ``vllm_xargs``.

    ``flyball_class`` names a request's class, ``flyball_speed`` its speed in [0, 1],
    ``flyball_tenant`` and ``flyball_session`` whose it is, ``flyball_drafter`` who is to draft for
    it, and ``objectives.ARGUMENTS`` its objectives, which the API server refuses if they make no
    sense (``vllm.slo_middleware``) where it is told to. Here, a hint must never fail a request: one
    that cannot be followed is as if it were not there, and counted. So is a misspelt one: what else
    begins with ``flyball_``.

    Args:
        classes: of objectives.
        drafters: that the engine offers.

    Attributes:
        names: of the classes.
        ignored: hints that were not followed.
        last_ignored: why the latest of them was not, for people; "" before the first.
    """

    def __init__(self, classes: SloClasses = DEFAULT_CLASSES, drafters: Sequence[str] = ()) -> None:
        self._classes = classes
        self._drafters = drafters
        self.names = ClassNames()
        self.ignored = 0
        self.last_ignored = ""

    def state(self, arguments: dict[str, object] | None) -> RequestState:
        """State for a new request."""
        if not arguments:
            return RequestState(None, None)
        for name in arguments:
            if str(name).startswith(_OURS) and name not in _HINTS:
                self._ignore(str(name), arguments[name], f"is none of {', '.join(_HINTS)}")
        state = RequestState(self._named(arguments), self._speed(arguments), self._slo(arguments))
        state.owner, state.wanted = self._owner(arguments), self._drafter(arguments)
        return state

    def _named(self, arguments: dict[str, object]) -> int | None:
        if CLASS_HINT not in arguments:
            return None
        name = arguments[CLASS_HINT]
        if not (isinstance(name, str) and name):
            self._ignore(CLASS_HINT, name, "must be a text")
            return None
        slot = self.names.slot(name[:64])
        if slot is None:
            self._ignore(CLASS_HINT, name, f"is one more than the {NAMED} there can be")
            return None
        return slot

    def _speed(self, arguments: dict[str, object]) -> float | None:
        if SPEED_HINT not in arguments:
            return None
        try:
            return check_speed(arguments[SPEED_HINT])
        except ValueError:
            self._ignore(SPEED_HINT, arguments[SPEED_HINT], "must be a number in [0, 1]")
            return None

    def _owner(self, arguments: dict[str, object]) -> Owner | None:
        names = {}
        for hint in (TENANT_HINT, SESSION_HINT):
            name = names[hint] = arguments.get(hint, "")
            if not (isinstance(name, str) and len(name) <= LONGEST_NAME):
                self._ignore(hint, name, f"must be a text of at most {LONGEST_NAME} characters")
                return None
        return Owner(str(names[TENANT_HINT]), str(names[SESSION_HINT]))

    def _drafter(self, arguments: dict[str, object]) -> str:
        name = arguments.get(DRAFTER_HINT, "")
        if name == "" or name in self._drafters:
            return str(name)
        offered = ", ".join(self._drafters)
        reason = (
            f"is none of {offered}" if offered else "is of no use: this engine offers no choice"
        )
        self._ignore(DRAFTER_HINT, name, reason)
        return ""

    def _slo(self, arguments: dict[str, object]) -> Slo:
        asked = {name: arguments[name] for name in ARGUMENTS if name in arguments}
        for name, value in list(asked.items()):
            try:
                resolve({}, {name: value}, self._classes)
            except SloError as e:
                del asked[name]
                self._refuse(str(e))
        return resolve({}, asked, self._classes) if asked else NO_SLO

    def _ignore(self, hint: str, value: object, reason: str) -> None:
        self._refuse(f"{hint[:64]} {reason}: {show(value)}")

    def _refuse(self, why: str) -> None:
        self.ignored += 1
        self.last_ignored = why


_HINTS: Final = (
    *(CLASS_HINT, SPEED_HINT, TENANT_HINT, SESSION_HINT, DRAFTER_HINT),
    *ARGUMENTS,
)
