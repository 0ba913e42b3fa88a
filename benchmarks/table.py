"""The demo's summary as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .arms import ARMS, OFF, SPEEDS
from .summary import governed


def tables(summary: Mapping[str, Any]) -> Group:
    """Every phase and arm, then what was gained."""
    return Group(_phases(summary), Text(), _gains(summary), Text(), _facts(summary))


def _phases(summary: Mapping[str, Any]) -> Table:
    table = Table(title="Tokens per second (in brackets: mean depth)", title_justify="left")
    table.add_column("phase", no_wrap=True)
    for arm in ARMS:
        table.add_column(arm.name, justify="right")
    for phase in summary["phases"]:
        arms = phase["arms"]
        if not arms:
            continue
        best = max(arms, key=lambda name: float(arms[name]["tokens_per_second"]))
        cells = []
        for arm in ARMS:
            found = arms[arm.name]
            text = f"{found['tokens_per_second']:.0f}"
            if arm.depth is None:
                text += f" ({found['depth']:.1f})"
            cells.append(Text(text, style="bold green" if arm.name == best else ""))
        table.add_row(phase["phase"].replace("_", " "), *cells)
    return table


def _gains(summary: Mapping[str, Any]) -> Table:
    table = Table(title="Governed, over all phases (ratios, 95 % intervals)", title_justify="left")
    for column in ("speed", "tokens/s over off", "burden over off", "burden over the best fixed"):
        table.add_column(column, justify="right")
    table.add_column("latency, off = 1", justify="right")
    table.add_column("cost, off = 1", justify="right")
    for speed in SPEEDS:
        plane = summary["plane"][governed(speed).name]
        table.add_row(
            f"{speed:g}",
            _interval(summary, f"throughput_over_{OFF.name}_at_{speed:g}"),
            _interval(summary, f"burden_over_{OFF.name}_at_{speed:g}"),
            _interval(summary, f"burden_over_best_fixed_at_{speed:g}")
            + f"  ({summary['best_fixed'][f'{speed:g}']})",
            f"{plane['latency']:.3f}",
            f"{plane['cost']:.3f}",
        )
    table.caption = "burden = speed x latency + (1 - speed) x cost; lower is better"
    table.caption_justify = "left"
    return table


def _facts(summary: Mapping[str, Any]) -> Text:
    figures = summary["figures"]
    knob = figures.get("knob_seconds_max")
    lines = [
        f"{figures['transitions']:,} transitions, {figures['updates']:,} updates, "
        f"{figures['snapshots']:,} snapshots; {figures['requests']:,} requests, "
        f"{figures['failed_requests']} failed; {figures['seconds']:.0f} s",
        f"a decision takes {figures['decide_us_p50']:.0f} us (p99 {figures['decide_us_p99']:.0f})"
        + (f"; a turn of the knob took effect within {knob:.2f} s" if knob is not None else ""),
        *(f"plot: {file}" for file in summary.get("plots", ())),
    ]
    return Text("\n".join(lines))


def _interval(summary: Mapping[str, Any], name: str) -> str:
    figures = summary["figures"]
    return f"{figures[name]:.3f} [{figures[f'{name}_low']:.3f}, {figures[f'{name}_high']:.3f}]"
