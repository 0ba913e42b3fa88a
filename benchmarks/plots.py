"""The demo's plots, drawn from its summary alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .arms import CLASSES, CONCURRENCIES, FIXED, OFF, SPEEDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#22272e"
QUIET: Final = "#8b949e"
GOVERNED: Final = "#0072b2"
COLOURS: Final = {
    OFF.name: "#c9ced6",
    f"depth {FIXED[0]}": "#e69f00",
    f"depth {FIXED[1]}": "#cc79a7",
    f"governed {SPEEDS[-1]:g}": GOVERNED,
}
"""Colours that stay apart for the colour-blind, the governed arm's the strongest."""

LABELS: Final = {"code": "code", "tool_calls": "tool calls", "prose": "prose"}


def draw_all(summary: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw every plot into a folder; the files."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = {
        "throughput.png": throughput(summary),
        "plane.png": plane(summary),
        "knob.png": knob(summary),
    }
    files = []
    for name, figure in drawn.items():
        file = out / name
        figure.savefig(file, dpi=150)
        files.append(file)
    return files


def throughput(summary: Mapping[str, Any]) -> Figure:
    """Tokens per second by phase and arm."""
    figure, panels = _figure(len(CONCURRENCIES), height=3.9)
    width = 0.8 / len(COLOURS)
    for panel, concurrency in zip(panels, CONCURRENCIES, strict=True):
        phases = _phases(summary, concurrency)
        for i, (arm, colour) in enumerate(COLOURS.items()):
            at = np.arange(len(CLASSES)) + (i - (len(COLOURS) - 1) / 2) * width
            arms = [phases.get(content, {}).get(arm) for content in CLASSES]
            heights = [found["tokens_per_second"] if found else 0.0 for found in arms]
            bars = panel.bar(at, heights, width * 0.92, color=colour, label=_label(arm))
            if arm.startswith("governed"):
                texts = [f"{found['depth']:.1f}" if found else "" for found in arms]
                panel.bar_label(bars, texts, padding=2, fontsize=7.5, color=colour)
        panel.set_xticks(range(len(CLASSES)), [LABELS[content] for content in CLASSES])
        panel.set_title(_requests(concurrency), loc="left", color=INK, fontsize=10)
        panel.margins(y=0.12)
    panels[0].set_ylabel("tokens per second")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    _title(
        figure,
        "Tokens per second: which depth is best depends on load and content",
        "above the governed bars: the mean depth that was learned",
    )
    return figure


def plane(summary: Mapping[str, Any]) -> Figure:
    """Latency against cost, off = 1.0: where the knob goes."""
    figure, panels = _figure(len(CONCURRENCIES), height=3.9)
    for panel, concurrency in zip(panels, CONCURRENCIES, strict=True):
        means = _means(_phases(summary, concurrency))
        panel.axhline(1.0, color=QUIET, lw=0.6, ls=":")
        panel.axvline(1.0, color=QUIET, lw=0.6, ls=":")
        for arm, (x, y) in means.items():
            if not arm.startswith("governed"):
                panel.scatter(x, y, s=46, color=COLOURS[arm], edgecolor=INK, lw=0.5, zorder=3)
                _note(panel, arm, (x, y), (6, 5), INK)
        path = [means[f"governed {s:g}"] for s in SPEEDS if f"governed {s:g}" in means]
        if path:
            xs, ys = zip(*path, strict=True)
            panel.plot(xs, ys, "-o", color=GOVERNED, ms=6, lw=1.6, zorder=4)
            for speed, point in zip(SPEEDS, path, strict=False):
                _note(panel, f"{speed:g}", point, (-4, -13), GOVERNED)
        panel.set_title(_requests(concurrency), loc="left", color=INK, fontsize=10)
        panel.set_xlabel("seconds per token, off = 1")
        panel.margins(0.18)
    panels[0].set_ylabel("dollars per token, off = 1")
    _title(
        figure,
        "What the knob buys: seconds against dollars",
        "blue: the governed engine at speed 0, 0.5 and 1; left and down is better",
    )
    return figure


def knob(summary: Mapping[str, Any]) -> Figure:
    """Depth over time while the knob is turned and requests run."""
    tour = summary["tour"]
    figure, panels = _figure(1, rows=3, height=5.2, ratios=(3, 2, 1))
    t = np.asarray(tour["t"], np.float64)
    depth, rate, speed = panels
    explored = np.asarray(tour["explored"], bool)
    depths = np.asarray(tour["depth"], np.float64)
    if len(t):
        depth.step(t, depths, where="post", color=GOVERNED, lw=1.3)
        depth.plot(t[explored], depths[explored], "o", ms=3.5, mfc="white", mec=GOVERNED, lw=0)
        rate.plot(t, tour["tokens_per_second"], color=GOVERNED, lw=0.9)
        speed.fill_between(t, tour["speed"], step="post", color="#e69f00", alpha=0.55, lw=0)
        for start, batch in _loads(t, np.asarray(tour["batch"])):
            for panel in panels:
                panel.axvline(start, color=QUIET, lw=0.7, ls="--")
            depth.text(start, 1.02, f" {_requests(batch)}", transform=depth.get_xaxis_transform(),
                       color=QUIET, fontsize=8.5)  # fmt: skip
    depth.set_ylabel("depth, tokens")
    depth.set_ylim(-0.4, max(6.0, depths.max(initial=0.0)) + 0.4)
    rate.set_ylabel("tokens/s")
    rate.set_ylim(bottom=0.0)
    speed.set_ylabel("speed")
    speed.set_ylim(0.0, 1.05)
    speed.set_xlabel("seconds")
    for panel in (depth, rate):
        panel.tick_params(labelbottom=False)
        panel.sharex(speed)
    _title(
        figure,
        "The knob is turned while requests run, and nothing else",
        "open circles: depths drawn at random, to go on learning",
    )
    return figure


def _figure(
    columns: int, rows: int = 1, height: float = 4.0, ratios: tuple[int, ...] = (1,)
) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, height_ratios=ratios)
    panels = list(axes.ravel())
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(QUIET)
        panel.tick_params(colors=INK, labelsize=8.5, length=3)
        panel.grid(axis="y", color="#eceff3", lw=0.8)
        panel.set_axisbelow(True)
    return figure, panels


def _title(figure: Figure, title: str, below: str) -> None:
    figure.suptitle(f"{title}\n", x=0.01, ha="left", color=INK, fontsize=12.5, weight="bold")
    figure.text(0.01, 0.925, below, ha="left", va="center", color=QUIET, fontsize=9)


def _note(
    panel: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], colour: str
) -> None:
    panel.annotate(
        text, at, offset, textcoords="offset points", color=colour, fontsize=8.5, zorder=5
    )


def _label(arm: str) -> str:
    return arm.replace("governed ", "governed, speed ")


def _requests(concurrency: int) -> str:
    return "1 request at a time" if concurrency == 1 else f"{concurrency} requests at a time"


def _phases(summary: Mapping[str, Any], concurrency: int) -> dict[str, dict[str, Any]]:
    """The arms of each content class at a concurrency."""
    return {
        phase["content_class"]: phase["arms"]
        for phase in summary["phases"]
        if phase["concurrency"] == concurrency and phase["arms"]
    }


def _means(phases: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Latency and cost of every arm, geometric means over the content classes."""
    means = {}
    for arm in next(iter(phases.values()), {}):
        logs = np.log([(p[arm]["latency"], p[arm]["cost"]) for p in phases.values()])
        x, y = np.exp(logs.mean(axis=0))
        means[arm] = (float(x), float(y))
    return means


def _loads(t: Any, batch: Any) -> list[tuple[float, int]]:
    """When each load began: at the start, and where the batch moves to another concurrency."""
    nearest = np.array(CONCURRENCIES)[
        np.abs(np.log(np.maximum(batch, 1.0))[:, None] - np.log(CONCURRENCIES)).argmin(axis=1)
    ]
    found: list[tuple[float, int]] = []
    for i, load in enumerate(nearest):
        steady = (nearest[i : i + 4] == load).all()
        if steady and (not found or load > found[-1][1]):
            found.append((float(t[i]), int(load)))
    return found
