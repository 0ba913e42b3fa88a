"""Snapshots made for measuring: they cost what a learned one costs, and do what they are told."""

from __future__ import annotations

import itertools

import numpy as np

from ..policies.prices import Prices, compute_prices
from ..policies.snapshot import HIDDEN, VALUES, Meta, Snapshot
from ..policies.spaces import DEPTH_SPACE, Array
from ..policies.step_time import FEATURES, PRIOR

_FAR = 1e3  # added to both components of every other depth: no state makes up for it


def fixed_snapshot(k_max: int, depth: int, seed: int = 0) -> Snapshot:
    """A network of the learned one's size whose best action is the given depth in every state.

    Verifying a draft costs nothing by its step times and prices: whatever is drafted is verified.
    """
    weights = _weights(k_max, seed)
    last = f"layer{len(HIDDEN)}.bias"
    values = weights[last].reshape(k_max + 1, VALUES)
    values[:, :2] += _FAR
    values[depth, :2] -= _FAR
    times = PRIOR.astype(np.float32)
    times[FEATURES.index("verified")] = 0.0
    return _snapshot(k_max, weights, 0.0, times, Prices(second=1.0))


def random_snapshot(k_max: int, seed: int = 0) -> Snapshot:
    """Every depth is drawn uniformly, every interval anew."""
    times = PRIOR.astype(np.float32)
    return _snapshot(k_max, _weights(k_max, seed), 1.0, times, compute_prices(0.05))


def _snapshot(
    k_max: int, weights: dict[str, Array], epsilon: float, times: Array, prices: Prices
) -> Snapshot:
    meta = Meta(1, k_max, prices, epsilon=epsilon, gamma=0.25)
    return Snapshot(meta, weights, times)


def _weights(k_max: int, seed: int) -> dict[str, Array]:
    """Small random layers."""
    rng = np.random.default_rng(seed)
    sizes = (DEPTH_SPACE.size, *HIDDEN, (k_max + 1) * VALUES)
    weights: dict[str, Array] = {}
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layer = rng.normal(0.0, 0.3 / np.sqrt(inputs), (outputs, inputs))
        weights[f"layer{i}.weight"] = layer.astype(np.float32)
        weights[f"layer{i}.bias"] = np.zeros(outputs, np.float32)
    return weights
