"""``flyball status``: a live table of the engines, the planners and the learners."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .console import DEFAULT_URL, Url, controller, say
from .planners import planner_parts
from .shown import pair, percent, scaled, short, title

if TYPE_CHECKING:
    from rich.console import RenderableType

_EVERY: Final = 0.5


def status(
    watch: Annotated[
        bool, typer.Option("--watch/--once", help="Keep showing, or show once.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, once.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show every engine, every planner and their learners; Ctrl-C ends it.

    Rates are those of the last 10 seconds; seconds per token are per request.

    Example: flyball status --once
    """
    from rich.console import Console

    with controller(url) as client:
        if as_json:
            say(json.dumps(client.status(), indent=2))
            return
        if not watch:
            Console().print(table(client.status()))
            return
        _watch(client)


def _watch(client: Any) -> None:
    from rich.live import Live

    try:
        with Live(table(client.status()), refresh_per_second=4) as live:
            while True:
                time.sleep(_EVERY)
                live.update(table(client.status()))
    except KeyboardInterrupt:
        return


def table(status: dict[str, Any]) -> RenderableType:
    """A status for people: a column per engine."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    engines = status["engines"]
    grid = Table(
        "", *(title(e["engine"], e) for e in engines), box=None, header_style="bold", pad_edge=False
    )
    for label, show in _ROWS:
        # As text: what engines and requests say of themselves is no markup.
        grid.add_row(label, *(Text(show(engine)) for engine in engines))
    for name in sorted({name for engine in engines for name in engine["slo"]}):
        shown = (Text(_slo(engine["slo"].get(name))) for engine in engines)
        grid.add_row(f"SLO {name or 'without a class'}, attained", *shown)
    head = "speed {speed:g}   reward {reward}   snapshot {snapshot}   run {run}".format(**status)
    learner = "   ".join(f"{n} {short(status['learner'].get(n))}" for n in _LEARNER)
    parts: list[RenderableType] = [Text(head), Text(f"learner   {learner}")]
    if left := status["learner"].get("relearning"):
        parts.append(
            Text(
                f"the reward is being learned, {left} updates to go; until then the "
                f"snapshot before it decides"
            )
        )
    if engines or not status.get("planners"):
        parts.append(grid if engines else Text("no engine has reported yet"))
    parts.extend(
        Text(f"guard of {e['engine']} last fell back: {e['guard']['reason']}")
        for e in engines
        if e["guard"]["reason"]
    )
    parts.extend(planner_parts(status))
    refused = "   ".join(f"{kind} {count}" for kind, count in status["refused"].items())
    if refused:
        parts.append(Text(f"refused   {refused}   last: {status['last_refusal']}"))
    return Group(*parts)


_LEARNER: Final = ("transitions", "updates", "explore_budget", "loss", "latency", "cost")

_ROWS: Final[tuple[tuple[str, Callable[[dict[str, Any]], str]], ...]] = (
    ("mode", lambda e: str(e["mode"])),
    ("policy", lambda e: str(e["policy"])),
    ("speed", lambda e: f"{e['speed']:g}"),
    ("depth, tokens", lambda e: str(e["depth"])),
    ("share of depths 0, 1, ...", lambda e: percent((e["depth_shares"] or [])[: e["k_max"] + 1])),
    ("drafter", lambda e: e["drafter"] or "-"),
    ("drafters, share", lambda e: _drafter_shares(e["drafters"])),
    ("drafters, accepted of 1 draft", lambda e: _drafter_yields(e["drafters"])),
    ("pin", lambda e: f"depth {e['depth']} (pin {e['pin']})" if e["pin"] else "-"),
    ("snapshot", lambda e: str(e["version"])),
    ("requests run / wait", lambda e: f"{e['running']} / {e['waiting']}"),
    ("tokens per second", lambda e: f"{e['tokens_per_second']:.1f}"),
    ("milliseconds per token", lambda e: scaled(e["seconds_per_token"], 1e3)),
    ("dollars per million tokens", lambda e: scaled(e["dollars_per_token"], 1e6)),
    ("accepted at 1, 2, ..., %", lambda e: percent(e["acceptance"][: e["k_max"]])),
    ("survival, Brier / calibration", lambda e: pair(e["survival_brier"], e["survival_ece"])),
    ("decision p50 / p99, µs", lambda e: f"{e['decide_us_p50']:.0f} / {e['decide_us_p99']:.0f}"),
    ("decisions", lambda e: str(e["decisions"])),
    ("guard", lambda e: _guard(e["guard"])),
    ("policy over static depth", lambda e: _ratio(e["guard"])),
    ("explored lately", lambda e: f"{100 * e['guard']['explored']:.0f} %"),
    ("dropped / refused", lambda e: f"{e['dropped']} / {e['refused']}"),
    ("faults", lambda e: f"{e['faults']} {e['last_fault']}".strip()),
    ("hints ignored", lambda e: f"{e['ignored']} {e['last_ignored']}".strip()),
)


def _drafter_shares(drafters: dict[str, dict[str, Any]]) -> str:
    """What each was to draft for, of all steps of requests."""
    total = sum(counts["assigned"] for counts in drafters.values())
    shares = ((name, counts["assigned"]) for name, counts in drafters.items())
    return " ".join(f"{name} {count / total:.0%}" for name, count in shares if count) or "-"


def _drafter_yields(drafters: dict[str, dict[str, Any]]) -> str:
    """Tokens accepted of a draft, used or only scored."""
    return (
        " ".join(
            f"{name} {(c['accepted'] + c['scored_accepted']) / made:.2f}"
            for name, c in drafters.items()
            if (made := c["steps"] + c["scored"])
        )
        or "-"
    )


def _guard(guard: dict[str, Any]) -> str:
    falls = f", {guard['falls']} falls" if guard["falls"] else ""
    left = f" for {guard['seconds_left']:.0f} s" if guard["seconds_left"] else ""
    return f"{guard['state']}{left}{falls}"


def _slo(counts: dict[str, int] | None) -> str:
    if not counts or not counts["finished"]:
        return "-"
    finished = counts["finished"]
    each = " ".join(
        f"{name} {counts[name] / finished:.0%}" for name in ("ttft", "tpot", "deadline")
    )
    best = f", {counts['best_effort']} best effort" if counts["best_effort"] else ""
    return f"{counts['attained'] / finished:.0%} of {finished} ({each}){best}"


def _ratio(guard: dict[str, Any]) -> str:
    if guard["ratio"] is None:
        return "-"
    return f"{guard['ratio']:.3f} [{guard['low']:.3f}, {guard['high']:.3f}]"
