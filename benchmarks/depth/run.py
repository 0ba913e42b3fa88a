"""``flyball bench depth``: all policies on the same traffic, live or simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...inference.identity import of_models
from ...inference.profile import check, load_profile
from ...inference.simulator.profiled import simulated
from ...inference.simulator.settings import SimulatorSettings
from ..engines import BenchError, models
from ..result import result
from .beginning import seconds_to_regret as seconds_from_cold
from .changes import Changes, change_figures
from .figures import OFF, OURS, SPEEDS, depth_figures, fixed_policies, objectives
from .options import DepthOptions
from .paired import paired_figures
from .scenarios import scenarios
from .settling import seconds_to_regret
from .simulated import Course, Maker, SimulatedRun, merge
from .tally import Arm, Tally, fixed_depths

Progress = Callable[[str], None]

_CHANGED: Final = 600.0  # seconds of traffic, at most, in which knob and reward change
_CHANGED_SEEDS: Final = 3
_DTYPE: Final = "bfloat16"  # of a live engine that is told of none
_LIMIT: Final = 0.05  # regret under which a policy counts as settled
_SEEDS_APART: Final = 1000


def run(options: DepthOptions, make: Maker, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result.

    Args:
        options: what to compare.
        make: makes policies by their names, ours among them.
        progress: is told what happens.
    """
    error = _profile_error(options)
    if options.engine == "vllm":
        tally, more = _live(options, progress)
    else:
        tally, more = _simulated(options, make, progress)
    tally = tally.complete()
    if not tally.units:
        raise BenchError("nothing was measured in which every policy emitted a token")
    speeds = sorted({arm.speed for arm in tally.arms if arm.speed is not None})
    arms = {
        arm.name: {"policy": arm.policy, "speed": arm.speed, **_means(tally, arm, speeds)}
        for arm in tally.arms
    }
    figures = {**_figures(options, tally, speeds, progress), **more, **error}
    found = result("depth", options.seed, arms, figures)
    if options.plots is not None:
        _draw(tally, speeds, options.plots, progress)
    return found


def _figures(
    options: DepthOptions, tally: Tally, speeds: Sequence[float], progress: Progress
) -> dict[str, float]:
    """What can be made of a tally: minutes of measuring are not lost to a figure that cannot."""
    figures: dict[str, float] = {}
    try:
        figures |= depth_figures(tally, speeds, options.seed)
        if options.engine == "vllm":
            figures |= paired_figures(tally, speeds, options.seed)
    except (ArithmeticError, LookupError, ValueError) as e:
        progress(f"some figures could not be made: {type(e).__name__}: {e}")
    lost = [name for name, value in figures.items() if not math.isfinite(value)]
    if lost:
        progress(f"figures that are no numbers were left out: {', '.join(lost)}")
        stems = {name.removesuffix("_low").removesuffix("_high") for name in lost}
        gone = {f"{stem}{end}" for stem in stems for end in ("", "_low", "_high")}
        figures = {name: value for name, value in figures.items() if name not in gone}
    return figures


def _draw(tally: Tally, speeds: Sequence[float], out: Path, progress: Progress) -> None:
    from .plots import draw

    try:
        draw(tally, speeds, out)
    except (ArithmeticError, LookupError, ValueError, OSError) as e:
        progress(f"the plots could not be drawn: {type(e).__name__}: {e}")


def _means(tally: Tally, arm: Arm, speeds: Sequence[float]) -> dict[str, Any]:
    """Latency, cost and J of an arm, means over units; J at every speed if it has none."""
    latency, cost = tally.components(arm, OFF).mean(0)
    mine = speeds if arm.speed is None else [arm.speed]
    return {
        "latency": float(latency),
        "cost": float(cost),
        "j": {f"{s:g}": float(tally.objective(arm, OFF, s).mean()) for s in mine},
        "switches_per_minute": tally.switches_per_minute(arm),
    }


def _profile_error(options: DepthOptions) -> dict[str, float]:
    """How wrong the profile is in states that its fit was not shown.

    Raises:
        ProfileError: if it cannot be used, or is of another engine than the live one.
    """
    if options.profile is None:
        return {}
    profile = load_profile(options.profile)
    if options.engine == "vllm":
        pair = models(options.target, options.draft)
        folders = pair.target.resolve(), pair.draft.resolve()
        check(profile, of_models(*folders, options.k_max, _DTYPE, options.cores))
    return {"simulator_step_error": profile.error_median}


def _simulated(
    options: DepthOptions, make: Maker, progress: Progress
) -> tuple[Tally, dict[str, float]]:
    seconds = 120.0 if options.quick and options.seconds is None else options.seconds
    seeds = [options.seed + _SEEDS_APART * i for i in range(1 if options.quick else options.seeds)]
    speeds = (0.0, 0.5, 1.0) if options.quick else SPEEDS
    tallies: dict[str, Tally] = {}
    settled = []
    engine = simulated(load_profile(options.profile)) if options.profile else None
    for settings in scenarios(options.traces, seconds, engine):
        running = SimulatedRun(settings, make, speeds, seeds, progress)
        names = [OFF.policy, *fixed_depths(settings.k_max), *options.policies, OURS]
        tallies[settings.name], courses = running.run(names)
        settled.append(_settled(settings, tallies[settings.name], courses, len(seeds)))
    progress("changes while serving: the knob, the reward")
    changed = [
        Changes(settings, make, seeds[:_CHANGED_SEEDS])
        for settings in scenarios(options.traces, min(seconds or _CHANGED, _CHANGED), engine)
    ]
    found = {"seconds_to_regret_5pct": max(settled), **change_figures(changed, options.seed)}
    return merge(tallies), found


def _settled(
    settings: SimulatorSettings, tally: Tally, courses: Mapping[str, Course], seeds: int
) -> float:
    """Seconds to little regret at the greatest speed, which is the last of ours."""
    fixed = fixed_policies(tally)
    latencies = objectives(tally, fixed, 1.0)
    assert latencies is not None
    best = latencies.argmin(0).reshape(seeds, -1)
    ours = courses[OURS]
    return seconds_to_regret(
        Course(ours.clock[-seeds:], ours.sums[-seeds:]),
        {k: courses[name] for k, name in enumerate(fixed)},
        best,
        [phase.seconds for phase in settings.workload.phases],
        _LIMIT,
    )


def _live(options: DepthOptions, progress: Progress) -> tuple[Tally, dict[str, float]]:
    """Measure on the live engine what a record still lacks."""
    from .sitting import sit

    record = sit(options, progress)
    figures: dict[str, float] = {
        "visits": len(record.warm()),
        "visits_asked": options.sized_rounds * len(record.setup.phases),
        "sittings": record.sittings,
        "requests": record.requests,
        "failed_requests": record.failed,
    }
    seconds = seconds_from_cold(record, _LIMIT)
    if seconds is not None:
        figures["seconds_to_regret_5pct"] = seconds
    return record.tally(), figures
