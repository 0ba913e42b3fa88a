"""When a proposed action is the target agent's, and how actions are written to be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from .protocol import Action, ActionError

Match = Callable[[Action, Action], bool]
"""Of what was proposed and what the target agent wants: whether they are the same."""

Matching = Literal["exact", "normalised"] | Match
"""``exact``: the same JSON, the order of names included, so that what the target agent is shown
of steps ahead is to the byte what it is shown of its own. ``normalised``: the same JSON values;
the order of names and how a number is written make no difference (1 and 1.0 are one; true is
not). Or the user's own function."""


def exact(action: Action) -> str:
    """Write an action so that equal text means the same call, written the same way.

    Raises:
        ActionError: its arguments are not JSON values.
    """
    return f"{action.tool} {_dumps(action, dict(action.arguments))}"


def identity(action: Action) -> str:
    """Write an action so that equal text means that any tool is called with the same values.

    Raises:
        ActionError: its arguments are not JSON values.
    """
    return f"{action.tool} {_dumps(action, dict(action.arguments), sort_keys=True)}"


def normalised(action: Action) -> str:
    """Write an action so that equal text means equal JSON values.

    Raises:
        ActionError: its arguments are not JSON values.
    """
    values = _number(dict(action.arguments))
    return f"{action.tool} {_dumps(action, values, sort_keys=True)}"


def _number(value: Any) -> Any:
    """Return a JSON value with every whole number as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _number(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_number(inner) for inner in value]
    return value


def _dumps(action: Action, value: Any, sort_keys: bool = False) -> str:
    try:
        return json.dumps(
            value,
            sort_keys=sort_keys,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(f"the arguments of {action.tool} are not JSON: {error}") from error


_TEXTS: Final[dict[str, Callable[[Action], str]]] = {"exact": exact, "normalised": normalised}


@dataclass(frozen=True, slots=True)
class Written:
    """An action with its texts.

    Attributes:
        action: what was written.
        text: in the form in which actions are compared.
        identity: in the form in which equal ones get the same answer of any tool.
    """

    action: Action
    text: str
    identity: str


class Matcher:
    """Compares actions.

    Args:
        matching: how.

    Raises:
        ValueError: no such way.
    """

    def __init__(self, matching: Matching = "normalised") -> None:
        if not callable(matching) and matching not in _TEXTS:
            raise ValueError(
                f"matching must be one of {', '.join(_TEXTS)} or a function, got {matching!r}"
            )
        self._match = matching if callable(matching) else None
        self._text = normalised if callable(matching) else _TEXTS[matching]

    def same(self, proposed: Written, wanted: Written) -> bool:
        """Whether what was proposed is what the target agent wants."""
        if self._match is not None:
            return bool(self._match(proposed.action, wanted.action))
        return proposed.text == wanted.text

    def write(self, action: Action) -> Written:
        """Write an action to be compared.

        Raises:
            ActionError: its arguments are not JSON values.
        """
        return Written(action, self._text(action), identity(action))
