"""``flyball bench slo``: every arm on the same traffic, with the same promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...inference.simulator.traces import read_trace
from ..result import result
from .figures import slo_figures
from .options import SloOptions

Progress = Callable[[str], None]


def run(options: SloOptions, progress: Progress = print) -> dict[str, Any]:
    """Measure, and return a result.

    Args:
        options: what to measure.
        progress: is told what happens.

    Raises:
        TraceError, OSError: if a trace cannot be read.
        BenchError, EngineError: if a live engine could not be measured.
    """
    traces = [read_trace(path) for path in options.traces]
    if options.engine == "vllm":
        from .sitting import sit

        measured = sit(options, traces, progress)
    else:
        from .simulating import simulate

        measured = simulate(options, traces, progress)
    figures = {**slo_figures(measured.scores, options.seed), **measured.figures}
    if options.plots is not None:
        from .plots import draw

        draw(measured.scores, options.plots)
    return result("slo", options.seed, measured.arms, figures)
