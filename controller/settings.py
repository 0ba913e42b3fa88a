"""Every option of the learner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from ..policies.prices import price_list
from ..policies.snapshot import HIDDEN
from ..policies.spaces import check_speed

REWARD = "latency-cost"
"""The reward of a learner that was told of none."""

SPEED = 0.5
"""The speed of a learner that was told of none."""


@dataclass(frozen=True)
class LearnerSettings:
    """Options of the learner, checked when made.

    Raises:
        ValueError: naming the option, what it was and what it may be.
    """

    reward: str | None = None
    """name or place of the reward; None for the checkpoint's, or latency-cost"""
    speed: float | None = None
    """the knob at start, in [0, 1]; None for the checkpoint's, or 0.5"""
    prices: str = "compute"
    """the cost model: compute (positions) or engine_time (busy seconds)"""
    profile: Path | None = None
    """file of `flyball profile` from which the step times of its engine start"""
    start: Path | None = None
    """file of `flyball warm`, made from that profile, to begin with in a new run"""
    seed: int = 0
    """of everything random"""

    hidden: tuple[int, ...] = HIDDEN
    """units of each hidden layer of the value network"""
    learning_rate: float = 1e-3
    """of AdamW"""
    gamma: float = 0.25
    """discount per interval; the depth has few after-effects, so little is looked ahead"""
    tau: float = 0.02
    """share of the network that enters the averaged one, which is published, per gradient step"""
    anchor: float = 100.0
    """transitions that the analytic values weigh as much as, when they are corrected"""
    n_step: int = 3
    """intervals looked ahead as they happened, before an estimate takes over"""
    imagined: float = 0.5
    """weight of what an interval tells of shallower depths, by that of what was measured"""
    batch_size: int = 128
    """transitions in a gradient step"""
    updates_per_transition: float = 2.0
    """gradient steps that each new transition pays for; without new ones, training rests"""
    minimum_rows: int = 64
    """transitions needed before the first gradient step"""
    replay_size: int = 50_000
    """transitions kept to learn from, 738 bytes each: 37 MB"""
    relabel_updates: int = 500
    """gradient steps on the whole buffer when a reward comes in that must be learned"""
    forgetting: float = 0.9995
    """weight of the past per interval in the step-time model"""

    explore_start: float = 0.005
    """loss per decision (off = 1.0) that exploration may cost at first"""
    explore_floor: float = 0.001
    """the same in the long run"""
    explore_early: int = 12
    """transitions after which it begins to fall, by the root of their number"""

    first_snapshot: int = 24
    """transitions before the first snapshot"""
    publish_seconds: float = 2.0
    """least time between snapshots"""
    hold_seconds: float = 60.0
    """time after a rollback in which nothing newer is published"""
    keep_snapshots: int = 500
    """newest snapshots kept in the registry"""
    keep_every: int = 100
    """older snapshots are kept if their number is a multiple of this"""
    checkpoint_seconds: float = 15.0
    """time between checkpoints, for whoever drives the learner"""
    board_seconds: float = 2.0
    """time between points in TensorBoard"""

    def __post_init__(self) -> None:
        if self.speed is not None:
            check_speed(self.speed)
        price_list(self.prices, parameter_ratio=0.1)
        if self.start is not None and self.profile is None:
            raise ValueError("a start needs the profile that it was made from")
        if not self.hidden or not all(1 <= units <= 1024 for units in self.hidden):
            raise ValueError(f"hidden must be layers of 1 to 1024 units, not {self.hidden}")
        for names, low, high in _BOUNDS:
            for name in names:
                value = getattr(self, name)
                if not (math.isfinite(value) and low <= value <= high):
                    raise ValueError(f"{name} must be in [{low}, {high}], not {value}")
        if self.explore_floor > self.explore_start:
            raise ValueError("explore_floor must not exceed explore_start")


_BOUNDS: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("explore_start", "explore_floor"), 0.0, 1.0),
    (("gamma",), 0.0, 0.99),
    (("imagined",), 0.0, 1.0),
    (("n_step",), 1, 64),
    (("tau",), 1e-4, 1.0),
    (("anchor",), 0.0, 1e6),
    (("forgetting",), 0.9, 1.0),
    (("learning_rate",), 1e-6, 1.0),
    (("updates_per_transition",), 0.0, 1000.0),
    (("publish_seconds", "hold_seconds", "checkpoint_seconds", "board_seconds"), 0.0, 86400.0),
    (("batch_size", "minimum_rows", "explore_early", "first_snapshot"), 1, 1 << 16),
    (("keep_snapshots", "keep_every", "relabel_updates"), 1, 1 << 20),
    (("replay_size",), 64, 10_000_000),
    (("seed",), 0, (1 << 32) - 1),
)
