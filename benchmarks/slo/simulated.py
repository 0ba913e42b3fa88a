"""The arms of ``flyball bench slo`` on simulated engines: the same requests, the same luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from ...inference.simulator.engine import Simulator
from ...inference.simulator.profiled import profile_of
from ...inference.simulator.settings import SimulatorSettings
from ...inference.simulator.traces import Trace
from ...inference.simulator.workload import Drift, Phase, Workload
from ...policies.catalogue.registry import make_policy
from ...policies.prices import compute_prices
from ...policies.slo import Slo
from ...policies.structure import Structure
from .promises import REFERENCE
from .score import Score, Served, score

Progress = Callable[[str], None]


class Arm(NamedTuple):
    """Who serves.

    Attributes:
        name: in results.
        policy: of the catalogue, for the depth.
        planner: of single steps.
    """

    name: str
    policy: str
    planner: str = "uniform"


OURS: Final = Arm("flyball", "analytic", "flyball")
OFF: Final = Arm("off", "off")
ADASPEC: Final = Arm("adaspec", "off", "adaspec")
ARMS: Final = (
    OFF,
    *(Arm(f"fixed-{k}", f"fixed?depth={k}") for k in (1, 3, 5, 7)),
    Arm("smartspec", "goodput"),
    ADASPEC,
    Arm("adaspec-slo", "off", "adaspec-slo"),
    OURS,
)
"""Ours draws on no learner here: survival is learned while it serves, step times are told to all.
AdaSpec's planners set their depths themselves."""

_DRIFT: Final = Drift(sigma=0.3, every=60.0, memory=0.7)
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
    """

    trace: Trace
    engine: SimulatorSettings
    capacity: float
    tpot: float


def site(trace: Trace, engine: SimulatorSettings, seconds: float, seeds: Sequence[int]) -> Site:
    """Measure what an engine does with a trace's requests without speculation."""
    engine = replace(engine, queue=_QUEUE, horizon=_FOREVER, static_depth=0)
    capacity = _capacity(trace, engine)
    found = Site(trace, engine, capacity, 0.0)
    times = [serve(found, OFF, REFERENCE, (), seconds, seed).tpot for seed in seeds]
    return replace(found, tpot=float(np.percentile(np.concatenate(times), 90)))


def _capacity(trace: Trace, engine: SimulatorSettings) -> float:
    n = min(len(trace), _SATURATED)
    places = np.linspace(0, len(trace) - 1, n).astype(np.int64)
    waiting = Trace(np.zeros(n), trace.context[places], trace.generated[places], trace.name)
    served = _run(replace(engine, workload=_workload(waiting, ()), results=n), OFF, 0)
    return n / served.span


def window(trace: Trace, rate: float, seconds: float, seed: int) -> Trace:
    """Some seconds of a trace at a rate; each seed begins elsewhere in it.

    Args:
        trace: of which it is a part; after its end it begins anew.
        rate: requests per second, mean over the whole trace.
        seconds: of the window.
        seed: of the beginning.
    """
    n = len(trace)
    length = float(trace.arrivals[-1]) * n / max(n - 1, 1)
    scale = n / length / rate
    begin = int((0.5 + seed * _GOLDEN) % 1.0 * n)
    rounds = int(np.ceil(seconds / (length * scale))) + 1
    at = np.concatenate([trace.arrivals + r * length for r in range(rounds + 1)]) * scale
    own = (at >= at[begin]) & (at < at[begin] + seconds)
    places = np.flatnonzero(own) % n
    return Trace(at[own] - at[begin], trace.context[places], trace.generated[places], trace.name)


_GOLDEN: Final = 0.6180339887  # spreads any number of beginnings evenly


def serve(
    place: Site, arm: Arm, load: float, slos: Sequence[Slo], seconds: float, seed: int
) -> Served:
    """Serve a window of the trace until its last request has ended."""
    trace = window(place.trace, load * place.capacity, seconds, seed)
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
    return Workload(
        phases=(Phase(),), trace=trace, drift=_DRIFT, slos=tuple((slo, 1.0) for slo in slos)
    )


def _run(settings: SimulatorSettings, arm: Arm, seed: int) -> Served:
    simulator = Simulator(settings, 1, seed)
    simulator.speed[:] = 1.0
    policy = make_policy(arm.policy, _structure(settings))
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


def _structure(settings: SimulatorSettings) -> Structure:
    """What a profile of the engine would tell every policy before it starts."""
    prices = compute_prices(settings.parameter_ratio)
    found = profile_of(settings.cost_model, settings.k_max, settings.parameter_ratio)
    return Structure(settings.k_max, found.vector, prices, found.table)
