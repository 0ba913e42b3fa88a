"""What is known before anything is learned: survival and step time give both components.

With S_j the probability that positions 1..j are all accepted, depth k emits 1 + S_1 + ... + S_k
tokens per request and step (Leviathan et al. 2023, arXiv 2211.17192). The step-time model gives
its seconds, the price list its dollars. The learned policy adds a correction to this.

All positions up to k are drafted, but not all need be verified: of what is verified, position j is
a share ``kept_j`` of the requests', and S_j is 0 for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .prices import Prices
from .spaces import DEPTH_SPACE, MAX_DEPTH, Array
from .transition import COLUMN, Floats, OutcomeBatch

KNOTS: Final = 9
"""Batch sizes of a grid: 1, 2, 4, ... 256."""

_DEPTH = DEPTH_SPACE.index("depth")
_SURVIVAL = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)
_HOPE = DEPTH_SPACE.slice("hope_1", MAX_DEPTH)
_KEPT = DEPTH_SPACE.slice("kept_1", MAX_DEPTH)
_BATCH = DEPTH_SPACE.index("batch")
_CONTEXT = DEPTH_SPACE.index("context")
_PREFILL = DEPTH_SPACE.index("prefill")


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Seconds of a step of some requests, and what is added to it.

    Attributes:
        base: without speculation.
        passes: added by the draft model's passes, by their number, shape (k_max + 1,).
        one_pass: added by one of them, by the linear model alone.
        position: added by each draft that is verified.
    """

    base: float
    passes: Floats
    one_pass: float
    position: float


class Structure:
    """The analytic prediction of both components for every depth.

    Args:
        k_max: greatest depth.
        coefficients: seconds per feature of the step-time model, shape (7,).
        prices: what things cost.
        grid: what their sum is multiplied by, shape (KNOTS, MAX_DEPTH + 1): batch sizes 1, 2, 4,
            ... by depths, interpolated over the logarithm of the batch; None for ones.
        switch: seconds per step, over an interval, that another depth than the one in force costs.

    Attributes:
        second_terms: the coefficients, for compiled code.
        price_terms: dollars per position verified, per position drafted, per second: shape (3,).
    """

    def __init__(
        self,
        k_max: int,
        coefficients: npt.ArrayLike,
        prices: Prices,
        grid: npt.ArrayLike | None = None,
        switch: float = 0.0,
    ) -> None:
        if not 1 <= k_max <= MAX_DEPTH:
            raise ValueError(f"k_max must be in [1, {MAX_DEPTH}], not {k_max}")
        self.k_max = k_max
        self.coefficients = np.asarray(coefficients, np.float32)
        self.prices = prices
        self.second_terms = self.coefficients.astype(np.float64)
        self.price_terms = np.array((prices.verified, prices.drafted, prices.second))
        self.grid = FLAT if grid is None else np.asarray(grid, np.float32)
        self.switch = switch
        self._of_batch: dict[int, Floats] = {}
        self.depths = np.arange(k_max + 1, dtype=np.float32)

    def components(self, raw: Array, quickest: Array | None = None) -> Array:
        """Latency and cost of every depth, off = 1.0.

        Args:
            raw: raw observations, float32, shape (..., DEPTH_SPACE.size).
            quickest: for the components at best: what a step may take by what is expected of it,
                shape (..., k_max + 1). Survival, too, is then what it may be at best.

        Returns:
            float32, shape (..., k_max + 1, 2).
        """
        survival = raw[..., _SURVIVAL if quickest is None else _HOPE][..., : self.k_max]
        emitted = np.ones((*raw.shape[:-1], self.k_max + 1), np.float32)
        emitted[..., 1:] += survival.cumsum(-1)
        seconds = self.decode_seconds(raw)
        off = seconds[..., :1]
        if quickest is not None:
            seconds = seconds * quickest
        if self.switch:
            other = raw[..., _DEPTH, None] != self.depths
            seconds = seconds + self.switch * other
        out = np.empty((*emitted.shape, 2), np.float32)
        out[..., 0] = seconds / off / emitted
        price = self.prices.second / np.maximum(raw[..., _BATCH, None], 1.0)
        # Dollars per request and step.
        positions = self.prices.verified * (1.0 + self._verified(raw))
        spent = positions + self.prices.drafted * self.depths + price * seconds
        out[..., 1] = spent / (self.prices.verified + price * off) / emitted
        return out

    def decode_seconds(self, raw: Array) -> Array:
        """Seconds per step without prompts at every depth, shape (..., k_max + 1).

        Prompts come as requests do, not as steps do: a deeper draft does not spread them over more
        tokens in the long run, as it seems to in the interval that they fall into. Where requests
        arrive at a rate, prompts take a share of the time that no depth changes.
        """
        alone = raw.copy()
        alone[..., _PREFILL] = 0.0
        return self.seconds(alone)

    def seconds(self, raw: Array, drafts: npt.NDArray[Any] | None = None) -> Array:
        """Seconds per step at every depth, shape (..., k_max + 1), never below 0.1 ms.

        Args:
            raw: raw observations, float32, shape (..., DEPTH_SPACE.size).
            drafts: that a step verifies, of the same shape as the seconds; None for what the
                observations tell of it.
        """
        one, requests, depth, verified, prefill, context, drafted = self.coefficients
        batch = np.maximum(raw[..., _BATCH, None], 1.0)
        fixed = one + batch * (requests + context * raw[..., _CONTEXT, None])
        fixed = fixed + prefill * raw[..., _PREFILL, None]
        drafts = batch * self._verified(raw) if drafts is None else drafts.astype(np.float32)
        linear = fixed + (depth + batch * drafted) * self.depths + verified * drafts
        seconds: Array = np.maximum(linear * self._factors(batch), 1e-4)
        return seconds

    def off_and_prompts(self, raw: Array, depths: npt.NDArray[np.integer]) -> tuple[Array, Array]:
        """Seconds of a step without speculation and prompts; and those that are its prompts' doing.

        Args:
            raw: raw observations, float32, shape (n, DEPTH_SPACE.size).
            depths: in force, shape (n,).
        """
        alone, taken = self.decode_seconds(raw), (np.arange(len(raw)), depths)
        return alone[:, 0], self.seconds(raw)[taken] - alone[taken]

    def outcomes(self, raw: Array, rows: Floats, ratios: Floats) -> OutcomeBatch:
        """Outcomes, with what step times say of the states that they were measured in.

        Args:
            raw: raw observations of their decisions, float32, shape (n, DEPTH_SPACE.size).
            rows: as ``outcome_row`` makes them, shape (n, ROW_SIZE).
            ratios: the drafter's parameters over the target's, shape (n,).
        """
        depths = rows[:, COLUMN["depth"]].astype(np.intp)
        off, prompts = self.off_and_prompts(measured_states(raw, rows), depths)
        return OutcomeBatch.from_rows(
            rows, off.astype(np.float64), ratios, prompts.astype(np.float64)
        )

    def step_costs(self, requests: int, context: float) -> StepCosts:
        """What drafting and verifying add to a step without prompts.

        Args:
            requests: that decode in it, at least 1.
            context: mean cached tokens of one.
        """
        one, request, pass_, verified, _, cached, drafted = self.second_terms.tolist()
        factors = self.factors(requests)
        alone = one + requests * (request + cached * context)
        base = max(alone * float(factors[0]), _LEAST)
        one_pass = pass_ + requests * drafted
        passes: Floats = np.maximum((alone + one_pass * self.depths) * factors - base, 0.0)
        return StepCosts(base, passes, one_pass, verified * float(factors[0]))

    def _verified(self, raw: Array) -> Array:
        """Drafts of a request that a step verifies, on average: shape (..., k_max + 1)."""
        drafts = np.zeros((*raw.shape[:-1], self.k_max + 1), np.float32)
        raw[..., _KEPT][..., : self.k_max].cumsum(-1, out=drafts[..., 1:])
        return drafts

    def factors(self, batch: int) -> Floats:
        """What seconds are multiplied by at a batch size, shape (k_max + 1,); kept per size."""
        found = self._of_batch.get(batch)
        if found is None:
            row = np.broadcast_to(self._factors(np.array([batch], np.float32)), (self.k_max + 1,))
            found = self._of_batch[batch] = row.astype(np.float64)
        return found

    def _factors(self, batch: Array) -> Array:
        """The grid's correction at batch sizes of shape (..., 1): shape (..., k_max + 1)."""
        if self.grid is FLAT:
            return _ONE
        low, share = knots(batch[..., 0])
        grid = self.grid[:, : self.k_max + 1]
        below = grid[low]
        factors: Array = below + share[..., None] * (grid[low + 1] - below)
        return factors


def measured_states(raw: Array, outcomes: npt.NDArray[Any]) -> Array:
    """Observations with batch, context and prompts as the outcomes that followed measured them.

    Args:
        raw: raw observations, shape (n, DEPTH_SPACE.size).
        outcomes: rows as ``outcome_row`` makes them, shape (n, ROW_SIZE).
    """
    states = raw.copy()
    steps = np.maximum(outcomes[:, COLUMN["steps"]], 1.0)
    requests = np.maximum(outcomes[:, COLUMN["request_steps"]], 1.0)
    states[:, _BATCH] = requests / steps
    states[:, _CONTEXT] = outcomes[:, COLUMN["context"]] / requests
    states[:, _PREFILL] = outcomes[:, COLUMN["prefill"]] / steps
    return states


def knots(batch: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], Array]:
    """The row of the grid below a batch size, and how far it is to the next: shapes as given."""
    at = np.log2(np.clip(np.nan_to_num(batch, nan=1.0), 1.0, _LARGEST))
    low = at.astype(np.intp)
    return low, (at - low).astype(np.float32)


FLAT: Final = np.ones((KNOTS, MAX_DEPTH + 1), np.float32)
"""A grid that corrects nothing."""


def nearest(batch: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The row of the grid nearest to a batch size: shapes as given."""
    low, share = knots(batch)
    return low + (share >= 0.5)


_LARGEST: Final = 2.0 ** (KNOTS - 1.001)
_ONE: Final = np.ones(1, np.float32)
_LEAST: Final = 1e-6  # seconds of a step, that is divided by
