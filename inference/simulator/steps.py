"""How long an engine step takes, compiled: what ``CostModel.seconds`` gives."""

from __future__ import annotations

import math

import numpy as np

from ...policies.transition import Floats
from .compiling import compiled
from .state import World


@compiled
def expected_seconds(
    world: World, decoding: int, context: int, verified: int, depth: int, prefill: int = 0
) -> float:
    """Seconds of a step, without noise.

    Args:
        world: knows the engine.
        decoding: requests that decode.
        context: their cached tokens.
        verified: positions verified for them all, drafts and bonus.
        depth: passes of the drafter.
        prefill: prompt tokens.
    """
    c = world.coefficients
    drafts = verified - decoding
    seconds = c[0] + c[1] * decoding + (c[2] + c[6] * decoding) * depth + c[3] * drafts
    seconds += c[4] * prefill + c[5] * context
    if world.grid.size > 1:
        batch = max(decoding, 1)
        seconds *= grid_factor(world.grid_batches, world.grid, math.log2(batch), drafts / batch)
    return float(seconds)


@compiled
def parts(world: World, decoding: int, context: int) -> Floats:
    """Seconds of a step without drafts, per pass of the drafter, per position verified.

    Before the correction, which ``depth_factors`` gives; as ``policies.allocation`` takes them.
    """
    c = world.coefficients
    base = c[0] + c[1] * decoding + c[5] * context
    return np.array([base, c[2] + c[6] * decoding, c[3]])


@compiled
def prices(world: World) -> Floats:
    """Per position verified, per position drafted, per second; in those of a position verified."""
    return np.array([1.0, world.parameters[0].parameter_ratio, 0.0])


@compiled
def depth_factors(world: World, batch: int) -> Floats:
    """The correction at a batch size by depth, shape (k_max + 1,)."""
    factors = np.ones(world.parameters[0].k_max + 1)
    if world.grid.size > 1:
        for k in range(len(factors)):
            factors[k] = grid_factor(world.grid_batches, world.grid, math.log2(batch), float(k))
    return factors


@compiled
def grid_factor(batches: Floats, grid: Floats, batch: float, depth: float) -> float:
    """The correction at the logarithm of a batch size and a depth, as ``CostModel`` has it."""
    row = 0
    while row + 2 < len(batches) and batches[row + 1] <= batch:
        row += 1
    lower, below = row, 0.0
    if len(batches) > 1:
        lower = row + 1
        below = min(max((batch - batches[row]) / (batches[lower] - batches[row]), 0.0), 1.0)
    depth = min(depth, grid.shape[1] - 1.0)
    left = int(depth)
    right = min(left + 1, grid.shape[1] - 1)
    away = depth - left
    at_row = grid[row, left] * (1.0 - away) + grid[row, right] * away
    at_lower = grid[lower, left] * (1.0 - away) + grid[lower, right] * away
    return float(at_row * (1.0 - below) + at_lower * below)
