"""How far drafts survive: counts as they come, and moving estimates from them.

Plain lists, not arrays: with eight positions and eight classes, a NumPy call costs more than the
loop it replaces.
"""

from __future__ import annotations

from typing import Final

from ..policies.spaces import CLASSES, MAX_DEPTH


class Verified:
    """Counts of verification, by position and by class.

    Attributes:
        tried: per position, drafts whose predecessors were all accepted.
        accepted: per position, drafts accepted.
        first: the same for first positions, by class: tried, accepted.
        later: the same for all other positions, by class: tried, accepted.
    """

    __slots__ = ("accepted", "first", "later", "tried")

    def __init__(self) -> None:
        self.tried = [0] * MAX_DEPTH
        self.accepted = [0] * MAX_DEPTH
        self.first = [[0] * CLASSES, [0] * CLASSES]
        self.later = [[0] * CLASSES, [0] * CLASSES]

    def add(self, slot: int, tried: int, accepted: int) -> None:
        """One request's drafts: positions tried and accepted, at least one tried."""
        for j in range(tried):
            self.tried[j] += 1
        for j in range(accepted):
            self.accepted[j] += 1
        self.first[0][slot] += 1
        self.later[0][slot] += tried - 1
        if accepted:
            self.first[1][slot] += 1
            self.later[1][slot] += accepted - 1


class Acceptance:
    """Moving estimates of how far drafts survive, overall by position and by class.

    Estimates are ratios of decayed counts, each pulled by a prior of a few pseudo-counts: a
    position's towards the position before it, a class's towards all traffic. What is not tried
    for long (deep positions while drafts are short) thus drifts to what is known nearby.
    """

    MEMORY: Final = 0.97  # per interval in which something was verified
    PRIOR: Final = 4.0
    START: Final = 0.7

    def __init__(self) -> None:
        self.position = [self.START] * MAX_DEPTH
        self.first = [self.START] * CLASSES
        self.later = [self.START] * CLASSES
        self._decayed = _Decayed()

    def update(self, new: Verified) -> None:
        """Add what was verified since the last update."""
        if not new.tried[0]:
            return
        old = self._decayed
        before = self.START
        for j in range(MAX_DEPTH):
            tried = old.tried[j] = old.tried[j] * self.MEMORY + new.tried[j]
            accepted = old.accepted[j] = old.accepted[j] * self.MEMORY + new.accepted[j]
            before = (accepted + self.PRIOR * before) / (tried + self.PRIOR)
            self.position[j] = before
        self._by_class(self.first, old.first, new.first, self.position[0])
        self._by_class(self.later, old.later, new.later, self._deeper())

    def _by_class(
        self, out: list[float], old: list[list[float]], new: list[list[int]], prior: float
    ) -> None:
        for c in range(CLASSES):
            tried = old[0][c] = old[0][c] * self.MEMORY + new[0][c]
            accepted = old[1][c] = old[1][c] * self.MEMORY + new[1][c]
            out[c] = (accepted + self.PRIOR * prior) / (tried + self.PRIOR)

    def _deeper(self) -> float:
        """Acceptance of all positions after the first together."""
        tried, accepted = sum(self._decayed.tried[1:]), sum(self._decayed.accepted[1:])
        return (accepted + self.PRIOR * self.position[0]) / (tried + self.PRIOR)

    def survival(self, share: list[float]) -> list[float]:
        """P(positions 1..j all accepted) for a batch with these class shares, MAX_DEPTH long."""
        out = [0.0] * MAX_DEPTH
        for c, weight in enumerate(share):
            if weight:
                alive, later = weight * self.first[c], self.later[c]
                for j in range(MAX_DEPTH):
                    out[j] += alive
                    alive = alive * later
        return out


class _Decayed:
    """The estimates' counts: as in ``Verified``, but fading."""

    def __init__(self) -> None:
        self.tried = [0.0] * MAX_DEPTH
        self.accepted = [0.0] * MAX_DEPTH
        self.first = [[0.0] * CLASSES, [0.0] * CLASSES]
        self.later = [[0.0] * CLASSES, [0.0] * CLASSES]
