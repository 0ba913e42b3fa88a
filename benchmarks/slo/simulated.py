"""The arms of ``flyball bench slo`` on simulated engines: the same requests, the same luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ...inference.simulator.engine import Simulator
from ...inference.simulator.settings import SimulatorSettings
from ...inference.simulator.traces import Trace
from ...inference.simulator.workload import Workload, traced
from ...policies.catalogue.registry import make_policy
from ...policies.prices import compute_prices
from ...policies.slo import Slo
from ..depth.scenarios import DRIFT
from ..depth.simulated import profiled
from .arms import OFF, SIMULATED, Arm
from .arrivals import sample, short_window, window
from .promises import REFERENCE
from .score import Score, Served, score

_OFF: Final = next(arm for arm in SIMULATED if arm.name == OFF)
_QUEUE: Final = 65536  # so that nobody waits outside, unseen
_SATURATED: Final = 1000  # requests that wait from the start, to find the capacity
_FOREVER: Final = 1e9


@dataclass(frozen=True)
class Site:
    """One trace on one engine.

    Attributes:
        trace: all of it.
        engine: that serves.
        capacity: requests per second that it serves without speculation, at most.
        tpot: 90th percentile of the seconds per output token without speculation at the load
            ``REFERENCE``.
        short: whether windows are cut as those of a live run (``short_window``).
    """

    trace: Trace
    engine: SimulatorSettings
    capacity: float
    tpot: float
    short: bool = False


def site(
    trace: Trace,
    engine: SimulatorSettings,
    seconds: float,
    seeds: Sequence[int],
    short: bool = False,
) -> Site:
    """Measure what an engine does with a trace's requests without speculation."""
    engine = replace(engine, queue=_QUEUE, horizon=_FOREVER, static_depth=0)
    capacity = _capacity(trace, engine)
    found = Site(trace, engine, capacity, 0.0, short)
    times = [serve(found, _OFF, REFERENCE, (), seconds, seed).tpot for seed in seeds]
    return replace(found, tpot=float(np.percentile(np.concatenate(times), 90)))


def _capacity(trace: Trace, engine: SimulatorSettings) -> float:
    n = min(len(trace), _SATURATED)
    waiting = sample(trace, n)
    served = _run(replace(engine, workload=_workload(waiting, ()), results=n), _OFF, 0)
    return n / served.span


def serve(
    place: Site, arm: Arm, load: float, slos: Sequence[Slo], seconds: float, seed: int
) -> Served:
    """Serve a window of the trace until its last request has ended."""
    cut = short_window if place.short else window
    trace = cut(place.trace, load * place.capacity, seconds, seed)
    settings = replace(
        place.engine,
        workload=_workload(trace, slos),
        results=len(trace),
        planner=arm.planner,
    )
    return replace(_run(settings, arm, seed), offered=seconds)


def scored(
    place: Site, arm: Arm, load: float, slos: Sequence[Slo], seconds: float, seed: int
) -> Score:
    """What came of that."""
    return score(serve(place, arm, load, slos, seconds, seed), slos)


def _workload(trace: Trace, slos: Sequence[Slo]) -> Workload:
    return replace(traced(trace, drift=DRIFT), slos=tuple((slo, 1.0) for slo in slos))


def _run(settings: SimulatorSettings, arm: Arm, seed: int) -> Served:
    simulator = Simulator(settings, 1, seed)
    simulator.speed[:] = 1.0
    policy = make_policy(arm.policy, profiled(settings, compute_prices(settings.parameter_ratio)))
    raw, done = simulator.reset(), False
    while not done:
        actions = policy.act(raw).actions
        step = simulator.step(actions)
        policy.learn(raw, actions, step.outcomes)
        raw, done = step.observations, bool(step.done[0])
    ended = simulator.results(0)
    return Served(
        slo=ended["slo"],
        ttft=ended["first"] - ended["arrival"],
        tpot=(ended["end"] - ended["first"]) / np.maximum(ended["tokens"] - 1, 1),
        end=ended["end"] - ended["arrival"],
        tokens=ended["tokens"],
        span=float(ended["end"].max()),
        offered=float(ended["arrival"].max()),
    )
