"""``flyball knob``: show or turn the speed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .console import DEFAULT_URL, Url, controller, refusals, say

if TYPE_CHECKING:
    from ...inference.client import ControllerClient

_PATIENCE: Final = 2.0  # seconds in which engines must report the new speed
_POLL: Final = 0.05


def knob(
    speed: Annotated[
        str | None,
        typer.Argument(help="Speed in [0, 1]: 0 = cheapest, 1 = fastest. Without it: show."),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the speed, or turn it for every engine and planner of the running system.

    It is in force at the next interval, with no restart and no relearning.

    Example: flyball knob 0.8
    """
    from ...policies.spaces import check_speed

    if speed is None:
        with controller(url) as client:
            say(f"speed {client.knob():g}")
        return
    with refusals():
        wanted = check_speed(speed)
    with controller(url) as client:
        say(f"speed {client.set_knob(wanted):g}")
        _follow(client, wanted)


def _follow(client: ControllerClient, speed: float) -> None:
    """Say of every live engine and planner how long it took to report the new speed."""
    started = time.monotonic()
    waiting: set[str] = set()
    done: set[str] = set()
    while time.monotonic() - started < _PATIENCE:
        speeds = _speeds(client.status())
        waiting = {name for name, its in speeds.items() if its != speed}
        for name in sorted(speeds.keys() - waiting - done):
            say(f"  {name}: in force after {time.monotonic() - started:.2f} s")
            done.add(name)
        if not waiting:
            break
        time.sleep(_POLL)
    for name in sorted(waiting - done):
        say(f"  {name}: not reported within {_PATIENCE:g} s")
    if not done and not waiting:
        say("  no engine is live; the speed holds for those to come")


def _speeds(status: dict[str, Any]) -> dict[str, float]:
    """The speed of everything that is live, by name."""
    engines = {e["engine"]: e["speed"] for e in status["engines"] if e["live"]}
    return engines | {p["planner"]: p["speed"] for p in status["planners"] if p["live"]}
