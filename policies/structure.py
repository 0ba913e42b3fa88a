"""What is known before anything is learned: survival and step time give both components.

With S_j the probability that positions 1..j are all accepted, depth k emits 1 + S_1 + ... + S_k
tokens per request and step (Leviathan et al. 2023, arXiv 2211.17192). The step-time model gives
its seconds, the price list its dollars. The learned policy adds a correction to this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .prices import Prices
from .spaces import DEPTH_SPACE, MAX_DEPTH, Array

_SURVIVAL = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)
_BATCH = DEPTH_SPACE.index("batch")
_CONTEXT = DEPTH_SPACE.index("context")
_PREFILL = DEPTH_SPACE.index("prefill")


class Structure:
    """The analytic prediction of both components for every depth.

    Args:
        k_max: greatest depth.
        coefficients: seconds per feature of the step-time model, shape (6,).
        prices: what things cost.
    """

    def __init__(self, k_max: int, coefficients: npt.ArrayLike, prices: Prices) -> None:
        if not 1 <= k_max <= MAX_DEPTH:
            raise ValueError(f"k_max must be in [1, {MAX_DEPTH}], not {k_max}")
        self.k_max = k_max
        self.coefficients = np.asarray(coefficients, np.float32)
        self.prices = prices
        self.depths = np.arange(k_max + 1, dtype=np.float32)
        # Dollars of positions per request and step, for every depth.
        self._positions = prices.verified * (1.0 + self.depths) + prices.drafted * self.depths

    def components(self, raw: Array) -> Array:
        """Latency and cost of every depth, off = 1.0.

        Args:
            raw: raw observations, float32, shape (..., DEPTH_SPACE.size).

        Returns:
            float32, shape (..., k_max + 1, 2).
        """
        survival = raw[..., _SURVIVAL][..., : self.k_max]
        emitted = np.ones((*raw.shape[:-1], self.k_max + 1), np.float32)
        np.cumsum(survival, axis=-1, out=emitted[..., 1:])
        emitted[..., 1:] += 1.0
        seconds = self._seconds(raw)
        out = np.empty((*emitted.shape, 2), np.float32)
        out[..., 0] = seconds / seconds[..., :1] / emitted
        batch = np.maximum(raw[..., _BATCH, None], 1.0)
        spent = self._positions + self.prices.second * seconds / batch
        out[..., 1] = spent / spent[..., :1] / emitted
        return out

    def _seconds(self, raw: Array) -> Array:
        """Seconds per step at every depth, shape (..., k_max + 1), never below 0.1 ms."""
        one, requests, depth, drafted, prefill, context = self.coefficients
        batch = np.maximum(raw[..., _BATCH, None], 1.0)
        fixed = one + batch * (requests + context * raw[..., _CONTEXT, None])
        fixed = fixed + prefill * raw[..., _PREFILL, None]
        seconds: Array = np.maximum(fixed + (depth + drafted * batch) * self.depths, 1e-4)
        return seconds

    def off_seconds(self, raw: Array) -> Array:
        """Seconds per step without speculation, shape (...)."""
        return self._seconds(raw)[..., 0]
