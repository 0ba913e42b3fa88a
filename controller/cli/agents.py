"""``flyball agents``: plans of agents that run ahead of their verification."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .console import CliError, refusals, say

if TYPE_CHECKING:
    from ...benchmarks.plan.demo import AgentsDemoOptions

app = typer.Typer(
    help="Agents whose plans run ahead of their verification.\n\nExample: flyball agents demo",
    no_args_is_help=True,
)


@app.command()
def demo(
    seconds: Annotated[
        float, typer.Option(help="That tasks are run for, in [10, 36000]; the start comes on top.")
    ] = 150.0,
    seed: options.Seed = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the summary, the plot and the controller's run.")
    ] = Path("runs/agents"),
    model: Annotated[
        Path | None, typer.Option(help="Folder of the target model. Default: the embedded one.")
    ] = None,
    draft: Annotated[
        Path | None, typer.Option(help="Folder of the draft model. Default: the embedded one.")
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option(help="Processors for both engines, such as 0-3 or 0,2; the last is draft's."),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Have vLLM compile the models first: minutes more.")
    ] = False,
    live: Annotated[bool, typer.Option("--live/--no-live", help="Show the window.")] = True,
) -> None:
    """Run agents on two live engines while a controller learns how far ahead they may run.

    The target agent writes a thought and an action, the approximation agent an action alone; what
    is done is the target agent's own. The knob is turned from 0 to 1 while tasks run, and anyone
    may turn it: `flyball knob`. Then the target agent alone, fixed numbers of steps ahead and
    learned ones take turns on the same tasks. It writes summary.json and a plot.

    Example: flyball agents demo --seconds 90
    """
    from rich.console import Console

    from ...benchmarks.engines import BenchError
    from ...benchmarks.plan.demo import AgentsDemoOptions
    from ...benchmarks.plan.demo_table import demo_table
    from ...inference.vllm.server import EngineError
    from ..vllm_options import find_cores

    try:
        with refusals():
            chosen = AgentsDemoOptions(
                seconds=seconds,
                seed=seed,
                out=out,
                target=model,
                draft=draft,
                cores=find_cores(cores),
                compiled=compiled,
            )
            if out.exists() and not out.is_dir():
                raise CliError(f"--out must name a folder; {out} is none")
            summary = _shown(chosen, live)
    except (BenchError, EngineError) as e:
        raise CliError(str(e)) from e
    Console().print(demo_table(summary))
    say(f"summary and plot: {out}")


def _shown(chosen: AgentsDemoOptions, live: bool) -> dict[str, Any]:
    """The demo, with a live view of the window where there is a terminal for it."""
    from rich.console import Console
    from rich.live import Live

    from ...benchmarks.plan.demo import run_agents_demo
    from ...benchmarks.plan.window_view import WindowView

    view, console = WindowView(), Console()
    if not live or not console.is_terminal:
        summary = run_agents_demo(chosen, view, say)
        console.print(view)
        return summary
    with Live(view, console=console, refresh_per_second=8) as shown:
        return run_agents_demo(chosen, view, shown.console.print)


@app.command()
def policies() -> None:
    """List the policies of plans, each with its options and their defaults.

    `flyball policy use SPEC --engine NAME` puts one in force on a running planner, and
    `make_plan_policy` makes one of it: a name, or NAME:OPTION=VALUE,OPTION=VALUE.

    Example: flyball agents policies
    """
    from ...policies.plan.catalogue import plan_policies

    for entry in plan_policies():
        say(f"{entry.name}: {entry.about}")
        for option in entry.options:
            default = "" if option.default in (None, "") else f" [{option.default}]"
            say(f"    {option.name}{default}: {option.about}")
