"""Steps of environments: a depth pinned for one interval, answered when it was measured."""

from __future__ import annotations

from typing import Final

from .request import RefusedError, Request

LEASE: Final = 60.0
"""Seconds after a step's answer in which the next one must come; then the pin is let go, so that
a client that died does not hold an engine to its last depth."""


class Steps:
    """Steps that wait for their interval, at most one per engine."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[int, Request]] = {}
        self._leases: dict[str, float] = {}

    def begin(self, engine: str, pin: int, request: Request) -> None:
        """Wait for the first interval under a pin."""
        self.supersede(engine, "a newer step")
        self._waiting[engine] = (pin, request)

    def waits_for(self, engine: str, pin: int) -> bool:
        """Whether a step waits for an interval under this pin."""
        return engine in self._waiting and self._waiting[engine][0] == pin

    def take(self, engine: str, now: float) -> Request:
        """The request that waits; its pin is leased from now on."""
        self._leases[engine] = now + LEASE
        return self._waiting.pop(engine)[1]

    def supersede(self, engine: str, by: str) -> None:
        """Refuse what waits, and end the lease: something else set the depth."""
        self._leases.pop(engine, None)
        if engine in self._waiting:
            _, request = self._waiting.pop(engine)
            request.refuse(RefusedError(f"the step was superseded by {by}", 409))

    def lapsed(self, now: float) -> list[str]:
        """Engines whose lease has just run out."""
        over = [engine for engine, end in self._leases.items() if now > end]
        for engine in over:
            del self._leases[engine]
        return over

    def close(self) -> list[str]:
        """Refuse everything that waits; the engines that steps hold."""
        held = sorted({*self._waiting, *self._leases})
        for engine in held:
            self.supersede(engine, "the controller's stop")
        return held
