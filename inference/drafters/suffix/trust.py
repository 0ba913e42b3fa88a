"""How far matches can be trusted, learned from what the target emitted.

Two tables, decayed, with priors. By source and length of a match: how often what followed it is
what the target then emits; it weighs sources against each other, and every source learns from
every step, whichever was drafted from. By source, length and agreement of the matches: how often
the token drafted is accepted; that says how far a draft goes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ....policies.compiling import compiled
from ....policies.transition import Floats
from .tokens import SOURCES, Integers, Tokens

LENGTHS: Final = 9
"""Ranges of a match's length: 1, 2, 3, 4, 5-6, 7-9, 10-15, 16-31, longer."""
AGREEMENTS: Final = 6
"""Ranges of agreement: below a half, below 4/5, not all; all of one match, of 2 or 3, of more."""
CELLS: Final = SOURCES * LENGTHS * AGREEMENTS

_BY_LENGTH = np.array([0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.95])
_BY_AGREEMENT = np.array([0.45, 0.7, 0.9, 0.95, 1.0, 1.02])

MEMORY: Final = 0.97
"""Weight of the past per ``BLOCK`` tokens judged: some 8,000 count."""
BLOCK: Final = 256
PRIOR: Final = 4.0
"""Strength of what is believed at first: as much as so many tokens judged."""
HISTORY_PRIOR: Final = 2.0
"""Strength of a request's prior: as much as so many rejections expected (``policies.frailty``)."""


class Trust:
    """What was learned of matches so far.

    Attributes:
        right: P(what followed a match is emitted), by source and length, shape (SOURCES, LENGTHS).
        chance: P(a token drafted is accepted), by cell (``cell``), shape (CELLS,).
    """

    def __init__(self) -> None:
        by_length = np.broadcast_to(_BY_LENGTH, (SOURCES, LENGTHS))
        by_cell = np.minimum(_BY_LENGTH[:, None] * _BY_AGREEMENT, 0.97)
        self._believed: tuple[Floats, Floats] = (
            by_length.reshape(-1).copy(),
            np.tile(by_cell.reshape(-1), SOURCES),
        )
        self._right = np.zeros((SOURCES * LENGTHS, 2))
        self._accepted = np.zeros((CELLS, 2))
        self._judged = 0
        self.right: Floats = self._believed[0].copy()
        self.chance: Floats = self._believed[1].copy()

    def judge(
        self,
        draft: Tokens,
        cells: Integers,
        guesses: Integers,
        emitted: Tokens,
    ) -> tuple[int, float, int]:
        """Learn from what the target emitted after a draft was made.

        Args:
            draft: the tokens drafted, whether or not the target has seen them.
            cells: the cell of each.
            guesses: by source, the token that followed its longest match, or -1, and the number
                of its entry in ``right``, shape (SOURCES, 2).
            emitted: what the target emitted, at least one token.

        Returns:
            How many tokens were judged; how many rejections were expected of them; how many there
            were, 0 or 1.
        """
        judged, expected, rejected = _judge(
            *(draft, cells, guesses, emitted, self._right, self._accepted, self.chance),
        )
        self._judged += judged
        if self._judged >= BLOCK:
            self._judged = 0
            self._right *= MEMORY
            self._accepted *= MEMORY
        _refresh(self._right, self._believed[0], self.right)
        _refresh(self._accepted, self._believed[1], self.chance)
        return judged, expected, rejected

    def tables(self) -> tuple[Floats, Floats]:
        """What was counted: judged and right, by entry of ``right`` and by cell."""
        return self._right, self._accepted

    def restore(self, right: Floats, accepted: Floats) -> None:
        """Go on from what ``tables`` gave.

        Raises:
            ValueError: if these are no such counts.
        """
        for name, given, kept in (
            ("right", right, self._right),
            ("accepted", accepted, self._accepted),
        ):
            if given.shape != kept.shape or given.dtype != kept.dtype:
                raise ValueError(f"{name} must have the shape {kept.shape}, not {given.shape}")
            if not (
                np.isfinite(given).all()
                and (given[:, 0] >= given[:, 1]).all()
                and (given >= 0).all()
            ):
                raise ValueError(f"{name} must be counts")
        self._right[:] = right
        self._accepted[:] = accepted
        _refresh(self._right, self._believed[0], self.right)
        _refresh(self._accepted, self._believed[1], self.chance)


@compiled
def length_range(length: int) -> int:
    """The range that a match's length is in."""
    if length <= 4:
        return length - 1
    if length <= 9:
        return 4 if length <= 6 else 5
    if length <= 15:
        return 6
    return 7 if length <= 31 else 8


@compiled
def cell(source: int, length: int, share: float, count: int) -> int:
    """The cell of a token: its best match's source and length, its share, its number of matches."""
    if share < 0.99:
        agreement = 0 if share < 0.5 else (1 if share < 0.8 else 2)
    else:
        agreement = 3 if count == 1 else (4 if count <= 3 else 5)
    return (source * LENGTHS + length_range(length)) * AGREEMENTS + agreement


@compiled
def _judge(
    draft: Tokens,
    cells: Integers,
    guesses: Integers,
    emitted: Tokens,
    right: Floats,
    accepted: Floats,
    chance: Floats,
) -> tuple[int, float, int]:
    for source in range(SOURCES):
        if guesses[source, 0] >= 0:
            right[guesses[source, 1], 0] += 1.0
            right[guesses[source, 1], 1] += guesses[source, 0] == emitted[0]
    expected = 0.0
    for j in range(min(len(draft), len(emitted))):
        accepted[cells[j], 0] += 1.0
        expected += 1.0 - chance[cells[j]]
        if draft[j] != emitted[j]:
            return j + 1, expected, 1
        accepted[cells[j], 1] += 1.0
    return min(len(draft), len(emitted)), expected, 0


@compiled
def _refresh(counts: Floats, believed: Floats, estimate: Floats) -> None:
    for k in range(len(estimate)):
        estimate[k] = (PRIOR * believed[k] + counts[k, 1]) / (PRIOR + counts[k, 0])
