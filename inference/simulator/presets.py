"""Ready engines to simulate, each with what it assumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from .cost_model import CostModel
from .settings import SimulatorSettings
from .workload import Phase, Workload

# Milliseconds of a step measured on two x86 cores with AMX, by batch size and depth: vLLM 0.32,
# target 39 M and drafter 1.6 M parameters, bfloat16, short contexts, all requests decoding.
_CPU_BATCHES: Final = (1, 4, 16)
_CPU_DEPTHS: Final = (0, 1, 2, 4, 6)
_CPU_MS: Final = (
    (16.0, 16.6, 17.8, 20.6, 23.1),
    (18.4, 19.2, 20.9, 25.3, 29.6),
    (27.6, 30.8, 30.9, 43.2, 49.5),
)


def cpu() -> SimulatorSettings:
    """A small model on two cores: 39 M parameters, drafted for by 1.6 M, bfloat16.

    The measured steps are met exactly: a plane fitted to them, times the grid of what remains.
    Depths between those measured are interpolated, deeper ones keep the last correction. Not
    measured but assumed: 80 us per prompt token, 0.2 us per cached token, 5 % noise, and a KV
    cache of 65,536 tokens.
    """
    coefficients = np.array([15.2e-3, 0.77e-3, 1.02e-3, 0.165e-3, 0.08e-3, 2e-7, 0.0])
    plane = CostModel(coefficients)
    depths = np.arange(_CPU_DEPTHS[-1] + 1)
    measured = np.stack([np.interp(depths, _CPU_DEPTHS, row) for row in _CPU_MS]) * 1e-3
    batches = np.array(_CPU_BATCHES)[:, None]
    predicted = plane.seconds(batches, 0.0, batches * (1 + depths), depths, 0.0)
    return SimulatorSettings(
        name="cpu",
        cost_model=CostModel(coefficients, _CPU_BATCHES, measured / predicted, noise=0.05),
        workload=Workload(phases=(Phase(concurrency=4),)),
        parameter_ratio=1.6 / 39,
    )


def gpu_7b() -> SimulatorSettings:
    """A 7 to 8 B target and a 0.5 B drafter in bfloat16 on an accelerator of the A100's class.

    A roofline, not a measurement. Reading 15 GB of weights at some 1.7 TB/s is 9 ms per step,
    whatever it computes. A position is 15 GFLOP, at some 250 TFLOP/s 0.06 ms; a draft position
    adds 0.004 ms for the drafter. A pass of the drafter is 1 ms, most of it launching kernels.
    A cached token is 128 KiB to read (32 layers, 8 KV heads of 128), 0.08 us. Prompt tokens run
    through both models. Noise 2 %. The KV cache has what 80 GB leave: about 380,000 tokens.
    """
    return SimulatorSettings(
        name=GPU_7B,
        cost_model=CostModel((9e-3, 0.06e-3, 1e-3, 0.06e-3, 0.065e-3, 8e-8, 0.004e-3), noise=0.02),
        workload=Workload(phases=(Phase(concurrency=16),)),
        parameter_ratio=0.5 / 7.5,
        max_num_seqs=128,
        kv_blocks=24_000,
        max_model_len=16_384,
    )


def embedded() -> SimulatorSettings:
    """The embedded models on two x86 cores with AMX, as ``flyball serve`` runs them.

    26 M parameters, drafted for by 1.6 M, bfloat16. Step times are what a learner took from four
    minutes of a live ``bench slo`` at every depth, on a quiet machine; how a draft's share divides
    between making and verifying it, from one with drafts cut short. Without speculation that
    engine served 5.5 requests per second of Azure's chat trace, this one does 6.0, at 38 and 32 ms
    per output token (p90, half load). The noise, 10 %, is assumed.
    """
    return SimulatorSettings(
        name=EMBEDDED,
        cost_model=CostModel((14.5e-3, 0.43e-3, 1.1e-3, 0.21e-3, 0.16e-3, 6e-7, 0.1e-3), noise=0.1),
        workload=Workload(phases=(Phase(concurrency=4),)),
        parameter_ratio=1.6 / 26,
        max_num_seqs=64,
        kv_blocks=8192,
        max_model_len=2048,
    )


GPU_7B: Final = "gpu-7b"
EMBEDDED: Final = "embedded"

PRESETS: Final[dict[str, Callable[[], SimulatorSettings]]] = {
    "cpu": cpu,
    GPU_7B: gpu_7b,
    EMBEDDED: embedded,
}


def preset(name: str, **changes: Any) -> SimulatorSettings:
    """A ready engine by name, with some of its settings changed.

    Raises:
        ValueError: listing the names that exist.
    """
    if name not in PRESETS:
        raise ValueError(f"no simulated engine {name!r}; there are {', '.join(PRESETS)}")
    return replace(PRESETS[name](), **changes)
