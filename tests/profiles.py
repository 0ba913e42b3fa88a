"""Profiles as an engine would give them, for more than one file of tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from factories import COEFFICIENTS
from flyball.benchmarks.profiling import to_profile
from flyball.inference.fit import features
from flyball.inference.identity import Identity
from flyball.inference.profile import Condition, Profile

BATCHES = (1, 2, 4, 8, 16)
IDENTITY = Identity(
    engine="vllm",
    version="0.32.0",
    target="target",
    draft="draft",
    target_hash="a" * 16,
    draft_hash="b" * 16,
    dtype="bfloat16",
    device="a processor",
    threads=2,
    compiled=True,
    k_max=6,
)


def linear(condition: Condition) -> float:
    """Seconds per step of a machine that is linear."""
    return float(features([condition])[0] @ np.array(COEFFICIENTS))


def tiled(condition: Condition) -> float:
    """The same machine, with kernels that work on sixteen positions or not at all."""
    tiles = np.ceil(condition.batch * (1 + condition.depth) / 16)
    return float(linear(condition) + 12e-3 * tiles)


def conditions(
    truth: Callable[[Condition], float],
    noise: float = 0.03,
    batches: Sequence[float] = BATCHES,
    seed: int = 0,
) -> list[Condition]:
    """Conditions all over a grid, measured with some noise."""
    rng = np.random.default_rng(seed)
    found = []
    states = itertools.product(batches, range(7), (100.0, 800.0), (0.0, 300.0))
    for batch, depth, context, prefill in states:
        state = Condition(
            batch=batch,
            context=context * rng.uniform(0.8, 1.2),
            depth=depth,
            prefill=prefill * rng.uniform(0.8, 1.2),
            seconds=1.0,
            low=1.0,
            high=1.0,
            steps=40,
            intervals=10,
        )
        intervals = truth(state) * rng.lognormal(0.0, noise, 10)
        low, seconds, high = np.percentile(intervals, (25, 50, 75)).tolist()
        found.append(_with(state, seconds, low, high))
    return found


def _with(state: Condition, seconds: float, low: float, high: float) -> Condition:
    return msgspec.structs.replace(state, seconds=seconds, low=low, high=high)


def profile(identity: Identity = IDENTITY) -> Profile:
    """A profile of a linear machine."""
    return to_profile(identity, conditions(linear))
