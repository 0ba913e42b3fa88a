"""The tool that converts units."""

from __future__ import annotations

from .state import State
from .tool import Tool

# Unit to (dimension, size in the dimension's base unit).
UNITS: dict[str, tuple[str, float]] = {
    "m": ("length", 1.0),
    "km": ("length", 1000.0),
    "mi": ("length", 1609.344),
    "ft": ("length", 0.3048),
    "kg": ("mass", 1.0),
    "lb": ("mass", 0.45359237),
    "oz": ("mass", 0.028349523125),
    "l": ("volume", 1.0),
    "gal": ("volume", 3.785411784),
    "pt": ("volume", 0.473176473),
    "h": ("time", 3600.0),
    "min": ("time", 60.0),
    "d": ("time", 86400.0),
}


def convert(state: State, value: float, from_: str, to: str) -> tuple[State, str]:
    """Convert a value, rounded to two decimals."""
    for unit in (from_, to):
        if unit not in UNITS:
            return state, f"Error: no unit {unit}"
    (dimension, size), (other, other_size) = UNITS[from_], UNITS[to]
    if dimension != other:
        return state, f"Error: {from_} is a {dimension}, {to} a {other}"
    return state, f"{value * size / other_size:.2f} {to}"


TOOLS = (Tool("convert", "pure", {"value": float, "from": str, "to": str}, convert),)
