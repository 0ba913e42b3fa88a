"""The moment in which a decision is due: what an engine does then."""

from __future__ import annotations

from typing import NamedTuple

from ..policies.spaces import CLASSES
from .flight import Flight
from .interval import Interval
from .requests import RequestState


class Load(NamedTuple):
    """What an engine's adapter looks up when a decision is due.

    Attributes:
        waiting: requests that wait to be scheduled.
        kv_usage: share of the KV cache in use, in [0, 1].
    """

    waiting: int
    kv_usage: float


class Moment(NamedTuple):
    """When a decision is due.

    Attributes:
        number: of the decision.
        batch: requests that run.
        load: of the engine.
        flight: the step launched last, if any was.
        before: the interval in force, if one is.
    """

    number: int
    batch: int
    load: Load
    flight: Flight | None
    before: Interval | None

    @property
    def requests(self) -> dict[str, RequestState]:
        """States of those that decode."""
        return self.flight.requests if self.flight is not None else {}

    @property
    def context(self) -> float:
        """Cached tokens of one of them, mean."""
        return self.flight.mean_context if self.flight is not None else 0.0


def shares(requests: dict[str, RequestState], knob: float) -> tuple[list[float], float]:
    """Share of each class in a batch, and the mean of the requests' speeds."""
    share = [0.0] * CLASSES
    if not requests:
        share[0] = 1.0
        return share, knob
    speed = 0.0
    weight = 1.0 / len(requests)
    for state in requests.values():
        share[state.slot] += weight
        speed += knob if state.speed is None else state.speed
    return share, min(max(speed * weight, 0.0), 1.0)
