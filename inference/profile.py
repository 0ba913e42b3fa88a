"""A profile: how long the steps of one engine take, as measured, fitted and kept in a file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from ..policies.files import replace_file
from ..policies.spaces import MAX_DEPTH, Array
from ..policies.step_time import FEATURES
from ..policies.structure import FLAT, KNOTS
from ..policies.transition import Floats
from .identity import Identity

SCHEMA: Final = 1
FOLDER: Final = Path("runs/profiles")
"""Where profiles go unless another place is named."""

_LARGEST: Final = 16 << 20  # bytes; a profile has some tens of thousands


class ProfileError(ValueError):
    """A profile that cannot be used, with the reason."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What a step took in one state of an engine; figures per engine step, medians of intervals.

    Attributes:
        batch: requests that decode.
        context: cached tokens of each.
        depth: tokens drafted and verified per request.
        prefill: prompt tokens.
        seconds: wall time.
        low: its lower quartile.
        high: its upper quartile.
        steps: engine steps counted.
        intervals: in which they were counted.
    """

    batch: float
    context: float
    depth: int
    prefill: float
    seconds: float
    low: float
    high: float
    steps: int
    intervals: int


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Step times of an engine.

    ``seconds = (features . coefficients) * grid(log2 batch, depth)``, the grid interpolated
    between its batch sizes and constant beyond them.

    Attributes:
        identity: of the engine.
        at: when it was measured, ISO 8601.
        conditions: as measured.
        coefficients: seconds per unit of each of ``FEATURES``.
        batches: batch sizes of the grid, ascending.
        grid: correction by batch size and depth, 1 for none, shape (batches, k_max + 1).
        noise: standard deviation of the logarithm of an interval's seconds per step.
        error_median: of a prediction in a batch size and depth that the fit was not shown,
            relative.
        error_p90: its 90th percentile.
        parameter_ratio: parameters of the drafter over those of the target; None in profiles
            from before it was kept.
        schema: of this file.
    """

    identity: Identity
    at: str
    conditions: list[Condition]
    coefficients: dict[str, float]
    batches: list[float]
    grid: list[list[float]]
    noise: float
    error_median: float
    error_p90: float
    parameter_ratio: float | None = None
    schema: int = SCHEMA

    @property
    def vector(self) -> Floats:
        """The coefficients in the order of ``FEATURES``, shape (7,)."""
        return np.array([self.coefficients[name] for name in FEATURES])

    @property
    def table(self) -> Array:
        """The grid at a structure's batch sizes, float32, shape (KNOTS, MAX_DEPTH + 1)."""
        table = FLAT.copy()
        for depth, column in enumerate(zip(*self.grid, strict=True)):
            table[:, depth] = np.interp(np.arange(KNOTS), np.log2(self.batches), column)
        return table

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: if that is not possible.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(self), indent=1))


class _Head(msgspec.Struct):
    schema: int = 0


def default_path(identity: Identity) -> Path:
    """Where the profile of an engine is kept."""
    parts = (identity.target, identity.draft, identity.dtype, identity.device)
    names = (re.sub(r"[^\w.]+", "-", str(part)).strip("-") or "unknown" for part in parts)
    return FOLDER / f"{'__'.join(names)}.json"


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: if it is not there, damaged or of another schema; saying which and why.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ProfileError(f"{path} is no profile: it has more than {_LARGEST} bytes")
        data = path.read_bytes()
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema != SCHEMA:
            raise ProfileError(
                f"{path} has schema {schema}, this flyball reads {SCHEMA}; "
                "`flyball profile` measures anew"
            )
        profile = msgspec.json.decode(data, type=Profile)
    except OSError as e:
        said = f"no profile at {path}: {e.strerror}; `flyball profile` makes one"
        raise ProfileError(said) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ProfileError(f"{path} is damaged or no profile: {e}") from None
    reason = _damage(profile)
    if reason:
        raise ProfileError(f"{path} is damaged: {reason}")
    return profile


def check(profile: Profile, identity: Identity) -> None:
    """Refuse a profile of another engine than this one, as far as both are known.

    Raises:
        ProfileError: naming everything that differs, theirs and ours.
    """
    found = profile.identity.differences(identity)
    if found:
        said = "; ".join(f"{n}: the profile's {a!r}, this engine's {b!r}" for n, a, b in found)
        raise ProfileError(
            f"the profile is of another engine: {said}; `flyball profile` measures this one"
        )


def _damage(profile: Profile) -> str:
    """What is wrong with a profile's figures; "" for nothing."""
    if sorted(profile.coefficients) != sorted(FEATURES):
        return f"coefficients must be of {', '.join(FEATURES)}"
    if not _all_in(profile.coefficients.values(), 0.0) or not profile.vector[:4].any():
        return "coefficients must be finite and not below zero, and a step must take time"
    k_max = profile.identity.k_max
    if k_max is None or not 1 <= k_max <= MAX_DEPTH:
        return f"k_max must be in [1, {MAX_DEPTH}], not {k_max}"
    ratio = profile.parameter_ratio
    if ratio is not None and not 0.0 < ratio <= 10.0:
        return f"parameter_ratio must be in (0, 10], not {ratio}"
    return _grid_damage(profile, k_max) or _condition_damage(profile, k_max)


def _grid_damage(profile: Profile, k_max: int) -> str:
    batches, grid = profile.batches, profile.grid
    if not batches or batches != sorted(set(batches)) or not _all_in(batches, 1e-9):
        return f"batches must ascend from above zero, not {batches}"
    if len(grid) != len(batches) or any(len(row) != k_max + 1 for row in grid):
        return f"the grid must have {len(batches)} rows of {k_max + 1}"
    if not all(_all_in(row, 1e-9) for row in grid):
        return "the grid must be finite and above zero"
    if not _all_in((profile.noise, profile.error_median, profile.error_p90), 0.0):
        return "noise and errors must be finite and not below zero"
    return ""


def _condition_damage(profile: Profile, k_max: int) -> str:
    for number, c in enumerate(profile.conditions, 1):
        sound = (
            _all_in((c.batch, c.seconds, c.low, c.high), 1e-12)
            and _all_in((c.context, c.prefill), 0.0)
            and min(c.steps, c.intervals) > 0
            and 0 <= c.depth <= k_max
        )
        if not sound:
            return f"condition {number} cannot have been measured: {msgspec.to_builtins(c)}"
    return ""


def _all_in(values: object, low: float) -> bool:
    return all(math.isfinite(v) and v >= low for v in values)  # type: ignore[attr-defined]
