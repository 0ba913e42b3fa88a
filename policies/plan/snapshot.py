"""A snapshot of the plan control point: a numbered, immutable correction of our rule.

It runs with NumPy alone. What it corrects is analytic and made of the observation (``structure``),
so that a snapshot of nothing but noughts decides as the rule does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ..files import replace_file
from ..snapshot import MAX_BYTES, SnapshotError, check_arrays, header, run_layers, stacked
from ..spaces import Array
from .schedule import CHOICES
from .space import PLAN_SPACE

SCHEMA: Final = 1
PLAN_VALUES: Final = 2
"""Columns of the value table: latency and cost."""


class PlanMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot says of itself.

    Attributes:
        number: its number in the registry, from 1.
        budget: expected loss of a decision that exploration may cost at speed 1, in a step's
            loss without running ahead.
        updates: gradient steps behind it.
        transitions: transitions behind it.
        space: name of the observation space.
        schema: version of this layout.
        reward: name of the reward that it serves.
        speeds: that it decides at, at as many knobs, equidistant from 0 to 1; empty where it is
            the knob itself.
    """

    number: int
    budget: float = 0.0
    updates: int = 0
    transitions: int = 0
    space: str = PLAN_SPACE.name
    schema: int = SCHEMA
    reward: str = "latency-cost"
    speeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class PlanSnapshot:
    """Weights and what they mean.

    ``weights`` maps ``layer{i}.weight`` (out, in) and ``layer{i}.bias`` (out,) to float32 arrays,
    i from 0, as ``policies.snapshot.Snapshot`` does; the last layer has CHOICES x PLAN_VALUES
    outputs.

    Raises:
        SnapshotError: unless everything fits together and is finite.
    """

    meta: PlanMeta
    weights: dict[str, Array]
    _layers: list[tuple[Array, Array]] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        meta = self.meta
        if meta.schema != SCHEMA or meta.space != PLAN_SPACE.name:
            raise SnapshotError(
                f"plan snapshot of schema {meta.schema} and space {meta.space!r}; this flyball "
                f"runs schema {SCHEMA} and space {PLAN_SPACE.name!r}"
            )
        if not (meta.number >= 0 and 0 <= meta.budget <= 1):
            raise SnapshotError(f"number or budget outside its bounds: {meta}")
        if len(meta.speeds) == 1 or not all(0 <= speed <= 1 for speed in meta.speeds):
            raise SnapshotError(f"speeds must be none, or 2 or more in [0, 1]: {meta.speeds[:20]}")
        check_arrays(self.weights)
        self._layers.extend(stacked(self.weights, PLAN_SPACE.size, CHOICES, PLAN_VALUES))

    def correction(self, raw: Array) -> Array:
        """What was learned, by choice and component.

        Args:
            raw: raw observations with the speed set, float32, shape (..., PLAN_SPACE.size).

        Returns:
            float32, shape (..., CHOICES, PLAN_VALUES), in a step's mean seconds and dollars.
        """
        values = run_layers(self._layers, PLAN_SPACE.normalise(raw))
        return values.reshape(*raw.shape[:-1], CHOICES, PLAN_VALUES)

    def speed_at(self, knob: float) -> float:
        """The speed that is decided at where the knob is at ``knob``, in [0, 1]."""
        speeds = self.meta.speeds
        if not speeds:
            return knob
        return float(np.interp(knob * (len(speeds) - 1), np.arange(len(speeds)), speeds))

    def serving(self, number: int, reward: str, speeds: tuple[float, ...]) -> PlanSnapshot:
        """The same that serves a reward; arguments as in ``PlanMeta``."""
        meta = msgspec.structs.replace(self.meta, number=number, reward=reward, speeds=speeds)
        return PlanSnapshot(meta, self.weights)

    def to_bytes(self) -> bytes:
        """As safetensors, the meta data in its header."""
        return save_tensors(self.weights, {"flyball": msgspec.json.encode(self.meta).decode()})

    @classmethod
    def from_bytes(cls, data: bytes) -> PlanSnapshot:
        """From ``to_bytes``.

        Raises:
            SnapshotError: saying what is wrong with it.
        """
        if len(data) > MAX_BYTES:
            raise SnapshotError(f"snapshot of {len(data)} bytes; at most {MAX_BYTES}")
        try:
            meta = msgspec.json.decode(header(data)["flyball"], type=PlanMeta)
            tensors = load_tensors(data)
        except (SafetensorError, msgspec.DecodeError, LookupError, ValueError, TypeError) as e:
            raise SnapshotError(f"not a plan snapshot: {e}") from None
        return cls(meta, tensors)

    @classmethod
    def load(cls, path: Path) -> PlanSnapshot:
        """From a file that ``save`` wrote.

        Raises:
            SnapshotError: if it cannot be read or used.
        """
        try:
            return cls.from_bytes(path.read_bytes())
        except OSError as e:
            raise SnapshotError(f"cannot read snapshot {path}: {e.strerror}") from None

    def save(self, path: Path) -> None:
        """Write to a file, atomically."""
        replace_file(path, self.to_bytes())


def uncorrected(number: int = 0) -> PlanSnapshot:
    """A snapshot that corrects nothing: the rule alone."""
    outputs = CHOICES * PLAN_VALUES
    weights = {
        "layer0.weight": np.zeros((outputs, PLAN_SPACE.size), np.float32),
        "layer0.bias": np.zeros(outputs, np.float32),
    }
    return PlanSnapshot(PlanMeta(number), weights)
