"""Snapshots made for measuring: they cost what a learned one costs, and do what they are told."""

from __future__ import annotations

import itertools

import numpy as np

from ..policies.prices import compute_prices
from ..policies.snapshot import HIDDEN, VALUES, Meta, Snapshot
from ..policies.spaces import DEPTH_SPACE, Array
from ..policies.step_time import PRIOR

_FAR = 1e3  # added to both components of every other depth: no state makes up for it


def fixed_snapshot(k_max: int, depth: int, seed: int = 0) -> Snapshot:
    """A network of the learned one's size whose best action is the given depth in every state."""
    weights = _weights(k_max, seed)
    last = f"layer{len(HIDDEN)}.bias"
    values = weights[last].reshape(k_max + 1, VALUES)
    values[:, :2] += _FAR
    values[depth, :2] -= _FAR
    return _snapshot(k_max, weights, epsilon=0.0)


def random_snapshot(k_max: int, seed: int = 0) -> Snapshot:
    """Every depth is drawn uniformly, every interval anew."""
    return _snapshot(k_max, _weights(k_max, seed), epsilon=1.0)


def _snapshot(k_max: int, weights: dict[str, Array], epsilon: float) -> Snapshot:
    meta = Meta(1, k_max, compute_prices(0.05), epsilon=epsilon, gamma=0.25)
    return Snapshot(meta, weights, PRIOR.astype(np.float32))


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
