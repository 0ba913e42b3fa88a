"""The replay buffer of plans: transitions as they were, judged when sampled."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.buffers import ReplayBuffer

from .rows import PlanRows, shape_of, type_of


class PlanReplay(ReplayBuffer):
    """A ring of transitions.

    Args:
        buffer_size: rows kept; the oldest are overwritten.
        args: as Stable-Baselines3's ``ReplayBuffer`` takes them; sampling itself stays in NumPy.
        options: likewise; ``optimize_memory_usage`` must be False, as no row follows another.
    """

    def __init__(self, buffer_size: int, *args: Any, **options: Any) -> None:
        super().__init__(buffer_size, *args, **options)
        own = {
            "observations": self.observations[:, 0],
            "following": self.next_observations[:, 0],
            "actions": self.actions[:, 0, 0],
        }
        self._columns: dict[str, npt.NDArray[Any]] = own | {
            f.name: np.zeros((buffer_size, *shape_of(f.name)), type_of(f.name))
            for f in fields(PlanRows)
            if f.name not in own
        }

    def append(self, rows: PlanRows) -> None:
        """Store transitions, oldest first."""
        count = min(len(rows), self.buffer_size)
        at = (self.pos + np.arange(count)) % self.buffer_size
        for name, ring in self._columns.items():
            ring[at] = getattr(rows, name)[len(rows) - count :]
        self.full = self.full or self.pos + count >= self.buffer_size
        self.pos = (self.pos + count) % self.buffer_size

    def draw(self, count: int, rng: np.random.Generator) -> PlanRows:
        """Copies of rows drawn with replacement, of which there is at least one."""
        index = rng.integers(self.size(), size=count)
        return PlanRows(**{name: ring[index] for name, ring in self._columns.items()})

    def latest(self, count: int) -> PlanRows:
        """Copies of the newest rows, oldest first: ``count`` of them, or as many as there are."""
        count = min(count, self.size())
        index = (self.pos - count + np.arange(count)) % self.buffer_size
        return PlanRows(**{name: ring[index] for name, ring in self._columns.items()})
