"""Thoughts that go with actions, made from the actions and what was observed alone.

A target agent whose plan may run ahead must not be shown what it thought at earlier steps: those
that the approximation agent proposed have no thought. But a model that was trained on transcripts
with thoughts does worse without any. So it is shown, for every step alike, the thought that a
right plan would have there: a function of what was done and observed, whoever proposed it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ..protocol import Action, Step, Turn
from .world import FINISH

_THOUGHTS: Final = {
    FINISH: "I know the answer.",
    "add_event": "The first free time is {start}. I add the {title}.",
    "convert": "I convert {value} {from} to {to}.",
    "find_slot": "I look for {minutes} free minutes of {person} on {date}.",
    "list_events": "I list the events of {person} on {date}.",
    "list_files": "I list the folder {folder}.",
    "lookup": "I look up the {field} of {subject}.",
    "read_file": "I read {path}.",
    "search_files": "I search the files for {text}.",
    "search_flights": "I search the flights from {from} to {to} on {date}.",
    "search_hotels": "I search the hotels in {city}.",
    "search_trains": "I search the trains from {from} to {to} on {date}.",
    "write_file": "I write {text} to {path}.",
}


def recalled(steps: Sequence[Step]) -> list[Step]:
    """The same steps, each with the thought that goes with it.

    Args:
        steps: oldest first; their own thoughts are left out.
    """
    seen = [step.observation for step in steps]
    return [
        replace(step, turn=Turn(step.action, thought(step.action, seen[:i])))
        for i, step in enumerate(steps)
    ]


def thought(action: Action, observations: Sequence[str]) -> str:
    """The thought that goes with an action of the world.

    Args:
        action: what was done.
        observations: before it, oldest first.
    """
    if action.tool == "book":
        return _booking(str(action.arguments["offer"]), observations)
    if action.tool == "read_file" and observations[-1:] == [action.arguments["path"]]:
        return f"The file is {observations[-1]}. I read it."
    return _THOUGHTS[action.tool].format_map(action.arguments)


def _booking(offer: str, observations: Sequence[str]) -> str:
    for seen in reversed(observations):
        if price := re.search(rf"\b{re.escape(offer)}\b(?: \d\d:\d\d)? (\d+) EUR", seen):
            return f"The cheapest is {offer} at {price[1]} EUR."
    return f"I book {offer}."
