"""Who decides on a live engine, one after the other, in one process that goes on."""

from __future__ import annotations

import math
import time
from typing import Final

from ..inference.reports import LEARNED, Beat
from ..policies.transition import Transition
from .engines import BenchError
from .session import ENGINE, Session

_SAME: Final = 1e-6  # of a speed, which may have been a float32
_POLL: Final = 0.05  # seconds between two looks at the last beat


class Switch:
    """Puts arms in force on the engine of a session.

    None learns from the turns of others: the learner is told of what it decided itself, alone.

    Args:
        running: engine and controller.

    Attributes:
        open: whether it is told of everything all the same, for what all may know.
    """

    def __init__(self, running: Session) -> None:
        self.client = running.client
        self.listener = running.listener
        self.open = False
        self._ours: tuple[float, float] = (math.inf, math.inf)  # when the learner's decided last
        self._policy = LEARNED
        self.listener.teaches = self._teaches

    def to(self, policy: str, speed: float | None = None) -> int:
        """Put an arm in force.

        Args:
            policy: ``off`` and ``fixed?depth=K`` pin the depth; ``learned`` is the learner's
                snapshots; else one of the catalogue.
            speed: of the knob; None leaves it.

        Returns:
            The number of its pin; 0 without one.
        """
        self.over()
        if (depth := depth_of(policy)) is not None:
            return self.client.pin(ENGINE, depth)
        if speed is not None:
            self.client.set_knob(speed)
        if policy != self._policy:
            self.client.set_policy(ENGINE, policy)
            self._policy = policy
        if policy == LEARNED:
            self._ours = (time.time(), math.inf)
        self.client.pin(ENGINE, None)
        return 0

    def over(self, at: float | None = None) -> None:
        """The turn of the arm in force is over: now, or at an earlier second of the epoch."""
        start, end = self._ours
        self._ours = (start, min(end, time.time() if at is None else at))

    def in_force(self, policy: str, speed: float | None = None, seconds: float = 15.0) -> None:
        """Put an arm in force, and wait until the engine says that it is.

        Raises:
            BenchError: if it does not, in time.
        """
        pin = self.to(policy, speed)
        asked = time.time()

        def holds(beat: Beat) -> bool:
            if beat.at < asked or beat.pin != pin:
                return False
            same = speed is None or abs(beat.speed - speed) < _SAME
            return bool(pin) or (beat.policy == policy and same)

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.listener.beat is not None and holds(self.listener.beat):
                return
            time.sleep(_POLL)
        raise BenchError(f"the engine did not follow: {policy} was not in force in {seconds:g} s")

    def idle(self, seconds: float = 30.0) -> Beat:
        """Wait until no request is under way; the beat that says so.

        Raises:
            BenchError: if some still are by then.
        """
        asked, deadline = time.time(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            beat = self.listener.beat
            if beat is not None and beat.at > asked and not beat.running and not beat.waiting:
                return beat
            time.sleep(_POLL)
        raise BenchError(f"the engine still had requests {seconds:g} s after the last")

    def _teaches(self, transition: Transition) -> bool:
        """Whether the learner's own snapshots decided it, in a turn of theirs, or all may know."""
        if self.open:
            return True
        start, end = self._ours
        return transition.decision.pin == 0 and start <= transition.decision.at < end


def depth_of(policy: str) -> int | None:
    """The depth of a policy that has but one."""
    if policy == "off":
        return 0
    name, _, option = policy.partition("?depth=")
    return int(option) if name == "fixed" else None
