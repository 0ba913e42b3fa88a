"""Relabelling: transitions as if they had been decided under other speeds."""

from __future__ import annotations

import numpy as np

from .replay import Rows
from .spaces import SPEED_INDEX
from .transition import Floats


def at_speeds(rows: Rows, speeds: Floats) -> Rows:
    """Rows as if they had been decided under other speeds; the rows given are changed."""
    rows.observations[:, SPEED_INDEX] = speeds
    rows.following[:, SPEED_INDEX] = speeds
    return rows


def sample_speeds(count: int, knob: float, rng: np.random.Generator) -> Floats:
    """Speeds to relabel rows with: half anywhere, the others at both ends and at the knob."""
    speeds = rng.random(count)
    fixed = rng.choice([0.0, 1.0, knob], size=count)
    return np.where(rng.random(count) < 0.5, speeds, fixed)
