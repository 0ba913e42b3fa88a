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
        arms: what was compared: the settings of each, and what else people may want to know of
            it; numbers are kept to six digits.
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
        "arms": {name: _rounded(dict(arm)) for name, arm in arms.items()},
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
    """Write a result, or anything else that is JSON, so that it is there wholly or not at all.

    What is nested and holds nothing that is itself divided stands on one line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{_laid_out(found)}\n".encode())


def _laid_out(value: Any, indent: str = "") -> str:
    """JSON, an object over several lines where a value of it is divided, or near the root."""
    divided = isinstance(value, Mapping) and any(isinstance(v, _DIVIDED) for v in value.values())
    if not (divided or (isinstance(value, Mapping) and value and len(indent) <= _NEAR)):
        return json.dumps(value)
    deeper = indent + "  "
    lines = (f"{deeper}{json.dumps(str(k))}: {_laid_out(v, deeper)}" for k, v in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _rounded(value: Any) -> Any:
    """The same with six digits of every number."""
    if isinstance(value, Mapping):
        return {name: _rounded(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


_DIVIDED: Final = (Mapping, list, tuple)
_NEAR: Final = 2  # spaces of indentation up to which everything has a line of its own
