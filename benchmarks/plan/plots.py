"""Plots of ``flyball bench plan``: what a second saved costs, by policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..plots import GOVERNED, INK, QUIET
from .arms import DSP, FIXED, JUDGE, ORACLE, OURS, WINDOW
from .curves import hull
from .tally import Tally, Where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {
    OURS: GOVERNED,
    FIXED: INK,
    WINDOW: QUIET,
    DSP: "#e69f00",
    JUDGE: "#cc79a7",
    ORACLE: "#009e73",
}


def draw(found: Mapping[Where, Tally], out: Path) -> list[Path]:
    """Draw one plot per place into a folder; the files."""
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for (name, limit), tally in found.items():
        place = name if math.isinf(limit) else f"{name}-{limit:g}-calls"
        files.append(out / f"plan-{place}.png")
        _plot(tally, place).savefig(files[-1], dpi=150)
    return files


def _plot(tally: Tally, place: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for family, colour in _COLOURS.items():
        points = tally.points(family)
        curve = hull(points)
        panel.plot(*points.T, "o", ms=3.5, color=colour)
        panel.plot(*curve.T, "-", lw=2.0 if family == OURS else 1.0, color=colour, label=family)
    panel.plot([1.0], [1.0], "s", ms=5, color=INK)
    panel.set_title(f"{place}: the target agent alone = 1", loc="left", fontsize=10)
    panel.set_xlabel("seconds")
    panel.set_ylabel("dollars")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)
    return figure
