"""The table at the end of ``flyball agents demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def demo_table(summary: dict[str, Any]) -> RenderableType:
    """What every arm came to, over the target agent alone, and whether they did the same."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    arms = summary["arms"]
    alone = next(iter(arms.values()))
    grid = Table(box=None, header_style="bold", pad_edge=False)
    grid.add_column("who decides")
    for name in ("seconds", "of alone", "m$", "of alone", "wasted", "matched", "same steps"):
        grid.add_column(name, justify="right")
    for i, (name, arm) in enumerate(arms.items()):
        seconds, dollars = arm["seconds_per_task"], arm["dollars_per_task"]
        judged, wasted = arm["proposals_judged"], arm["wasted_dollars_per_task"]
        grid.add_row(
            Text(name if i else "target alone"),
            f"{seconds:.2f}",
            f"{seconds / alone['seconds_per_task']:.2f}",
            f"{1e3 * dollars:.3f}",
            f"{dollars / alone['dollars_per_task']:.2f}",
            f"{wasted / dollars:.0%}" if dollars else "-",
            f"{arm['matched'] / judged:.0%}" if judged else "-",
            f"{arm['identical']} of {summary['tasks']}",
        )
    head = f"{summary['tasks']} tasks, each by all in turn; seconds and m$ (dollars / 1000) a task"
    return Group(Text(head), grid)
