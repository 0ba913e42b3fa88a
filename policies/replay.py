"""The replay buffer: observations and outcomes as they were measured, judged when sampled.

Neither a reward nor a speed is stored, so both can change and the past is worth something new.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer

from .priorities import Priorities
from .spaces import DEPTH_SPACE, Array
from .transition import ROW_SIZE, Floats, Reason

Integers = npt.NDArray[np.int64]
Small = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Rows:
    """Transitions as columns.

    Attributes:
        observations: raw, float32, shape (n, DEPTH_SPACE.size).
        following: the raw observations that came next, of the same shape.
        actions: depths applied, shape (n,).
        outcomes: as ``outcome_row`` makes them, float32, shape (n, ROW_SIZE).
        ratios: parameters of the drafter over those of the target, float32, shape (n,).
        engines: which engine, as the learner counts them, shape (n,).
        numbers: of the decisions, as their engine counts them, shape (n,).
        chosen: depths chosen, which under mode shadow were not applied, int8, shape (n,).
        propensities: chances with which they were chosen, in (0, 1], float32, shape (n,); NaN
            where that is not known.
        reasons: why, as numbers of ``Reason``, int8, shape (n,).
    """

    observations: Array
    following: Array
    actions: Integers
    outcomes: Array
    ratios: Array
    engines: Integers
    numbers: Integers
    chosen: Small
    propensities: Array
    reasons: Small

    def __len__(self) -> int:
        return len(self.actions)

    def check(self, k_max: int, engines: int) -> None:
        """Refuse columns from outside that do not fit.

        Raises:
            ValueError: naming the column.
        """
        n = len(self.actions)
        widths = {"observations": DEPTH_SPACE.size, "following": DEPTH_SPACE.size}
        for f in fields(self):
            column = getattr(self, f.name)
            width = {**widths, "outcomes": ROW_SIZE}.get(f.name)
            if column.shape != ((n,) if width is None else (n, width)):
                raise ValueError(f"{f.name} has shape {column.shape}")
            if f.name != "propensities" and not np.isfinite(column).all():
                raise ValueError(f"{f.name} is not finite")
        if ((self.propensities <= 0.0) | (self.propensities > 1.0)).any():
            raise ValueError("propensities must be in (0, 1], or NaN")
        for name, kind, limit in (
            ("actions", np.int64, k_max + 1),
            ("engines", np.int64, engines),
            ("numbers", np.int64, 1 << 62),
            ("chosen", np.int8, k_max + 1),
            ("reasons", np.int8, len(Reason)),
        ):
            column = getattr(self, name)
            if column.dtype != kind or not ((column >= 0) & (column < limit)).all():
                raise ValueError(f"{name} must be integers in [0, {limit})")

    def take(self, index: npt.NDArray[Any]) -> Rows:
        """Copies of some rows, by their numbers or by a mask."""
        return Rows(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class Draw:
    """Rows drawn from the buffer.

    Attributes:
        index: their places, shape (n,).
        rows: copies.
        weights: what undoes that surprising rows are drawn more often, shape (n,), 1 on average.
    """

    index: npt.NDArray[np.intp]
    rows: Rows
    weights: Floats


class OutcomeReplay(ReplayBuffer):
    """A ring of transitions.

    One row takes ``ROW_BYTES``, 738 bytes: 50,000 of them 37 MB.

    Args:
        buffer_size: rows kept; the oldest are overwritten.
        args: as Stable-Baselines3's ``ReplayBuffer`` takes them; sampling itself stays in NumPy.
        options: likewise; ``optimize_memory_usage`` must be False, as no row follows another.
    """

    def __init__(self, buffer_size: int, *args: Any, **options: Any) -> None:
        super().__init__(buffer_size, *args, **options)
        self.outcomes: Array = np.zeros((buffer_size, ROW_SIZE), np.float32)
        self.ratios: Array = np.zeros(buffer_size, np.float32)
        self.engines: Integers = np.zeros(buffer_size, np.int64)
        self.numbers: Integers = np.zeros(buffer_size, np.int64)
        self.chosen: Small = np.zeros(buffer_size, np.int8)
        self.propensities: Array = np.full(buffer_size, np.nan, np.float32)
        self.reasons: Small = np.zeros(buffer_size, np.int8)
        self.priorities = Priorities(buffer_size)
        self._successors: Integers = np.arange(buffer_size, dtype=np.int64)
        self._newest: dict[int, int] = {}  # place of every engine's newest row

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        """The rings, under the names of ``Rows``, one row per transition."""
        return {
            "observations": self.observations[:, 0],
            "following": self.next_observations[:, 0],
            "actions": self.actions[:, 0, 0],
            "outcomes": self.outcomes,
            "ratios": self.ratios,
            "engines": self.engines,
            "numbers": self.numbers,
            "chosen": self.chosen,
            "propensities": self.propensities,
            "reasons": self.reasons,
        }

    def append(self, rows: Rows) -> None:
        """Store transitions, oldest first."""
        columns = self._columns()
        skipped = max(0, len(rows) - self.buffer_size)
        count = len(rows) - skipped
        at = (self.pos + np.arange(count)) % self.buffer_size
        for name, ring in columns.items():
            ring[at] = getattr(rows, name)[skipped:]
        for engine in np.unique(self.engines[at]):
            self._link(int(engine), at[self.engines[at] == engine])
        self.priorities.added(at)
        self.full = self.full or self.pos + count >= self.buffer_size
        self.pos = (self.pos + count) % self.buffer_size

    def _link(self, engine: int, at: npt.NDArray[np.intp]) -> None:
        """Note which row of an engine follows which."""
        before = np.concatenate([[self._newest.get(engine, at[0])], at[:-1]])
        self._successors[before] = at
        self._newest[engine] = int(at[-1])

    def successors(
        self, index: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_]]:
        """Where the same engine's next decisions are, and whether they are there at all."""
        after = self._successors[index]
        same = self.engines[after] == self.engines[index]
        return after, same & (self.numbers[after] == self.numbers[index] + 1)

    def draw(self, count: int, rng: np.random.Generator) -> Draw:
        """Rows drawn with replacement, the recent and the surprising ones more often."""
        index, weights = self.priorities.draw(count, self.size(), self.pos, rng)
        return Draw(index, self.take(index), weights)

    def latest(self, count: int) -> Rows:
        """The newest rows, oldest first: ``count`` of them, or as many as there are."""
        count = min(count, self.size())
        return self.take((self.pos - count + np.arange(count)) % self.buffer_size)

    def take(self, index: npt.NDArray[np.integer[Any]]) -> Rows:
        """Copies of the rows at some places of the ring."""
        return Rows(**{name: ring[index] for name, ring in self._columns().items()})

    @property
    def nbytes(self) -> int:
        """Bytes that the stored rows take."""
        return self.size() * ROW_BYTES


ROW_BYTES = 4 * (2 * DEPTH_SPACE.size + ROW_SIZE + 2) + 5 * 8 + 2
"""Bytes of one transition in the buffer."""
