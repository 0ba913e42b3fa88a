"""``flyball bench slo``: every arm on the same traffic, with the same promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...inference.profile import load_profile
from ...inference.simulator.presets import preset
from ...inference.simulator.profiled import simulated
from ...inference.simulator.settings import SimulatorSettings
from ...inference.simulator.traces import read_trace
from ...policies.slo import Slo
from ..result import result
from .allocating import allocate_us
from .figures import Scores, slo_figures
from .options import SloOptions
from .promises import promises
from .score import Score, described
from .simulated import ARMS, Site, scored, site

Progress = Callable[[str], None]

_K_MAX = 8  # AdaSpec's most
_SEEDS_APART = 1000


def run(options: SloOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result.

    Args:
        options: what to measure.
        progress: is told what happens.

    Raises:
        TraceError, OSError: if a trace cannot be read.
    """
    traces = [read_trace(path) for path in options.traces]
    engine = _engine(options)
    seeds = [options.seed + i for i in range(options.sized_seeds)]
    scores: dict[tuple[str, float, float, str, int], Score] = {}
    sites = {}
    for trace in traces:
        place = sites[trace.name] = site(trace, engine, options.sized_seconds, seeds)
        progress(
            f"{trace.name}: {place.capacity:.2f} requests/s without speculation, "
            f"{1e3 * place.tpot:.1f} ms per output token (p90)"
        )
        for load in options.sized_loads:
            progress(f"{trace.name}: load {load:g}")
            scores |= _at(options, place, load, seeds)
    p50, p99 = allocate_us(options.seed)
    figures = {
        **slo_figures(scores, options.seed),
        "allocate_us_p50": p50,
        "allocate_us_p99": p99,
    }
    if options.plots is not None:
        from .plots import draw

        draw(scores, options.plots)
    return result("slo", options.seed, _arms(options, scores, sites), figures)


def _engine(options: SloOptions) -> SimulatorSettings:
    if options.profile is not None:
        return simulated(load_profile(options.profile))
    return preset("gpu-7b", k_max=_K_MAX)


def _slos(options: SloOptions, place: Site, scale: float) -> tuple[Slo, ...]:
    tpot = scale * place.tpot if options.tpot_ms is None else options.tpot_ms / 1e3
    return promises(options.ttft_ms / 1e3, tpot)


def _scales(options: SloOptions) -> tuple[float, ...]:
    return options.scales if options.tpot_ms is None else (1.0,)


def _at(
    options: SloOptions, place: Site, load: float, seeds: Sequence[int]
) -> dict[tuple[str, float, float, str, int], Score]:
    seconds = options.sized_seconds
    return {
        (place.trace.name, load, scale, arm.name, seed): scored(
            place, arm, load, _slos(options, place, scale), seconds, seed
        )
        for scale in _scales(options)
        for seed in seeds
        for arm in ARMS
    }


def _arms(options: SloOptions, scores: Scores, sites: dict[str, Site]) -> dict[str, Any]:
    """What every arm did, by trace, load and scale."""
    found: dict[str, Any] = {}
    for arm in ARMS:
        own: dict[str, Any] = {"policy": arm.policy, "planner": arm.planner}
        for name, place in sites.items():
            for load in options.sized_loads:
                for scale in _scales(options):
                    runs = [
                        s for key, s in scores.items() if key[:4] == (name, load, scale, arm.name)
                    ]
                    said = described(runs, _slos(options, place, scale))
                    own[f"{name}, load {load:g}, scale {scale:g}"] = said
        found[arm.name] = own
    return found
