"""The benchmarks by name, as ``flyball bench NAME`` runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

NAMES: Final[dict[str, str]] = {
    "overhead": "what governing costs, against plain vLLM at the same depth",
    "lossless": "whether outputs are those of the target alone, at any depth",
}
"""Every benchmark, and what it answers."""


def run(
    name: str, *, quick: bool = False, seed: int = 0, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run a benchmark and return its result, in the form of ``result``.

    Args:
        name: one of ``NAMES``.
        quick: a rough answer in a minute or two.
        seed: of everything random.
        progress: is told what happens.

    Raises:
        ValueError: if there is no such benchmark.
        FileNotFoundError: if the embedded models are not there.
        BenchError: if it could not measure what it is for.
    """
    if name == "overhead":
        from .overhead import OverheadOptions
        from .overhead import run as run_overhead

        return run_overhead(OverheadOptions(quick=quick, seed=seed), progress)
    if name == "lossless":
        from .lossless import LosslessOptions
        from .lossless import run as run_lossless

        return run_lossless(LosslessOptions(quick=quick, seed=seed), progress)
    raise ValueError(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
