"""The look-up tool: facts about people, cities and products."""

from __future__ import annotations

from .state import State
from .tool import Tool


def lookup(state: State, subject: str, field: str) -> tuple[State, str]:
    """Return one field of one subject."""
    value = state.facts.get((subject, field))
    return state, value if value is not None else f"Error: no {field} of {subject}"


TOOLS = (Tool("lookup", "pure", {"subject": str, "field": str}, lookup),)
