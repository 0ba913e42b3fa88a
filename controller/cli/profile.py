"""``flyball profile``: how long the steps of an engine take, measured and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .console import CliError, progress_bar, refusals, say

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from ...inference.profile import Profile


def profile(
    target: Annotated[
        Path | None,
        typer.Option(
            "--target", "--model", help="Folder of the target model. Default: the embedded one."
        ),
    ] = None,
    draft: Annotated[
        Path | None, typer.Option(help="Folder of the draft model. Default: the embedded one.")
    ] = None,
    k_max: Annotated[int, typer.Option(help="Greatest draft depth, tokens, 1 to 8.")] = 6,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16, float32.")] = (
        "bfloat16"
    ),
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--json",
            help="File for the profile. Default: runs/profiles/TARGET__DRAFT__DTYPE__DEVICE.json.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option(help="A rough one, in about a minute and a half.")] = False,
    minutes: Annotated[
        float | None,
        typer.Option(help="How long to measure. Default: 4, or 0.75 with --quick."),
    ] = None,
    engine_cores: Annotated[
        str | None, typer.Option(help="Processors for the engine, such as 0-3 or 0,2.")
    ] = None,
    seed: options.Seed = 0,
) -> None:
    """Measure how long a step takes by batch size, depth, context and prompts, and keep that.

    It starts one engine under traffic of its own, so nothing else should keep the machine busy.
    `flyball serve --profile FILE` then starts from what was measured.

    Example: flyball profile --quick --out profile.json
    """
    from rich.console import Console

    from ...benchmarks.engines import BenchError
    from ...benchmarks.profiling import ProfileOptions, identify, run
    from ...inference.profile import default_path
    from ...inference.vllm.server import EngineError
    from ..vllm_options import find_cores

    with refusals():
        chosen = ProfileOptions(
            target=target,
            draft=draft,
            k_max=k_max,
            dtype=dtype,
            quick=quick,
            minutes=minutes,
            cores=find_cores(engine_cores),
            seed=seed,
        )
        path = out or default_path(identify(chosen))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():  # better known before than after minutes
            raise CliError(f"--out must name a file; {path} is a folder")
    try:
        with refusals(), progress_bar() as progress:
            found = run(chosen, progress)
            found.save(path)
    except (BenchError, EngineError) as e:
        raise CliError(str(e)) from e
    Console().print(tables(found))
    if found.noise > _DISTURBED:
        say("step times varied a lot: something else kept the machine busy; better measure again")
    say(f"written to {path}")


_DISTURBED = 0.12
"""Noise of intervals that an engine on a machine of its own does not have."""


def tables(profile: Profile) -> Group:
    """Seconds per step, coefficients and errors."""
    from rich.console import Group
    from rich.text import Text

    error = (
        f"predictions where nothing was measured: median error {profile.error_median:.1%}, "
        f"90th percentile {profile.error_p90:.1%}; noise of an interval {profile.noise:.1%}"
    )
    return Group(_seconds(profile), Text(), _coefficients(profile), Text(), Text(error))


def _seconds(profile: Profile) -> Table:
    """Milliseconds per step by batch size and depth, all of it decoding."""
    from rich.table import Table

    depths = range((profile.identity.k_max or 0) + 1)
    table = Table(title="Milliseconds per step without prompts, by batch size and depth")
    table.add_column("batch", justify="right")
    for depth in depths:
        table.add_column(f"K={depth}", justify="right")
    for batch in profile.batches:
        cells = [_milliseconds(profile, batch, depth) for depth in depths]
        table.add_row(f"{batch:g}", *cells)
    return table


def _milliseconds(profile: Profile, batch: float, depth: int) -> str:
    """Mean of the conditions' medians, by their steps."""
    mine = [
        (c.steps, c.seconds)
        for c in profile.conditions
        if c.depth == depth and c.prefill == 0.0 and abs(c.batch - batch) < 0.2 * batch
    ]
    steps = sum(n for n, _ in mine)
    return f"{1e3 * sum(n * s for n, s in mine) / steps:.1f}" if steps else "-"


_UNITS = {
    "step": (1e3, "ms per step"),
    "requests": (1e3, "ms per request"),
    "depth": (1e3, "ms per token of depth"),
    "verified": (1e3, "ms per draft verified"),
    "prefill": (1e6, "µs per prompt token"),
    "context": (1e9, "ns per cached token"),
    "drafted": (1e3, "ms per token drafted, over its pass"),
}


def _coefficients(profile: Profile) -> Table:
    from rich.table import Table

    table = Table("coefficient", "value", "unit", box=None, pad_edge=False)
    for name, value in profile.coefficients.items():
        factor, unit = _UNITS[name]
        table.add_row(name, f"{factor * value:.4g}", unit)
    return table
