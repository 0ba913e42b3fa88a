"""Which objectives were attained, counted by SLO class."""

from __future__ import annotations

import math
from copy import copy

import msgspec

from ..policies.slo import OBJECTIVES, Slo


class Attained(msgspec.Struct, array_like=True):
    """Requests of one SLO class that ended, since the engine's start.

    An objective that a request does not have is attained.

    Attributes:
        finished: all of them.
        ttft: those that attained their time to first token.
        tpot: those that attained their time per output token.
        deadline: those that attained their deadline.
        attained: those that attained all three.
        best_effort: those of which an objective was given up or missed.
    """

    finished: int = 0
    ttft: int = 0
    tpot: int = 0
    deadline: int = 0
    attained: int = 0
    best_effort: int = 0


def missed(slo: Slo, arrived: float, first: float, end: float, emitted: int) -> tuple[str, ...]:
    """The objectives that a request missed.

    TTFT is from the arrival to the first token, TPOT the mean from the first to the last token per
    token after the first, and the deadline counts from the arrival to the last token. One token
    attains any TPOT; a request without a token attains nothing that it was promised.

    Args:
        slo: its objectives.
        arrived: when it reached the engine, seconds of any one monotonic clock, as all times here.
        first: when its first token came.
        end: when its last token came.
        emitted: its tokens.
    """
    if not emitted:
        times = (math.inf, math.inf, math.inf)
    else:
        per_token = (end - first) / (emitted - 1) if emitted > 1 else 0.0
        times = (first - arrived, per_token, end - arrived)
    bounds = (slo.ttft, slo.tpot, slo.deadline)
    return tuple(
        name for name, took, most in zip(OBJECTIVES, times, bounds, strict=True) if took > most
    )


def lost(names: tuple[str, ...], given_up: str) -> str:
    """Objectives that were given up or missed, in order, joined by ``+``; "" for none.

    Args:
        names: those missed.
        given_up: the one that the scheduler gave up; "" for none.
    """
    return "+".join(name for name in OBJECTIVES if name in names or name == given_up)


class Attainment:
    """Counts requests as they end.

    Names come from the configuration, never from clients, so there are few.
    """

    def __init__(self) -> None:
        self._classes: dict[str, Attained] = {}

    def finish(
        self,
        slo: Slo,
        arrived: float,
        first: float,
        end: float,
        emitted: int,
        given_up: str = "",
    ) -> str:
        """Count a request that ended.

        Args:
            slo: its objectives, with the name of its class.
            arrived: as all times, and the tokens, as ``missed`` takes them.
            first: when its first token came.
            end: when its last token came.
            emitted: its tokens.
            given_up: the objective that the scheduler gave up; "" for none.

        Returns:
            The objectives that were given up or missed, joined by ``+``; "" for none.
        """
        names = missed(slo, arrived, first, end, emitted)
        said = lost(names, given_up)
        counts = self._classes.get(slo.name)
        if counts is None:
            counts = self._classes[slo.name] = Attained()
        counts.finished += 1
        counts.ttft += "ttft" not in names
        counts.tpot += "tpot" not in names
        counts.deadline += "deadline" not in names
        counts.attained += not names
        counts.best_effort += bool(said)
        return said

    def counts(self) -> dict[str, Attained]:
        """By class, as of now; may be called from any thread."""
        # list() of a dictionary's items is one step under the interpreter's lock.
        return {name: copy(counts) for name, counts in list(self._classes.items())}
