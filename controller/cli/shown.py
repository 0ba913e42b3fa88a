"""How figures of a status are written for people."""

from __future__ import annotations

from typing import Any


def title(name: str, one: dict[str, Any]) -> str:
    """The name of an engine or a planner, and for how long it is gone."""
    return name if one["live"] else f"{name} (gone for {one['age_s']:.0f} s)"


def percent(shares: list[float | None]) -> str:
    """Shares as percentages, ``-`` for what is not known."""
    return " ".join("-" if share is None else f"{100 * share:.0f}" for share in shares) or "-"


def number(value: float | None) -> str:
    """A number in three digits, ``-`` for none."""
    return scaled(value, 1.0)


def scaled(value: float | None, scale: float) -> str:
    """A number in another unit."""
    return "-" if value is None else f"{value * scale:.3g}"


def pair(one: float | None, other: float | None) -> str:
    """Two numbers."""
    return f"{number(one)} / {number(other)}"


def short(value: Any) -> str:
    """Anything, in a few characters."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
