"""Plots of ``flyball bench depth``: what the knob buys, and who is how good in which phase."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ..plots import GOVERNED, INK, QUIET
from .figures import OFF, OURS, curve, fixed_policies, peer_policies
from .tally import Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PEER: Final = "#e69f00"


def draw(tally: Tally, speeds: Sequence[float], out: Path) -> list[Path]:
    """Draw every plot into a folder; the files."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = {"pareto.png": pareto(tally, speeds), "phases.png": phases(tally, max(speeds))}
    for name, figure in drawn.items():
        figure.savefig(out / name, dpi=150)
    return [out / name for name in drawn]


def pareto(tally: Tally, speeds: Sequence[float]) -> Figure:
    """Latency against cost of every policy, a line where the knob moves it."""
    figure, panel = _figure(7.0, 5.0)
    fixed = [curve(tally, p, speeds[:1])[0] for p in fixed_policies(tally)]
    panel.plot(*zip(*fixed, strict=True), "s--", color=QUIET, ms=5, lw=0.8, label="fixed depths")
    for policy in peer_policies(tally, max(speeds)):
        xs, ys = zip(*curve(tally, policy, speeds), strict=True)
        panel.plot(xs, ys, "o-", color=_PEER, ms=3.5, lw=0.7, alpha=0.8)
        panel.annotate(policy, (xs[-1], ys[-1]), (4, 4), textcoords="offset points",
                       fontsize=7.5, color=INK)  # fmt: skip
    xs, ys = zip(*curve(tally, OURS, speeds), strict=True)
    panel.plot(xs, ys, "o-", color=GOVERNED, ms=6, lw=1.8, label="flyball, speed 0 to 1", zorder=5)
    panel.set_xlabel("seconds per token, off = 1")
    panel.set_ylabel("dollars per token, off = 1")
    panel.legend(frameon=False)
    panel.set_title("What every policy buys: left and down is better", loc="left", fontsize=11)
    return figure


def phases(tally: Tally, speed: float) -> Figure:
    """J of every policy in every phase at a speed, mean over seeds."""
    names = list(dict.fromkeys(phase for _, phase in tally.units))
    index = np.array([names.index(phase) for _, phase in tally.units])
    shown = [*fixed_policies(tally), *peer_policies(tally, speed), OURS]
    table = np.array(
        [
            [
                tally.objective(tally.arm(p, speed), OFF, speed)[index == i].mean()
                for i in range(len(names))
            ]
            for p in shown
        ]
    )
    figure, panel = _figure(1.5 + 0.75 * len(names), 1.5 + 0.32 * len(shown))
    relative = table / table.min(0)
    panel.imshow(relative, cmap="Blues_r", vmin=1.0, vmax=1.5, aspect="auto")
    for y, row in enumerate(table):
        for x, j in enumerate(row):
            colour = "white" if relative[y, x] < 1.2 else INK
            panel.text(x, y, f"{j:.2f}", ha="center", va="center", fontsize=7.5, color=colour)
    panel.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7.5)
    panel.set_yticks(range(len(shown)), shown, fontsize=8)
    panel.grid(visible=False)
    panel.set_title(f"J at speed {speed:g}, off = 1; dark is best", loc="left", fontsize=11)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=INK, labelsize=8.5, length=3)
    return figure, panel
