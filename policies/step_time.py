"""How long an engine step takes: fitted to every interval as it arrives.

A linear model in a few features, times a table of corrections by batch size and depth.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from .residuals import ResidualGrid, SwitchCost
from .spaces import MAX_DEPTH, Array
from .transition import Floats

FEATURES: Final = ("step", "requests", "depth", "verified", "prefill", "context", "drafted")
"""One (per step); decoding requests; drafter passes; drafts verified; prompt tokens; cached tokens
read; tokens drafted, which is passes times requests. All are means per engine step, so an interval
of several steps fits one row.

A step may verify fewer drafts than were made. Where nothing is cut short the two are the same, and
only what was held of them before (the prior) tells them apart."""

PRIOR: Final = np.array([10e-3, 0.5e-3, 0.5e-3, 0.07e-3, 0.05e-3, 5e-8, 0.03e-3])
"""Seconds per feature before anything was measured. Only their proportions matter from the first
interval on: the whole is scaled to the seconds that are measured."""

# How strongly coefficients are held to the prior: as much as one interval at a fiftieth of its
# step. Just enough to decide where the intervals do not (one depth, one batch size).
_RIDGE: Final = 0.02

# Intervals before a step that is far from predicted counts as disturbed rather than as news.
_SETTLED: Final = 64

# A disturbed step moves the model no more than a step half or twice as long as predicted would.
_SHORTEST, _LONGEST = 0.5, 2.0

# Steps without speculation count for this many: every component is divided by what such a step
# takes, so where the truth is not linear the fit should be best there.
_OFF_WEIGHT: Final = 8.0

# Coefficients are fitted in units of the prior's, which must not be nothing: of a prior with the
# seconds of PRIOR in an ordinary step (four requests, depth 3), at least this share of PRIOR.
_LEAST_UNIT: Final = 0.3
_ORDINARY: Final = np.array([1.0, 4.0, 3.0, 12.0, 0.0, 1200.0, 12.0])

_DEPTH: Final = FEATURES.index("depth")
_REQUESTS: Final = FEATURES.index("requests")


def solve_nonnegative(moment: Floats, target: Floats) -> Floats:
    """Least squares from its moments; what would fall below zero is held there, the worst first.

    Args:
        moment: rows.T @ rows, positive definite, shape (n, n).
        target: rows.T @ values, shape (n,).
    """
    free = np.ones(len(target), bool)
    solution: Floats = np.linalg.solve(moment, target).astype(np.float64)
    while solution.min() < 0.0:
        free[solution.argmin()] = False
        held = np.zeros(len(target))
        held[free] = np.linalg.solve(moment[np.ix_(free, free)], target[free])
        solution = held
    return solution


class StepTimeModel:
    """Ridge regression on seconds per step with exponential forgetting.

    The errors made small are relative ones: every row is divided by the seconds predicted for it
    (not by those measured, which would favour the rows that noise made short), so short steps
    count as much as long ones. Coefficients are never below zero. What is kept is the moments of
    the data, not an inverse, so that directions which are never excited cannot wind up: they rest
    at the prior.

    Args:
        forgetting: weight of the past per interval; .9995 remembers about two thousand.
        prior: seconds per feature before anything was measured, none below zero, shape (7,):
            ``PRIOR``, or better those of a profile of the engine.
        table: what they are corrected by before anything was measured, as ``grid``; None for
            nothing. It weighs as much as some measurements.
        seen: measurements at every depth and batch size that both are worth; 0 for a guess.

    Raises:
        ValueError: if the prior is none.
    """

    def __init__(
        self,
        forgetting: float = 0.9995,
        prior: npt.ArrayLike = PRIOR,
        table: npt.ArrayLike | None = None,
        seen: float = 0.0,
    ) -> None:
        self.forgetting = forgetting
        self._prior_seen = seen
        self._prior = _checked(prior)
        self._units = _units(self._prior)
        self.count = 0
        self.error = 1.0  # moving average of |measured / predicted - 1|
        self.scale = 1.0  # moving average of measured seconds over the prior's
        self.disturbed = 0.0  # moving share of intervals far from predicted
        self._moment: Floats = np.zeros((len(FEATURES), len(FEATURES)))
        self._target: Floats = np.zeros(len(FEATURES))
        self._residuals = ResidualGrid(table)
        self._switch = SwitchCost()
        # The solution, in units.
        self._multiples: Floats = self._prior / self._units

    def update(self, features: Floats, seconds: float) -> None:
        """Learn from one interval: mean features per step, shape (7,), and seconds per step."""
        self.update_many(features[None], np.array([seconds]))

    def update_many(
        self,
        features: Floats,
        seconds: Floats,
        steps: Floats | None = None,
        switched: Floats | None = None,
    ) -> None:
        """Learn from intervals, oldest first.

        Args:
            features: means per step, shape (n, 7).
            seconds: per step, all above zero, shape (n,).
            steps: of the intervals, shape (n,); with them, what a change of depth costs is learned.
            switched: whether their depth was another than that before, shape (n,).
        """
        self._rescale(seconds / (features @ self._prior))
        rows = features * self._units
        linear = np.maximum(rows @ self._multiples, 1e-6)
        where = np.maximum(features[:, _REQUESTS], 1.0), _depths(features)
        predicted = linear * self._residuals.at(*where)
        ratio = seconds / predicted
        far = (ratio < _SHORTEST) | (ratio > _LONGEST)
        self._follow("error", np.abs(ratio - 1.0), 0.01)
        self._follow("disturbed", far.astype(np.float64), 0.03)
        ratio = seconds / linear
        if self.count > _SETTLED:
            if self.disturbed > 0.5:
                self._forget()
            else:
                ratio = np.clip(ratio, _SHORTEST, _LONGEST)
            if steps is not None and switched is not None:
                excess = (np.clip(seconds / predicted, _SHORTEST, _LONGEST) - 1.0) * predicted
                self._switch.add(switched, excess * steps, self.forgetting)
        weights = np.where(features[:, _DEPTH] == 0.0, _OFF_WEIGHT, 1.0)
        self._add(rows / linear[:, None], ratio, weights)
        self.count += len(seconds)
        self._solve()
        # Against the new solution: what it explains needs no correction.
        left = ratio * linear / np.maximum(rows @ self._multiples, 1e-6)
        self._residuals.add(*where, left)

    def _rescale(self, ratios: Floats) -> None:
        if self.count == 0:
            self.scale = float(np.median(ratios))
            self._multiples = self.scale * self._prior / self._units
        self._follow("scale", ratios, 1.0 - self.forgetting)

    def _follow(self, name: str, values: Floats, rate: float) -> None:
        """Move an average towards values: a plain mean at first, then with the given rate."""
        kept = min((1.0 - rate) ** len(values), self.count / (self.count + len(values)))
        setattr(self, name, kept * getattr(self, name) + (1.0 - kept) * float(values.mean()))

    def _forget(self) -> None:
        """Most of the latest intervals are far off: not a disturbance but another machine."""
        self.count, self.disturbed = 0, 0.0
        self._moment *= 0.0
        self._target *= 0.0
        self._residuals.clear()
        self._prior_seen = 0.0

    def _add(self, rows: Floats, ratio: Floats, weights: Floats) -> None:
        decay = weights * self.forgetting ** np.arange(len(rows) - 1, -1, -1.0)
        past = self.forgetting ** len(rows)
        weighted = rows * decay[:, None]
        self._moment = past * self._moment + weighted.T @ rows
        self._target = past * self._target + weighted.T @ ratio

    def _solve(self) -> None:
        """Ridge solution, in units."""
        ridge = _RIDGE / self.scale**2
        moment = self._moment + ridge * np.eye(len(FEATURES))
        target = self._target + ridge * self.scale * self._prior / self._units
        self._multiples = solve_nonnegative(moment, target)

    @property
    def coefficients(self) -> Array:
        """Seconds per unit of each feature, float32, shape (7,), none below zero."""
        coefficients: Array = (self._multiples * self._units).astype(np.float32)
        return coefficients

    @property
    def grid(self) -> Array:
        """What the sum of the features' seconds is multiplied by: see ``Structure``."""
        return self._residuals.factors

    @property
    def seen(self) -> Array:
        """Intervals that each cell of the grid was fitted to, lately; the prior's among them."""
        seen: Array = (self._prior_seen + self._residuals.sums[1]).astype(np.float32)
        return seen

    @property
    def switch_seconds(self) -> float:
        """Seconds that a change of depth costs."""
        return self._switch.seconds

    def state(self) -> dict[str, Floats]:
        """Everything needed to carry on, as arrays."""
        return {
            "moment": self._moment,
            "target": self._target,
            "multiples": self._multiples,
            "residuals": self._residuals.sums,
            "switches": self._switch.sums,
            "prior": self._prior,
            "prior_seen": np.array([self._prior_seen]),
            "scalars": np.array([self.count, self.error, self.scale, self.disturbed]),
        }

    def restore(self, state: dict[str, Floats]) -> None:
        """Carry on from ``state()``.

        Raises:
            ValueError: if it is not one.
        """
        # What is kept from before there were others.
        state = {"prior": PRIOR, "prior_seen": np.zeros(1), **state}
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise ValueError(f"step-time model: {name} is missing or has another shape")
            if not np.isfinite(state[name]).all():
                raise ValueError(f"step-time model: {name} is not finite")
        self._prior = _checked(state["prior"])
        self._prior_seen = float(state["prior_seen"][0])
        self._units = _units(self._prior)
        self._moment = np.array(state["moment"], np.float64)
        self._target = np.array(state["target"], np.float64)
        self._multiples = np.array(state["multiples"], np.float64)
        self._residuals.sums = np.array(state["residuals"], np.float64)
        self._switch.sums = np.array(state["switches"], np.float64)
        count, self.error, self.scale, self.disturbed = (float(x) for x in state["scalars"])
        self.count = int(count)


def _depths(features: Floats) -> npt.NDArray[np.intp]:
    """Depths of the rows; an interval has one depth throughout."""
    return np.clip(np.rint(features[:, _DEPTH]), 0, MAX_DEPTH).astype(np.intp)


def _checked(prior: npt.ArrayLike) -> Floats:
    """A prior, as it was given."""
    given = np.array(prior, np.float64)
    if given.shape != PRIOR.shape or not (np.isfinite(given) & (given >= 0.0)).all():
        raise ValueError(
            f"step-time model: a prior is {len(FEATURES)} numbers, finite and not below zero, "
            f"for {', '.join(FEATURES)}; not {given}"
        )
    if given @ _ORDINARY <= 0.0:
        raise ValueError("step-time model: a prior by which steps take no time")
    return given


def _units(prior: Floats) -> Floats:
    """What coefficients are multiples of; PRIOR for itself."""
    scale = (prior @ _ORDINARY) / (PRIOR @ _ORDINARY)
    units: Floats = np.maximum(prior, _LEAST_UNIT * scale * PRIOR)
    return units
