"""What the simulator's compiled loops read and write, made from the settings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...policies.slo import NO_SLO
from ...policies.spaces import BEHAVIOURS, DEPTH_SPACE
from ...policies.transition import Floats
from .records import (
    ENGINE,
    ESTIMATE,
    KIND,
    PARAMETERS,
    PHASE,
    REQUEST,
    RESULT,
    SLO,
    TOTALS,
    WAITING,
)
from .settings import PLANNERS, SimulatorSettings
from .traces import Integers
from .workload import Phase, RequestClass, Workload

Record = Any
"""One record: numba knows its fields, the type checker does not."""

Records = npt.NDArray[np.void]


class World(NamedTuple):
    """What all engines of a simulator share, and nothing changes."""

    parameters: Records
    kinds: Records
    phases: Records
    slos: Records
    arrivals: Floats
    context: Integers
    generated: Integers
    coefficients: Floats
    grid_batches: Floats
    grid: Floats


class Fleet(NamedTuple):
    """The state of n engines; row i of everything is engine i's."""

    engines: Records
    requests: Records
    order: Integers
    waiting: Records
    estimates: Records
    totals: Records
    observations: npt.NDArray[np.float32]
    rows: Floats
    speed: Floats
    results: Records


def make_world(settings: SimulatorSettings) -> World:
    """Everything the settings say, as arrays."""
    workload, drift = settings.workload, settings.workload.drift
    coefficients, grid_batches, grid = settings.cost_model.arrays
    parameters = np.zeros(1, PARAMETERS)
    for name in PARAMETERS.names or ():
        if name != "planner" and hasattr(settings, name):
            parameters[name] = getattr(settings, name)
    parameters["planner"] = PLANNERS.index(settings.planner)
    parameters["horizon"] = min(settings.horizon, workload.seconds)
    parameters["noise"] = settings.cost_model.noise
    parameters["drift_sigma"] = drift.sigma
    parameters["drift_every"] = drift.every
    parameters["drift_memory"] = drift.memory
    trace = workload.trace
    return World(
        parameters,
        _kinds(workload.classes),
        np.concatenate([_phase(phase, workload) for phase in workload.phases]),
        _slos(workload),
        np.zeros(0) if trace is None else np.ascontiguousarray(trace.arrivals, np.float64),
        np.zeros(0, np.int64) if trace is None else np.ascontiguousarray(trace.context, np.int64),
        np.zeros(0, np.int64) if trace is None else np.ascontiguousarray(trace.generated, np.int64),
        coefficients,
        grid_batches,
        grid,
    )


def make_fleet(settings: SimulatorSettings, n: int, row_size: int) -> Fleet:
    """Room for n engines."""
    slots = settings.max_num_seqs
    return Fleet(
        engines=np.zeros(n, ENGINE),
        requests=np.zeros((n, slots), REQUEST),
        order=np.zeros((n, slots), np.int64),
        waiting=np.zeros((n, settings.queue), WAITING),
        estimates=np.zeros(n, ESTIMATE),
        totals=np.zeros(n, TOTALS),
        observations=np.zeros((n, DEPTH_SPACE.size), np.float32),
        rows=np.zeros((n, row_size)),
        speed=np.full(n, 0.5),
        results=np.zeros((n, settings.results), RESULT),
    )


def _kinds(classes: tuple[RequestClass, ...]) -> Records:
    out = np.zeros(len(classes), KIND)
    slot = len(BEHAVIOURS)
    for record, kind in zip(out, classes, strict=True):
        record["slot"] = slot if kind.named else -1
        slot += kind.named
        record["logits"] = kind.logits
        record["effect"] = kind.effect
        record["sensitivity"] = kind.sensitivity
        record["prompt"] = kind.prompt.log
        record["output"] = kind.output.log
    return out


def _slos(workload: Workload) -> Records:
    """The workload's objectives; one that asks nothing where it has none."""
    shares = workload.slos or ((NO_SLO, 1.0),)
    out = np.zeros(len(shares), SLO)
    for record, (slo, _) in zip(out, shares, strict=True):
        record["ttft"], record["tpot"], record["deadline"] = slo.ttft, slo.tpot, slo.deadline
    weights = np.array([weight for _, weight in shares])
    out["share"] = np.cumsum(weights) / weights.sum()
    return out


def _phase(phase: Phase, workload: Workload) -> Records:
    out = np.zeros(1, PHASE)
    weights = [phase.mix.get(c.name, 0.0) if phase.mix else 1.0 for c in workload.classes]
    out["seconds"] = phase.seconds
    out["rate"] = phase.rate or 0.0
    out["concurrency"] = phase.concurrency or 0
    out["cv"] = phase.cv
    out["mix"] = 1.0
    out["mix"][0, : len(weights)] = np.cumsum(weights) / np.sum(weights)
    return out
