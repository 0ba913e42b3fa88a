"""Many simulated engines, driven one decision at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...policies.spaces import Array
from ...policies.transition import ROW_SIZE, Floats
from .settings import SimulatorSettings
from .state import Records, make_fleet, make_world
from .traces import Integers


@dataclass(frozen=True)
class Step:
    """What came of one decision of each of n engines.

    Attributes:
        observations: for the next decision, raw float32, shape (n, DEPTH_SPACE.size).
        outcomes: of the decision just taken, rows as ``outcome_row`` makes them, float64, shape
            (n, ROW_SIZE); ``steps`` is 0 where no step was its doing alone, or none decoded.
        done: which engines are done, bool, shape (n,); a done engine's row is all zeros from
            the next step on, and its observation stays.
        clock: virtual time, seconds, shape (n,).
        phase: index of the phase in which the interval began, shape (n,).
    """

    observations: Array
    outcomes: Floats
    done: npt.NDArray[np.bool_]
    clock: Floats
    phase: Integers


class Simulator:
    """n independent engines under the same settings, in virtual time.

    Engine i draws from seed + i, or from its own seed where they are given: arrivals, lengths and
    acceptance are the same whatever depths are chosen, so that policies can be compared pair by
    pair. A request's luck is that of its place: the draft of a request's j-th output token is
    accepted by the same draw in every arm.
    In a closed loop the requests of a phase are the same in the same order, though not at the
    same times. Nothing is generated, so there is no text to be lossless about.

    Args:
        settings: what engine, what traffic.
        engines: how many, n.
        seed: of everything random, or a seed for each engine.
    """

    def __init__(
        self, settings: SimulatorSettings, engines: int = 1, seed: int | Sequence[int] = 0
    ) -> None:
        if engines < 1:
            raise ValueError(f"engines must be at least 1, not {engines}")
        # Compiled code, and numba with it, is loaded only where something is simulated. The first
        # time ever, compiling takes some twenty seconds.
        from . import kernel

        self.settings = settings
        self.engines = engines
        self.seed = seed
        self._kernel = kernel
        self._world = make_world(settings)
        self._fleet = make_fleet(settings, engines, ROW_SIZE)
        self.speed: Floats = self._fleet.speed
        """The knob as observations show it, in [0, 1], shape (n,): write into it."""
        self.reset()

    def reset(self, seed: int | Sequence[int] | None = None) -> Array:
        """Begin anew, with the same seed unless another is given.

        Returns:
            Raw observations for the first decision, float32, shape (n, DEPTH_SPACE.size).
        """
        self.seed = self.seed if seed is None else seed
        fleet = self._fleet
        for records in (fleet.engines, fleet.requests, fleet.estimates, fleet.totals):
            records[...] = np.zeros((), records.dtype)
        fleet.engines["seed"] = self._seeds()
        self._kernel.start(self._world, fleet)
        return fleet.observations.copy()

    def step(self, depths: npt.NDArray[np.integer]) -> Step:
        """Hold every engine at a depth for one interval.

        Args:
            depths: tokens, in [0, k_max], shape (n,).

        Raises:
            ValueError: if they are not that.
        """
        depths = np.asarray(depths)
        k_max = self.settings.k_max
        if depths.shape != (self.engines,) or depths.dtype.kind not in "iu":
            raise ValueError(
                f"depths must be integers of shape ({self.engines},), not {depths.dtype} of "
                f"shape {depths.shape}"
            )
        if depths.min() < 0 or depths.max() > k_max:
            raise ValueError(f"depths must be in [0, {k_max}], not {depths.min()}..{depths.max()}")
        fleet = self._fleet
        self._kernel.advance(self._world, fleet, depths.astype(np.int64))
        return Step(
            fleet.observations.copy(),
            fleet.rows.copy(),
            fleet.engines["done"].copy(),
            fleet.engines["clock"].copy(),
            fleet.engines["began"].copy(),
        )

    def _seeds(self) -> npt.NDArray[np.uint64]:
        """Of every engine."""
        if isinstance(self.seed, int | np.integer):
            return np.uint64(int(self.seed) % 2**63) + np.arange(self.engines, dtype=np.uint64)
        if len(self.seed) != self.engines:
            raise ValueError(f"{self.engines} engines need as many seeds, not {len(self.seed)}")
        return np.array([seed % 2**63 for seed in self.seed], np.uint64)

    @property
    def totals(self) -> Records:
        """Sums since the reset, one record of ``records.TOTALS`` per engine, shape (n,)."""
        return self._fleet.totals.copy()

    def results(self, engine: int) -> Records:
        """Requests of one engine that ended so far, records of ``records.RESULT``, as they ended.

        At most ``settings.results`` are kept.
        """
        ended = int(self._fleet.totals["finished"][engine])
        return self._fleet.results[engine, :ended].copy()

    def off_seconds(self, outcomes: Floats) -> Floats:
        """Seconds per step without speculation in the states of outcomes, the truth: shape (n,)."""
        return self.settings.cost_model.off_seconds(outcomes)
