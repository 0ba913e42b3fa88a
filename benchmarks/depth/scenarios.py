"""What the simulated engines of ``flyball bench depth`` are asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ...inference.simulator.presets import preset
from ...inference.simulator.settings import SimulatorSettings
from ...inference.simulator.traces import read_trace
from ...inference.simulator.workload import Drift, Phase, Workload, traced

_MIXES: Final[tuple[dict[str, float], ...]] = (
    {"tool_calls": 1, "code": 1, "prose": 1},
    {"prose": 1},
    {"tool_calls": 1},
    {"code": 1, "prose": 1},
    {"code": 1},
    {"tool_calls": 1, "prose": 1},
)
"""What a trace's requests are about, phase by phase: it carries arrivals and lengths, no text."""

DRIFT: Final = Drift(sigma=0.3, every=60.0, memory=0.7)
"""How acceptance moves in simulated traffic."""

_CONCURRENCIES: Final = (1, 4, 16)
_CLASSES: Final = ("code", "tool_calls", "prose")


def of_trace(
    path: Path,
    seconds: float | None = None,
    rate: float = 1.0,
    engine: SimulatorSettings | None = None,
) -> SimulatorSettings:
    """An engine that serves a trace of arrivals, in six phases of different content.

    Args:
        path: of the trace, in any format that ``read_trace`` knows.
        seconds: of the trace to use; None for all.
        rate: factor on the arrivals' rate.
        engine: that serves; None for an accelerator.

    Raises:
        TraceError: naming the line that is wrong.
    """
    trace = read_trace(path, rate=rate)
    length = float(trace.arrivals[-1]) if seconds is None else seconds
    workload = traced(trace, drift=DRIFT)
    phases = tuple(Phase(seconds=length / len(_MIXES), mix=mix) for mix in _MIXES)
    workload = replace(workload, phases=phases)
    engine = engine or preset("gpu-7b")
    return replace(engine, name=path.stem, workload=workload, horizon=length)


def changing(
    seconds: float, seed: int = 0, engine: SimulatorSettings | None = None
) -> SimulatorSettings:
    """A load and content that change: every concurrency with every class.

    Args:
        seconds: of all phases together.
        seed: of their order.
        engine: that serves; None for a small one on processors.
    """
    phases = [
        Phase(seconds=seconds / 9, concurrency=n, mix={c: 1})
        for n in _CONCURRENCIES
        for c in _CLASSES
    ]
    order = sorted(range(len(phases)), key=lambda i: (i * 7 + seed * 5) % len(phases))
    workload = Workload(phases=tuple(phases[i] for i in order), drift=DRIFT)
    engine = engine or preset("cpu")
    return replace(engine, name="changing load", workload=workload, horizon=seconds)


def scenarios(
    traces: Sequence[Path], seconds: float | None, engine: SimulatorSettings | None = None
) -> list[SimulatorSettings]:
    """The given traces, or without any a load that changes.

    Args:
        traces: of arrivals.
        seconds: of each; None for all of a trace, or for a quarter of an hour.
        engine: that serves; None for the ready one.

    Raises:
        TraceError, OSError: if a trace cannot be read.
    """
    if traces:
        return [of_trace(path, seconds, engine=engine) for path in traces]
    return [changing(seconds or 900.0, engine=engine)]
