"""What ``gymnasium.make("flyball/Depth-v0", ...)`` calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gymnasium
import numpy as np

from ..policies.spaces import Array

if TYPE_CHECKING:
    from ..inference.simulator.settings import SimulatorSettings

SIMULATOR: Final = "simulator"


def make_depth(
    engine: str | None = None, simulator: SimulatorSettings | str | None = None, **arguments: Any
) -> gymnasium.Env[Array, np.int64]:
    """The depth decision around an engine, live or simulated.

    Args:
        engine: ``"simulator"``, or the name of a live engine; None for the only one there is.
        simulator: settings or preset of a simulated engine; by default the preset ``cpu``.
        arguments: of ``SimulatedDepthEnv`` or ``DepthEnv``.

    Raises:
        ValueError: if an argument makes no sense; see the two environments for more.
    """
    if engine == SIMULATOR or (engine is None and simulator is not None):
        from .simulated import SimulatedDepthEnv

        return SimulatedDepthEnv("cpu" if simulator is None else simulator, **arguments)
    if simulator is not None:
        raise ValueError(f"settings of a simulator make no sense for the live engine {engine!r}")
    from .depth import DepthEnv

    return DepthEnv(engine=engine, **arguments)
