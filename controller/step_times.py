"""The step-time models of all engines: what a step would have taken without speculation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np

from ..inference.identity import of_info
from ..inference.profile import Profile, ProfileError, check
from ..inference.reports import EngineInfo
from ..policies.prices import Prices
from ..policies.replay import Rows
from ..policies.spaces import MAX_DEPTH, Array
from ..policies.step_time import FEATURES, PRIOR, StepTimeModel
from ..policies.structure import FLAT, Structure, measured_states
from ..policies.transition import COLUMN, Floats, OutcomeBatch

log = logging.getLogger(__name__)

MAX_ENGINES = 256
"""Names are told apart up to this many; an engine should keep its name when it restarts."""


@dataclass
class StepTimes:
    """One model per engine, in the order in which engines were first seen.

    Attributes:
        forgetting: weight of the past per interval.
        profile: what the models of its engine start from; None for nothing.
        measured: seconds per feature that the models of all other engines start from, where these
            were measured before; None where they were not.
        models: by engine; its position is the engine's index in the replay buffer.
    """

    forgetting: float
    profile: Profile | None = None
    measured: Floats | None = None
    models: dict[str, StepTimeModel] = field(default_factory=dict)

    def meet(self, info: EngineInfo) -> int:
        """An engine's index; a new one starts from the profile, if that is its own.

        Raises:
            ValueError: if there are too many.
        """
        return self.index(info.engine, info)

    def index(self, engine: str, info: EngineInfo | None = None) -> int:
        """An engine's index; a new engine gets the next one.

        Args:
            engine: its name.
            info: what it says of itself; None where its model is about to be restored.

        Raises:
            ValueError: if there are too many.
        """
        if engine not in self.models:
            if len(self.models) >= MAX_ENGINES:
                raise ValueError(f"more than {MAX_ENGINES} names of engines in one run")
            self.models[engine] = self._new(info)
        return list(self.models).index(engine)

    def update(self, engine: str, outcomes: Floats) -> None:
        """Learn from outcomes of one engine: rows as ``outcome_row`` makes them."""
        steps, switched = outcomes[:, COLUMN["steps"]], outcomes[:, COLUMN["switched"]]
        self.models[engine].update_many(
            features(outcomes), seconds_per_step(outcomes), steps, switched
        )

    def batch(self, rows: Rows) -> OutcomeBatch:
        """Outcomes of rows, with what the step-time models say of them."""
        raw = measured_states(rows.observations, rows.outcomes)
        off, prompts = np.empty((2, len(rows)))
        models = list(self.models.values())
        for i in np.unique(rows.engines):
            mine = np.flatnonzero(rows.engines == i)
            structure = Structure(MAX_DEPTH, models[i].coefficients, _ANY_PRICES, models[i].grid)
            off[mine], prompts[mine] = structure.off_and_prompts(raw[mine], rows.actions[mine])
        return OutcomeBatch.from_rows(
            rows.outcomes.astype(np.float64), off, rows.ratios.astype(np.float64), prompts
        )

    def _new(self, info: EngineInfo | None) -> StepTimeModel:
        """An engine's model before it has seen anything."""
        start, table = self.measured, None
        if self.profile is not None and info is not None:
            try:
                check(self.profile, of_info(info))
                start, table = self.profile.vector, self.profile.table
            except ProfileError as e:
                log.error("engine %s starts without a profile: %s", info.engine, e)
        if start is None:
            return StepTimeModel(self.forgetting)
        return StepTimeModel(self.forgetting, start, table, seen=_PROFILED)

    def structure(self, k_max: int, prices: Prices) -> Structure:
        """Of the fleet: what the engines' models say, by the intervals they were fitted to."""
        return Structure(k_max, self.coefficients, prices, self.grid, self.switch)

    @property
    def coefficients(self) -> Array:
        """Seconds per feature, float32, shape (7,)."""
        start = self.measured if self.profile is None else self.profile.vector
        prior = PRIOR if start is None else start
        return self._mean([model.coefficients for model in self.models.values()], prior)

    @property
    def grid(self) -> Array:
        """The correction by batch size and depth, float32, shape (KNOTS, MAX_DEPTH + 1)."""
        prior = FLAT if self.profile is None else self.profile.table
        return self._mean([model.grid for model in self.models.values()], prior)

    @property
    def seen(self) -> Array:
        """Intervals behind each cell of the grid, in the engine that has fewest."""
        counts = [model.seen for model in self.models.values()]
        fewest: Array = np.min(counts, axis=0) if counts else np.zeros_like(FLAT)
        return fewest

    @property
    def switch(self) -> float:
        """Seconds per step that a change of depth costs, over an interval of usual length."""
        costs = [np.array(model.switch_seconds) for model in self.models.values()]
        return float(self._mean(costs, np.zeros(()))) / _STEPS

    def _mean(self, values: list[Array], nothing: Floats | Array) -> Array:
        if not values:
            return nothing.astype(np.float32)
        weights = np.array([model.count + 1e-6 for model in self.models.values()])
        mean: Array = np.average(np.stack(values), axis=0, weights=weights).astype(np.float32)
        return mean

    @property
    def error(self) -> float:
        """Mean relative error of a prediction, over all engines."""
        models = [model for model in self.models.values() if model.count]
        return float(np.mean([model.error for model in models])) if models else 1.0


def features(outcomes: Floats) -> Floats:
    """Mean features per step of many outcomes, shape (n, 7)."""
    steps = outcomes[:, COLUMN["steps"], None]
    names = ("request_steps", "verified", "prefill", "context", "drafted")
    requests, verified, *rest = (outcomes[:, COLUMN[name], None] for name in names)
    depth = outcomes[:, COLUMN["depth"], None] * steps
    return np.hstack([steps, requests, depth, verified - requests, *rest]) / steps


def seconds_per_step(outcomes: Floats) -> Floats:
    """Shape (n,)."""
    seconds: Floats = outcomes[:, COLUMN["seconds"]] / outcomes[:, COLUMN["steps"]]
    return seconds


assert FEATURES == ("step", "requests", "depth", "verified", "prefill", "context", "drafted")

_STEPS = 8  # of an interval, unless it is cut short
_PROFILED = 20.0  # intervals at every depth and batch size that a profile counts for
_ANY_PRICES = Prices(verified=1.0)
