"""Plots of ``flyball bench slo``: what every arm keeps of its promises as the load grows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ..plots import GOVERNED, INK, QUIET
from .arms import ADASPEC, OFF, OURS
from .figures import Scores
from .promises import CLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {OURS: GOVERNED, OFF: INK, ADASPEC: "#e69f00"}


def draw(scores: Scores, out: Path) -> list[Path]:
    """Draw one plot per trace into a folder; the files."""
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for trace in dict.fromkeys(key[0] for key in scores):
        files.append(out / f"slo-{trace}.png")
        _plot(scores, trace).savefig(files[-1], dpi=150)
    return files


def _plot(scores: Scores, trace: str) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 3.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    arms = list(dict.fromkeys(key[3] for key in scores))
    loads = sorted({key[1] for key in scores})
    for arm in arms:
        own = [
            [s for key, s in scores.items() if key[:2] == (trace, load) and key[3] == arm]
            for load in loads
        ]
        style = {"color": _COLOURS.get(arm, QUIET), "lw": 2.0 if arm == OURS else 1.0}
        lines = (
            [np.mean([s.goodput for s in runs]) for runs in own],
            [np.mean([s.attained[0] for s in runs]) for runs in own],
            [np.mean([s.attained[1] for s in runs]) for runs in own],
        )
        for panel, line in zip(panels, lines, strict=True):
            panel.plot(loads, line, "o-", ms=3, label=arm, **style)
    titles = ("requests/s that got what was promised", *(f"{c}: attained" for c in CLASSES[:2]))
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_xlabel("load over capacity without speculation")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=7.5)
    return figure
