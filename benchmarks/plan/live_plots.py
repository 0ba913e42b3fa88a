"""The plot of live runs: seconds and dollars of every arm, the target agent alone = 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..plots import GOVERNED, INK, QUIET
from .arms import FIXED, OURS

if TYPE_CHECKING:
    from .live import LiveRuns


def draw_live(found: LiveRuns, out: Path) -> Path:
    """Draw into a folder; the file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(5.6, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    total = {arm: found.parts(arm).sum(0) for arm in found.runs}
    alone = next(sums for arm, sums in total.items() if arm.family == FIXED)
    for arm, sums in total.items():
        seconds, dollars = (sums[:2] / alone[:2]).tolist()
        colour = {OURS: GOVERNED, FIXED: INK}.get(arm.family, QUIET)
        panel.plot([seconds], [dollars], "o", ms=6, color=colour)
        name = "target alone" if arm.family == FIXED else arm.name
        panel.annotate(name, (seconds, dollars), (5, 5), textcoords="offset points", fontsize=8)
    panel.axhline(1.0, lw=0.6, color=QUIET)
    panel.axvline(1.0, lw=0.6, color=QUIET)
    title = f"{len(found.tasks)} tasks, live: the target agent alone = 1"
    panel.set_title(title, loc="left", fontsize=10)
    panel.set_xlabel("seconds")
    panel.set_ylabel("dollars")
    panel.spines[["top", "right"]].set_visible(False)
    file = out / "plan-live.png"
    figure.savefig(file, dpi=150)
    return file
