"""What a reward is computed from: outcomes as columns, both components, and the speed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ..policies.prices import Prices, compute_prices, cost, latency
from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Floats, OutcomeBatch

COLUMNS: tuple[str, ...] = (
    "latency",
    "cost",
    "speed",
    *(field.name for field in fields(OutcomeBatch)),
)
"""Every name that a reward may list under ``needs``."""


@dataclass(frozen=True)
class RewardInputs:
    """Columns of n intervals, each float64 of shape (n,).

    Attributes:
        outcomes: what was measured; see ``OutcomeBatch`` for its columns and units.
        latency: seconds per emitted token per request over what no speculation would have
            taken; off = 1.0, lower is better. Of plans, seconds per step over sequential.
        cost: dollars per emitted token over what no speculation would have cost; off = 1.0,
            lower is better. Of plans, dollars per step over sequential.
        speed: the knob, in [0, 1].
    """

    outcomes: OutcomeBatch
    latency: Floats
    cost: Floats
    speed: Floats

    def __len__(self) -> int:
        return len(self.speed)

    @classmethod
    def of(cls, outcomes: OutcomeBatch, prices: Prices, speed: npt.ArrayLike) -> RewardInputs:
        """From outcomes and a price list; one speed may stand for all rows."""
        speeds = np.broadcast_to(np.asarray(speed, np.float64), (len(outcomes),))
        return cls(outcomes, latency(outcomes), cost(outcomes, prices), speeds)

    @classmethod
    def of_components(cls, latency: Floats, cost: Floats, speed: Floats) -> RewardInputs:
        """Of what is not measured in tokens: all outcomes are NaN."""
        none = np.full(len(speed), np.nan)
        positions = np.full((len(speed), MAX_DEPTH), np.nan)
        wide = {"checked", "tried", "accepted"}
        outcomes = OutcomeBatch(
            **{f.name: positions if f.name in wide else none for f in fields(OutcomeBatch)}
        )
        return cls(outcomes, latency, cost, speed)

    def column(self, name: str) -> Floats:
        """A column by its name in ``COLUMNS``."""
        column: Floats = getattr(self if name in COLUMNS[:3] else self.outcomes, name)
        return column

    def finite(self, names: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Rows in which every one of the named columns is finite: shape (n,)."""
        rows = np.ones(len(self), bool)
        for name in names:
            column = np.isfinite(self.column(name))
            rows &= column if column.ndim == 1 else column.all(axis=1)
        return rows

    def only(self, names: Iterable[str]) -> RewardInputs:
        """The same with every other column NaN; all of it read-only."""
        kept = set(names)

        def column(name: str) -> Floats:
            values = self.column(name)
            values = values.copy() if name in kept else np.full_like(values, np.nan)
            values.setflags(write=False)
            return values

        outcomes = OutcomeBatch(
            **{field.name: column(field.name) for field in fields(OutcomeBatch)}
        )
        return RewardInputs(outcomes, column("latency"), column("cost"), column("speed"))


def trial(n: int) -> RewardInputs:
    """Plausible intervals of every depth, batch size and speed, to try a reward on.

    Args:
        n: rows, at least 1.
    """
    rng = np.random.default_rng(0)
    depth = np.arange(n) % (MAX_DEPTH + 1)
    requests = 2.0 ** (np.arange(n) % 7)
    steps = np.full(n, 8.0)
    request_steps = requests * steps
    survival = rng.uniform(0.2, 0.98, (n, 1)) ** np.arange(1, MAX_DEPTH + 1)
    checked = np.where(np.arange(MAX_DEPTH) < depth[:, None], request_steps[:, None], 0.0)
    tried = checked.copy()
    accepted = np.floor(tried * survival)
    tried[:, 1:] = np.minimum(tried[:, 1:], accepted[:, :-1])
    accepted = np.minimum(accepted, tried)
    off_seconds = np.asarray(0.01 + 0.001 * requests, np.float64)
    seconds = steps * (off_seconds + depth * (0.001 + 0.0002 * requests))
    outcomes = OutcomeBatch(
        depth=depth.astype(np.float64),
        seconds=seconds,
        steps=steps,
        request_seconds=seconds * requests,
        request_steps=request_steps,
        emitted=request_steps + accepted.sum(axis=1),
        drafted=request_steps * depth,
        verified=request_steps * (depth + 1.0),
        prefill=rng.integers(0, 512, n).astype(np.float64),
        context=request_steps * 300.0,
        finished=rng.integers(0, 3, n).astype(np.float64),
        switched=(np.arange(n) % 2).astype(np.float64),
        checked=checked,
        tried=tried,
        accepted=accepted,
        off_seconds=off_seconds,
        prompt_seconds=np.zeros(n),
        parameter_ratio=np.full(n, 0.05),
    )
    return RewardInputs.of(outcomes, compute_prices(0.05), np.linspace(0.0, 1.0, n))
