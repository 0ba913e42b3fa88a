"""Actions: what an agent asks the world to do, as text and as data."""

from __future__ import annotations

import json
import re
from typing import Literal, get_args

from ..protocol import Action, ActionError

Style = Literal["thought", "act"]
STYLES: tuple[Style, ...] = get_args(Style)

_NAME = re.compile(r"[a-z_]+")


def write(thought: str, action: Action, style: Style) -> str:
    """Write one assistant turn in the given style."""
    if style == "thought":
        return f"Thought: {thought}\nAction: {action}"
    return f"Action: {action}"


def parse(text: str, style: Style = "thought") -> tuple[str, Action]:
    """Read one assistant turn, strictly.

    Args:
        text: What a model wrote, without chat markers; white space around it is ignored.
        style: The style it was asked for; in `thought` the thought line is required.

    Returns:
        The thought (empty in style `act`) and the action. Whether the tool exists and takes
        these arguments is the world's to say: see `World.check`.

    Raises:
        ActionError: The text does not have the form of the style.
    """
    lines = text.strip().split("\n")
    thought = ""
    if style == "thought":
        if not lines[0].startswith("Thought: "):
            raise ActionError(f"expected a line 'Thought: ...' first, got {lines[0][:60]!r}")
        thought = lines.pop(0).removeprefix("Thought: ")
    if len(lines) != 1 or not lines[0].startswith("Action: "):
        got = "\n".join(lines)[:60]
        raise ActionError(f"expected exactly one line 'Action: tool {{json}}', got {got!r}")
    return thought, parse_action(lines[0].removeprefix("Action: "))


def parse_action(text: str) -> Action:
    """Read `tool {json}`; raises `ActionError` when it is anything else."""
    tool, _, arguments = text.partition(" ")
    if not _NAME.fullmatch(tool):
        raise ActionError(f"expected a tool's name before the arguments, got {tool[:60]!r}")
    try:
        values = json.loads(arguments, object_pairs_hook=_no_duplicates, parse_constant=_refuse)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ActionError(f"the arguments of {tool} are not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ActionError(f"the arguments of {tool} must be a JSON object, got {arguments[:60]!r}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ActionError(f"{tool}: {name} must be a string or a number, got {value!r}")
    return Action(tool, values)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ActionError(f"an argument is given twice in {[name for name, _ in pairs]}")
    return values


def _refuse(constant: str) -> float:
    raise ActionError(f"{constant} is not a JSON number")
