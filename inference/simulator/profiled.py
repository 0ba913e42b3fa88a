"""Simulated engines and profiles, one from the other."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ...policies.step_time import FEATURES
from ..identity import Identity
from ..profile import Profile
from .cost_model import CostModel
from .settings import SimulatorSettings
from .workload import Phase, Workload

SIMULATED: Final = "simulated"
"""Name of the models of an engine that only was simulated."""


def cost_model(profile: Profile) -> CostModel:
    """A profile's step times.

    The noise is that of its intervals, put on every step: over an interval it averages to less,
    as what disturbs a machine for longer is not simulated.
    """
    return CostModel(profile.vector, profile.batches, profile.grid, min(profile.noise, 1.0))


def simulated(profile: Profile, **changes: Any) -> SimulatorSettings:
    """The engine that a profile is of, under a light load unless another workload is given.

    It runs as many requests at once as the profile has seen; the KV cache is ``settings``'.

    Args:
        profile: of the engine; one without a parameter ratio gets that of ``SimulatorSettings``.
        changes: of its settings.

    Raises:
        ValueError: if they make no sense.
    """
    known: dict[str, Any] = {
        "name": profile.identity.target or SIMULATED,
        "cost_model": cost_model(profile),
        "workload": Workload(phases=(Phase(concurrency=4),)),
        "k_max": profile.identity.k_max,
        "max_num_seqs": max(int(profile.batches[-1]), 1),
    }
    if profile.parameter_ratio is not None:
        known["parameter_ratio"] = profile.parameter_ratio
    return SimulatorSettings(**(known | changes))


def profile_of(model: CostModel, k_max: int, parameter_ratio: float) -> Profile:
    """What a profile without errors would say of a simulated engine.

    Args:
        model: of its steps.
        k_max: greatest depth, tokens.
        parameter_ratio: the drafter's parameters over the target's.
    """
    coefficients, logs, grid = model.arrays
    columns = np.minimum(np.arange(k_max + 1), grid.shape[1] - 1)  # constant beyond its edge
    return Profile(
        identity=Identity(engine="simulator", target=SIMULATED, draft=SIMULATED, k_max=k_max),
        at="",
        conditions=[],
        coefficients=dict(zip(FEATURES, coefficients.tolist(), strict=True)),
        batches=(2.0**logs).tolist(),
        grid=grid[:, columns].tolist(),
        noise=model.noise,
        error_median=0.0,
        error_p90=0.0,
        parameter_ratio=parameter_ratio,
    )
