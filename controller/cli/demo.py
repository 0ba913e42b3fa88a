"""``flyball demo``: all of it on one machine, within minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import CliError, refusals, say


def demo(
    quick: Annotated[bool, typer.Option(help="A glimpse within about 90 seconds.")] = False,
    seconds: Annotated[float, typer.Option(help="About how long it takes.")] = 330.0,
    seed: Annotated[int, typer.Option(help="Of prompts, order and learning.", min=0)] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the summary, the plots and the controller's run.")
    ] = Path("runs/demo"),
    model: Annotated[
        Path | None, typer.Option(help="Folder of the target model. Default: the embedded one.")
    ] = None,
    draft: Annotated[
        Path | None, typer.Option(help="Folder of the draft model. Default: the embedded one.")
    ] = None,
    k_max: Annotated[int, typer.Option(help="Greatest draft depth, tokens.")] = 6,
    engine_cores: Annotated[
        str | None, typer.Option(help="Processors for the engine, such as 0-3 or 0,2.")
    ] = None,
) -> None:
    """Serve real prompts with a live engine while a learner governs its depth; say what it gains.

    It writes summary.json and plots: loads by concurrency and content; no speculation, fixed
    depths and the governed engine, compared in turn; the knob turned while requests run.

    Example: flyball demo --quick
    """
    from rich.console import Console

    from ...benchmarks.demo import DemoOptions, run_demo
    from ...benchmarks.engines import BenchError
    from ...benchmarks.table import tables
    from ...inference.vllm.server import EngineError
    from ..vllm_options import find_cores

    with refusals():
        options = DemoOptions(
            seconds=seconds,
            quick=quick,
            seed=seed,
            out=out,
            k_max=k_max,
            target=model,
            draft=draft,
            cores=find_cores(engine_cores),
        )
    try:
        with refusals():
            summary = run_demo(options, say)
    except (BenchError, EngineError) as e:
        raise CliError(str(e)) from e
    Console().print(tables(summary))
    say(f"summary and plots: {out}")
