"""The benchmarks by name, as ``flyball bench NAME`` runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .depth.simulated import Maker

NAMES: Final[dict[str, str]] = {
    "overhead": "what governing costs, against plain vLLM at the same depth",
    "lossless": "whether outputs are those of the target alone, at any depth",
    "depth": "ours against every other policy of the depth, live or simulated",
    "slo": "who keeps what requests were promised, by load, live or simulated",
    "drafters": "what drafts best, by content and load, and whether it is chosen well, live",
    "plan": "who runs agents' plans ahead best, seconds against dollars, replayed or live",
}
"""Every benchmark, and what it answers."""


def run(
    name: str,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Callable[[str], None] = print,
    make: Maker | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Run a benchmark and return its result, in the form of ``result``.

    Args:
        name: one of ``NAMES``.
        quick: a rough answer in a minute or two.
        seed: of everything random.
        progress: is told what happens.
        make: makes policies, the learned one among them: for ``depth``.
        settings: further options of ``depth``, ``slo``, ``drafters`` and ``plan``.

    Raises:
        ValueError: if there is no such benchmark, or an option makes no sense.
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
    if name == "depth" and make is not None:
        from .depth.options import DepthOptions
        from .depth.run import run as run_depth

        return run_depth(DepthOptions(quick=quick, seed=seed, **settings), make, progress)
    if name == "slo":
        from .slo.options import SloOptions
        from .slo.run import run as run_slo

        return run_slo(SloOptions(quick=quick, seed=seed, **settings), progress)
    if name == "plan":
        from .plan.options import PlanOptions
        from .plan.run import run as run_plan

        return run_plan(PlanOptions(quick=quick, seed=seed, **settings), progress)
    if name == "drafters":
        from .drafters.options import DraftersOptions
        from .drafters.run import run as run_drafters

        return run_drafters(DraftersOptions(quick=quick, seed=seed, **settings), progress)
    raise ValueError(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
