"""``flyball bench slo`` on simulated engines: all arms at every load, scale and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from ...inference.profile import load_profile
from ...inference.simulator.presets import preset
from ...inference.simulator.profiled import simulated
from ...inference.simulator.settings import SimulatorSettings
from ...inference.simulator.traces import Trace
from .allocating import allocate_us
from .arms import SIMULATED
from .figures import Key
from .measured import Measured
from .options import SloOptions
from .requests import fitted
from .score import Score, described
from .simulated import Site, scored, site

Progress = Callable[[str], None]
Found = dict[Key, Score]

_K_MAX: Final = 8  # AdaSpec's most


def simulate(options: SloOptions, traces: Sequence[Trace], progress: Progress) -> Measured:
    """Measure in virtual time."""
    engine = _engine(options)
    seeds = [options.seed + i for i in range(options.sized_seeds)]
    scores: Found = {}
    sites = {}
    for trace in traces:
        own = fitted(trace) if options.lifelike else trace
        place = site(own, engine, options.sized_seconds, seeds, options.lifelike)
        sites[trace.name] = place
        progress(
            f"{trace.name}: {place.capacity:.2f} requests/s without speculation, "
            f"{1e3 * place.tpot:.1f} ms per output token (p90)"
        )
        for load in options.sized_loads:
            progress(f"{trace.name}: load {load:g}")
            scores |= _at(options, place, load, seeds)
    return Measured(scores, _arms(options, scores, sites), allocate_us(options.seed))


def _engine(options: SloOptions) -> SimulatorSettings:
    if options.profile is not None:
        return simulated(load_profile(options.profile))
    return preset(options.sized_preset, k_max=_K_MAX)


def _at(options: SloOptions, place: Site, load: float, seeds: Sequence[int]) -> Found:
    seconds = options.sized_seconds
    return {
        (place.trace.name, load, scale, arm.name, seed): scored(
            place, arm, load, options.slos(place.tpot, scale), seconds, seed
        )
        for scale in options.sized_scales
        for seed in seeds
        for arm in SIMULATED
    }


def _arms(options: SloOptions, scores: Found, sites: dict[str, Site]) -> dict[str, Any]:
    """What every arm did, by trace, load and scale."""
    found: dict[str, Any] = {}
    for arm in SIMULATED:
        own: dict[str, Any] = {"policy": arm.policy, "planner": arm.planner}
        for name, place in sites.items():
            for load in options.sized_loads:
                for scale in options.sized_scales:
                    runs = [
                        s for key, s in scores.items() if key[:4] == (name, load, scale, arm.name)
                    ]
                    said = described(runs, options.slos(place.tpot, scale))
                    own[f"{name}, load {load:g}, scale {scale:g}"] = said
        found[arm.name] = own
    return found
