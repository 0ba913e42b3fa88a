"""``flyball bench depth``: all policies on the same traffic, live or simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...inference.identity import of_models
from ...inference.profile import check, load_profile
from ...inference.simulator.profiled import simulated
from ...inference.simulator.settings import SimulatorSettings
from ..engines import BenchError, models
from ..options import EngineOptions
from ..result import result
from ..session import session
from .changes import Changes, change_figures
from .figures import OFF, OURS, SPEEDS, WARM, depth_figures, fixed_policies, objectives
from .live import LiveOptions, LiveRun
from .scenarios import scenarios
from .settling import seconds_to_regret
from .simulated import Course, Maker, SimulatedRun, merge
from .tally import Arm, Tally

Progress = Callable[[str], None]

ENGINES: Final = ("vllm", "simulator")
PEERS: Final = ("table", "goodput", "adaspec", "hysteresis", "ucb", "thompson", "linucb")
"""Every other policy that is compared, unless others are named."""

_CHANGED: Final = 600.0  # seconds of traffic, at most, in which knob and reward change
_CHANGED_SEEDS: Final = 3
_DTYPE: Final = "bfloat16"  # of a live engine that is told of none
_LIMIT: Final = 0.05  # regret under which a policy counts as settled
_SEEDS_APART: Final = 1000


@dataclass(frozen=True, kw_only=True)
class DepthOptions(EngineOptions):
    """Every option of the benchmark."""

    engine: str = "simulator"
    """vllm: the live engine with the embedded models; simulator: in virtual time"""
    policies: tuple[str, ...] = PEERS
    """that are compared with ours, beside off and every fixed depth"""
    seeds: int = 5
    """of the traffic, on the simulator; 1 with quick"""
    traces: tuple[Path, ...] = ()
    """of arrivals, for the simulator; without any, load and content change on a small engine"""
    seconds: float | None = None
    """of every trace, or of the changing load; 120 with quick"""
    rounds: int = 4
    """visits to every phase, live; 1 with quick"""
    profile: Path | None = None
    """file of `flyball profile`: the simulated engine is of it, its error among the figures"""
    plots: Path | None = None
    """folder for the plots"""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        if self.engine != "simulator" and WARM in self.policies:
            raise ValueError(f"{WARM} is compared on the simulator alone")
        if self.seeds < 1 or self.rounds < 1:
            raise ValueError("seeds and rounds must be at least 1")
        if self.seconds is not None and not self.seconds >= 60:
            raise ValueError(f"seconds must be at least 60, not {self.seconds}")


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
    speeds = sorted({arm.speed for arm in tally.arms if arm.speed is not None})
    figures = {**depth_figures(tally, speeds, options.seed), **more, **error}
    arms = {
        arm.name: {"policy": arm.policy, "speed": arm.speed, **_means(tally, arm, speeds)}
        for arm in tally.arms
    }
    found = result("depth", options.seed, arms, figures)
    if options.plots is not None:
        from .plots import draw

        draw(tally, speeds, options.plots)
    return found


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


def _fixed(k_max: int) -> list[str]:
    return [OFF.policy, *(f"fixed?depth={k}" for k in range(1, k_max + 1))]


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
        names = [*_fixed(settings.k_max), *options.policies, OURS]
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
    pair = models(options.target, options.draft)
    out = options.plots or Path("runs/bench-depth")
    progress("starting the engine and its controller")
    live = LiveOptions(rounds=options.rounds)
    if options.quick:
        live = LiveOptions(rounds=1, slice_seconds=0.8, cold_seconds=20.0)
    speeds = (1.0,) if options.quick else (0.0, 0.5, 1.0)
    arms = [Arm(name) for name in _fixed(options.k_max)]
    arms += [Arm(name, speeds[-1]) for name in options.policies]
    arms += [Arm(OURS, s) for s in speeds]
    with session(
        pair, out, options.seed, options.k_max, options.cores, env={"FLYBALL_GUARD": "off"}
    ) as running:
        measured = LiveRun(running, arms, live, options.seed, progress)
        tally = measured.run()
    failed = [r.error for r in measured.records if r.error is not None]
    if failed:
        raise BenchError(f"{len(failed)} of {len(measured.records)} requests failed: {failed[0]}")
    return tally, {"requests": len(measured.records)}
