"""The planners of agents in ``flyball status``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .shown import number, pair, percent, scaled, short, title

if TYPE_CHECKING:
    from rich.console import RenderableType


def planner_parts(status: dict[str, Any]) -> list[RenderableType]:
    """Planners and their learner, a column per planner; nothing where there is none."""
    from rich.table import Table
    from rich.text import Text

    planners = status.get("planners")
    if not planners:
        return []
    titles = (title(p["planner"], p) for p in planners)
    grid = Table("", *titles, box=None, header_style="bold", pad_edge=False)
    for label, show in _ROWS:
        # As text: what planners say of themselves is no markup.
        grid.add_row(label, *(Text(show(planner)) for planner in planners))
    learner = status["plan_learner"]
    shown = "   ".join(f"{name} {short(learner.get(name))}" for name in _LEARNER)
    return [Text(f"plan learner   {shown}"), grid]


_LEARNER: Final = ("transitions", "updates", "snapshot", "loss", "gate_refused", "reward")

_ROWS: Final[tuple[tuple[str, Callable[[dict[str, Any]], str]], ...]] = (
    ("approximation > target", lambda p: f"{p['approximation']} > {p['target']}"),
    ("mode", lambda p: str(p["mode"])),
    ("policy", lambda p: str(p["policy"])),
    ("speed", lambda p: f"{p['speed']:g}"),
    ("steps ahead", lambda p: str(p["ahead"])),
    ("share of 0, 1, ... ahead", lambda p: _shares(p["aheads"])),
    ("pin", lambda p: f"{p['ahead']} ahead (pin {p['pin']})" if p["pin"] else "-"),
    ("snapshot", lambda p: str(p["version"])),
    ("tasks run / calls in flight", lambda p: f"{p['running']} / {p['in_flight']}"),
    ("tasks ended / complete", lambda p: f"{p['totals']['runs']} / {p['totals']['complete']}"),
    ("seconds per task", lambda p: number(p["seconds_per_run"])),
    ("dollars per 1000 tasks", lambda p: scaled(p["dollars_per_run"], 1e3)),
    ("wasted, % of dollars", lambda p: percent([p["wasted_share"]])),
    ("matched, % of proposals", lambda p: percent([p["matched_share"]])),
    ("matches, Brier / calibration", lambda p: pair(p["survival_brier"], p["survival_ece"])),
    ("decision p50 / p99, µs", lambda p: f"{p['decide_us_p50']:.0f} / {p['decide_us_p99']:.0f}"),
    ("decisions", lambda p: str(p["decisions"])),
    ("dropped / refused", lambda p: f"{p['dropped']} / {p['refused']}"),
    ("faults", lambda p: f"{p['faults']} {p['last_fault']}".strip()),
)


def _shares(counts: list[int]) -> str:
    total = sum(counts)
    return percent([count / total for count in counts]) if total else "-"
