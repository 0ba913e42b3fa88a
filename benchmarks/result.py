"""The one form in which every benchmark answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..policies.files import replace_file
from .machine import machine, versions

KEYS: Final = ("bench", "machine", "versions", "seed", "arms", "figures")


class ResultError(ValueError):
    """A result that is not in the form, with the reason."""


def result(
    bench: str, seed: int, arms: Mapping[str, Mapping[str, Any]], figures: Mapping[str, float]
) -> dict[str, Any]:
    """A benchmark's result.

    Args:
        bench: its name.
        seed: what its randomness came from.
        arms: what was compared: the settings of each.
        figures: a flat map from a documented name to a number; ``NAME_low`` and ``NAME_high``
            where there is an interval.

    Raises:
        ResultError: if the figures are not such a map.
    """
    found = {
        "bench": bench,
        "machine": machine(),
        "versions": versions(),
        "seed": seed,
        "arms": {name: dict(arm) for name, arm in arms.items()},
        "figures": dict(figures),
    }
    check(found)
    return found


def check(found: Mapping[str, Any]) -> None:
    """Refuse what is not a result.

    Raises:
        ResultError: saying what is wrong.
    """
    if tuple(found) != KEYS:
        raise ResultError(f"a result has the keys {', '.join(KEYS)}, not {', '.join(found)}")
    figures = found["figures"]
    for name, value in figures.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ResultError(f"figure {name} must be a finite number, not {value!r}")
    for name in figures:
        stem, _, end = name.rpartition("_")
        if end in {"low", "high"} and not {stem, f"{stem}_low", f"{stem}_high"} <= set(figures):
            raise ResultError(f"{name} needs {stem}, {stem}_low and {stem}_high")


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write a result, or anything else that is JSON, so that it is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{json.dumps(found, indent=2)}\n".encode())
