"""What a policy sees and what it may choose: named fields with units, and their normalisation.

A newcomer reads this file first. Observations travel and are stored raw, in the units given here;
they are normalised only where a network reads them, so a change of range relabels the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MAX_DEPTH: Final = 8
"""Longest draft that any engine may be configured for; per-position vectors have this length."""

CLASSES: Final = 8
"""Request classes told apart: the first four by behaviour, the others named by requests."""

BEHAVIOURS: Final = ("fresh", "hard", "mixed", "easy")
"""Classes of requests that name none: too young to tell, then by the share of drafts accepted."""


@dataclass(frozen=True, slots=True)
class Field:
    """One number of an observation.

    Attributes:
        name: what it is called in logs, plots and code.
        unit: its unit, or "1" for a ratio.
        low: the value that is normalised to 0.
        high: the value that is normalised to 1.
        log: whether it is normalised on a logarithmic scale (of ``1 + value - low``).
        about: one line for people.
    """

    name: str
    unit: str
    low: float
    high: float
    about: str
    log: bool = False


@dataclass(frozen=True)
class Space:
    """An ordered set of fields: the layout of a raw float32 observation vector."""

    name: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        index = {field.name: i for i, field in enumerate(self.fields)}
        if len(index) != len(self.fields):
            raise ValueError(f"space {self.name!r} has two fields of one name")
        low = np.array([f.low for f in self.fields], np.float32)
        span = np.array([f.high - f.low for f in self.fields], np.float32)
        log = np.array([f.log for f in self.fields])
        # log1p(x - low) / log1p(span) maps low to 0 and high to 1, like the linear rule.
        scale = np.where(log, 1.0 / np.log1p(span), 1.0 / span).astype(np.float32)
        for name, value in {"_index": index, "_low": low, "_log": log, "_scale": scale}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_log_index", np.flatnonzero(log))

    _index: dict[str, int] = None  # type: ignore[assignment]
    _low: Array = None  # type: ignore[assignment]
    _log: npt.NDArray[np.bool_] = None  # type: ignore[assignment]
    _scale: Array = None  # type: ignore[assignment]
    _log_index: npt.NDArray[np.intp] = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        """Length of an observation vector."""
        return len(self.fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Field names, in the order of the vector."""
        return tuple(field.name for field in self.fields)

    def index(self, name: str) -> int:
        """Position of a field.

        Raises:
            KeyError: naming the fields that exist.
        """
        try:
            return self._index[name]
        except KeyError:
            raise KeyError(f"no field {name!r}; there are {', '.join(self.names)}") from None

    def slice(self, first: str, count: int) -> slice:
        """The ``count`` consecutive fields that begin with ``first``."""
        start = self.index(first)
        return slice(start, start + count)

    def normalise(self, raw: Array) -> Array:
        """Raw observations to [0, 1]; what is outside a field's range is clipped.

        Args:
            raw: float32, shape (..., size), in the fields' units.

        Returns:
            A new float32 array of the same shape.
        """
        out = raw - self._low
        logs = self._log_index
        out[..., logs] = np.log1p(np.maximum(out[..., logs], 0.0))
        out *= self._scale
        return np.clip(out, 0.0, 1.0, out=out)

    def zeros(self) -> Array:
        """An observation of all zeros, to be filled."""
        return np.zeros(self.size, np.float32)

    def describe(self, raw: Array) -> dict[str, float]:
        """One observation as a mapping from field name to value, for people."""
        return {name: float(value) for name, value in zip(self.names, raw, strict=True)}


def _positions(prefix: str, about: str) -> tuple[Field, ...]:
    return tuple(
        Field(f"{prefix}_{j}", "1", 0.0, 1.0, about.format(j=j)) for j in range(1, MAX_DEPTH + 1)
    )


def _classes(prefix: str, about: str) -> tuple[Field, ...]:
    return tuple(Field(f"{prefix}_{c}", "1", 0.0, 1.0, about.format(c=c)) for c in range(CLASSES))


DEPTH_SPACE: Final = Space(
    "depth/3",
    (
        Field("batch", "requests", 0, 256, "requests that decode in this step", log=True),
        Field("waiting", "requests", 0, 256, "requests that wait to be scheduled", log=True),
        Field("kv_usage", "1", 0, 1, "share of the KV cache in use"),
        Field("context", "tokens", 0, 32768, "mean context of the batch", log=True),
        Field("prefill", "tokens", 0, 8192, "prompt tokens per step, moving average", log=True),
        Field("yield", "tokens", 0, MAX_DEPTH + 1, "tokens emitted per request and step (EMA)"),
        Field("arrivals", "requests/s", 0, 256, "arrival rate (EMA)", log=True),
        Field("step_ms", "ms", 0, 1000, "duration of an engine step (EMA)", log=True),
        Field("remaining", "tokens", 0, 8192, "mean tokens that requests may yet emit", log=True),
        Field("slack", "s", -10, 10, "mean slack to the requests' objectives; 0 without any"),
        Field("depth", "tokens", 0, MAX_DEPTH, "draft depth in force before the decision"),
        *_positions("acceptance", "P(position {j} accepted | all before it were), recent traffic"),
        # Of a request that would not verify a position, it counts as not accepted.
        *_positions("survival", "P(positions 1..{j} all accepted), for the requests now running"),
        *_positions("hope", "what survival_{j} may be at best, by what was verified"),
        *_positions("kept", "share of the requests now running that would verify position {j}"),
        *_classes("share", "share of class {c} in the batch"),
        *_classes("first", "P(position 1 accepted), class {c}"),
        *_classes("later", "P(a later position accepted | all before it were), class {c}"),
        Field("speed", "1", 0, 1, "the knob: 0 = cheapest, 1 = fastest"),
    ),
)
"""The observation of the ``depth`` control point."""

SPEED_INDEX: Final = DEPTH_SPACE.index("speed")


def check_speed(value: object) -> float:
    """A speed from outside, as a float.

    Raises:
        ValueError: if it is not a number in [0, 1].
    """
    try:
        speed = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"speed must be a number in [0, 1], not {value!r}") from None
    if isinstance(value, bool) or not 0.0 <= speed <= 1.0:
        raise ValueError(f"speed must be in [0, 1] (0 = cheapest, 1 = fastest), not {value!r}")
    return speed


def check_depth(value: object, k_max: int) -> int:
    """A depth from outside, as an int.

    Raises:
        ValueError: if it is not an integer in [0, k_max].
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"depth must be an integer in [0, {k_max}], not {value!r}")
    if not 0 <= value <= k_max:
        raise ValueError(f"depth must be in [0, {k_max}], not {value}")
    return int(value)
