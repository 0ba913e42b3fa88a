"""``flyball evaluate``: what snapshots would have been worth on what a run logged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import CliError, refusals, say

if TYPE_CHECKING:
    from rich.table import Table

    from ...policies.off_policy import Estimate
    from ..run_log import Evaluation


def evaluate(
    snapshots: Annotated[
        list[str] | None,
        typer.Argument(
            help="Numbers in the run's registry, `current`, or files. Default: current.",
            metavar="[SNAPSHOT]...",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of a run. Default: the one in runs/ that was written to last."),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(help="Judge at this speed, in [0, 1]. Default: that of each decision."),
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=2, help="Newest decisions to use. Default: all that are kept.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for the result, as JSON.")] = None,
) -> None:
    """Estimate what snapshots are worth from decisions that others made, without running them.

    It reads the run's latest checkpoint, also while the run goes on, and changes nothing. Values
    are -(speed x latency + (1 - speed) x cost), or the run's reward; higher is better. The first
    line is what decided: measured, not estimated. With few effective decisions a line says little.

    Example: flyball evaluate 12 current --run runs/mine --speed 0.8
    """
    from rich.console import Console

    from ...benchmarks.result import write
    from ...policies.spaces import check_speed
    from ..run_log import RunLog, as_json, assess
    from ..runs import newest_run

    if json is not None and json.is_dir():
        raise CliError(f"--json must name a file; {json} is a folder")
    with refusals():
        at = None if speed is None else check_speed(speed)
        log = RunLog.read(run or newest_run())
        found = assess(log, snapshots or ["current"], at, last)
        judged = "the speed of each decision" if at is None else f"speed {at:g}"
        say(f"{log.run}: {found[0].dr.n} decisions, {log.state.reward} at {judged}")
        Console().print(table(found))
        if json is not None:
            write(json, as_json(log, found, at))
            say(f"written to {json}")


def table(found: list[Evaluation]) -> Table:
    """A line for each, with 95 % intervals."""
    from rich.table import Table

    out = Table("snapshot", box=None, pad_edge=False)
    for column in ("ips", "snips", "doubly robust", "effective decisions"):
        out.add_column(column, justify="right")
    for each in found:
        estimates = [_text(e) for e in (each.ips, each.snips, each.dr)]
        out.add_row(each.snapshot, *estimates, f"{each.dr.ess:.0f}")
    return out


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
