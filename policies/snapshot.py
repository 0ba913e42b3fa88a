"""A snapshot: an immutable, numbered policy, as weights and what they mean.

An engine runs it with NumPy alone: see ``runner``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .exploration import chances, quickest
from .files import replace_file
from .prices import Prices
from .spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from .step_time import FEATURES
from .structure import FLAT, Structure, nearest
from .transition import Floats

SCHEMA: Final = 3
EVERYWHERE: Final = np.full(FLAT.shape, 1e3, np.float32)
"""As if every depth had been measured at every batch size."""
MAX_BYTES: Final = 16 << 20
HIDDEN: Final = (32, 32)
"""Units of the hidden layers, unless a learner is told otherwise. Small on purpose: the weights are
read from memory at every decision, when a model step has just emptied the caches of them."""
VALUES: Final = 3
"""Columns of the value table: latency, cost, and the reward itself where it is neither's sum."""


class SnapshotError(ValueError):
    """A snapshot that must not be used, with the reason."""


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot says of itself.

    Attributes:
        number: its number in the registry, from 1.
        k_max: greatest depth it knows.
        prices: the price list it was trained under.
        epsilon: share of decisions drawn uniformly, in [0, 1].
        budget: expected loss of a decision that exploration may cost besides, off = 1.0.
        unit: what a loss of 1.0 is in scores: 1 where the reward is linear, else its spread.
        switch: seconds per step, over an interval, that a change of depth costs.
        gamma: discount per interval.
        linear: whether the reward is -(speed x latency + (1 - speed) x cost); otherwise the
            third column is the reward.
        reward: name of the reward, for people.
        updates: gradient steps behind it.
        transitions: transitions behind it.
        space: name of the observation space.
        schema: version of this layout.
    """

    number: int
    k_max: int
    prices: Prices
    epsilon: float
    gamma: float
    linear: bool = True
    budget: float = 0.0
    unit: float = 1.0
    switch: float = 0.0
    reward: str = "latency-cost"
    updates: int = 0
    transitions: int = 0
    space: str = DEPTH_SPACE.name
    schema: int = SCHEMA


@dataclass(frozen=True)
class Snapshot:
    """Weights and what they mean.

    ``weights`` maps ``layer{i}.weight`` (out, in) and ``layer{i}.bias`` (out,) to float32 arrays,
    i from 0; all layers but the last are followed by ReLU; the last has (k_max + 1) x VALUES
    outputs. ``step_time`` holds the step-time model's coefficients, shape (7,), and ``grid`` its
    correction by batch size and depth, shape (KNOTS, MAX_DEPTH + 1); ``seen`` says how often each
    of its cells was measured, lately.
    """

    meta: Meta
    weights: dict[str, Array]
    step_time: Array
    grid: Array = field(default_factory=FLAT.copy)
    seen: Array = field(default_factory=EVERYWHERE.copy)
    _layers: list[tuple[Array, Array]] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._layers.extend(check(self.meta, self.weights, self.step_time, self.grid, self.seen))
        meta = self.meta
        structure = Structure(meta.k_max, self.step_time, meta.prices, self.grid, meta.switch)
        object.__setattr__(self, "structure", structure)

    structure: Structure = None  # type: ignore[assignment]

    def values(self, raw: Array, known: Array | None = None) -> Array:
        """Long-run value of every depth by component.

        Args:
            raw: raw observations with the speed set, float32, shape (..., DEPTH_SPACE.size).
            known: what the structure says of them, where that is at hand.

        Returns:
            float32, shape (..., k_max + 1, VALUES): latency, cost (lower is better), reward
            (higher is better).
        """
        values = run_layers(self._layers, DEPTH_SPACE.normalise(raw))
        values = values.reshape(*raw.shape[:-1], self.meta.k_max + 1, VALUES)
        known = self.structure.components(raw) if known is None else known
        values[..., :2] += long_run(known, raw[..., SPEED_INDEX], self.meta.gamma)
        return values

    def scores(self, raw: Array) -> Array:
        """What is maximised: float32, shape (..., k_max + 1)."""
        return scalarise(self.values(raw), raw[..., SPEED_INDEX], self.meta.linear)

    def probabilities(self, raw: Array) -> Floats:
        """The chances of every depth, as a runner that may explore draws them.

        Args:
            raw: raw observations with the speed set, float32, shape (..., DEPTH_SPACE.size).

        Returns:
            float64, shape (..., k_max + 1), summing to 1 along the last axis.
        """
        meta, known = self.meta, self.structure.components(raw)
        values = self.values(raw, known)
        speed = raw[..., SPEED_INDEX]
        scores = scalarise(values, speed, meta.linear)
        hopes = None
        if meta.linear:
            # The same correction, on what the structure says at best.
            cells = self.seen[nearest(raw[..., _BATCH]), : meta.k_max + 1]
            gain = self.structure.components(raw, quickest(cells)) - known
            hopes = scores + (1.0 - meta.gamma) * scalarise(gain, speed, linear=True)
        return chances(scores, meta.budget * meta.unit, meta.epsilon, hopes)

    def to_bytes(self) -> bytes:
        """As safetensors, the meta data in its header."""
        tensors = {
            **self.weights,
            "step_time": self.step_time,
            "grid": self.grid,
            "seen": self.seen,
        }
        return save_tensors(tensors, {"flyball": msgspec.json.encode(self.meta).decode()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """From ``to_bytes``.

        Raises:
            SnapshotError: saying what is wrong with it.
        """
        if len(data) > MAX_BYTES:
            raise SnapshotError(f"snapshot of {len(data)} bytes; at most {MAX_BYTES}")
        try:
            meta = msgspec.json.decode(header(data)["flyball"], type=Meta)
            tensors = load_tensors(data)
        except (SafetensorError, msgspec.DecodeError, LookupError, ValueError, TypeError) as e:
            raise SnapshotError(f"not a snapshot: {e}") from None
        if missing := [n for n in ("step_time", "grid", "seen") if n not in tensors]:
            raise SnapshotError(f"snapshot has no {missing[0]}")
        step_time, grid, seen = (tensors.pop(name) for name in ("step_time", "grid", "seen"))
        return cls(meta, tensors, step_time, grid, seen)

    @classmethod
    def load(cls, path: Path) -> Snapshot:
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


def long_run(components: Array, speed: Array, gamma: float) -> Array:
    """Analytic components as long-run values, if the best depth is taken from the next step on.

    Values are averages per interval: (1 - gamma) x now + gamma x afterwards.

    Args:
        components: shape (..., depths, 2).
        speed: shape (...).
        gamma: discount per interval.
    """
    if gamma == 0.0:
        return components
    weight = np.asarray(speed)[..., None]
    score = weight * components[..., 0] + (1.0 - weight) * components[..., 1]
    best = score.argmin(-1)[..., None, None]
    after = np.take_along_axis(components, best, axis=-2)
    return ((1.0 - gamma) * components + gamma * after).astype(np.float32)


def scalarise(values: Array, speed: Array, linear: bool) -> Array:
    """Values by component to one score per depth, higher is better: shape (..., depths)."""
    if not linear:
        return values[..., 2]
    weight = np.asarray(speed)[..., None]
    return -(weight * values[..., 0] + (1.0 - weight) * values[..., 1])


def check(
    meta: Meta, weights: dict[str, Array], step_time: Array, grid: Array, seen: Array
) -> list[tuple[Array, Array]]:
    """The layers, input first, weights transposed for ``x @ w``.

    Raises:
        SnapshotError: unless everything fits together and is finite.
    """
    if meta.schema != SCHEMA or meta.space != DEPTH_SPACE.name:
        raise SnapshotError(
            f"snapshot of schema {meta.schema} and space {meta.space!r}; this flyball "
            f"runs schema {SCHEMA} and space {DEPTH_SPACE.name!r}"
        )
    _check_meta(meta)
    check_arrays({"step_time": step_time, "grid": grid, "seen": seen, **weights})
    _check_step_times(step_time, grid, seen)
    return stacked(weights, DEPTH_SPACE.size, meta.k_max + 1, VALUES)


def stacked(
    weights: dict[str, Array], inputs: int, choices: int, values: int
) -> list[tuple[Array, Array]]:
    """Layers in the order in which they are run, weights transposed for ``x @ w``.

    Args:
        weights: as ``Snapshot`` has them.
        inputs: of the first layer.
        choices: actions that the last layer tells of.
        values: that it gives for each.

    Raises:
        SnapshotError: unless they fit together.
    """
    if set(weights) != {f"layer{i}.{p}" for i in range(len(weights) // 2) for p in _PARTS}:
        raise SnapshotError(f"unexpected tensors: {sorted(weights)}")
    layers, width = [], inputs
    for i in range(len(weights) // 2):
        weight, bias = weights[f"layer{i}.weight"], weights[f"layer{i}.bias"]
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            raise SnapshotError(f"layer {i} has shapes {weight.shape} and {bias.shape}")
        width = len(bias)
        layers.append((np.ascontiguousarray(weight.T, np.float32), bias.astype(np.float32)))
    if not layers or width != choices * values:
        raise SnapshotError(f"the last layer gives {width} values, not {choices} x {values}")
    return layers


def run_layers(layers: list[tuple[Array, Array]], normalised: Array) -> Array:
    """What the last layer gives, float32, shape (..., outputs); ReLU between layers."""
    hidden, last = normalised, len(layers) - 1
    for i, (weight, bias) in enumerate(layers):
        hidden = hidden @ weight + bias
        if i < last:
            np.maximum(hidden, 0.0, out=hidden)
    return hidden


def _check_meta(meta: Meta) -> None:
    if not (1 <= meta.k_max <= MAX_DEPTH and 0 <= meta.epsilon <= 1 and 0 <= meta.gamma < 1):
        raise SnapshotError(f"k_max, epsilon or gamma outside its bounds: {meta}")
    if not (0 <= meta.budget <= 1 and 0 < meta.unit < np.inf and 0 <= meta.switch < 10):
        raise SnapshotError(f"budget, unit or switch outside its bounds: {meta}")


def _check_step_times(step_time: Array, grid: Array, seen: Array) -> None:
    if step_time.shape != (len(FEATURES),) or not grid.shape == seen.shape == FLAT.shape:
        raise SnapshotError(
            f"step_time, grid and seen have shapes {step_time.shape}, {grid.shape} and "
            f"{seen.shape}, not ({len(FEATURES)},) and {FLAT.shape}"
        )
    if not ((grid > 0.01) & (grid < 100.0)).all() or (seen < 0.0).any():
        raise SnapshotError("the grid's factors must be in (0.01, 100), what was seen not below 0")


def check_arrays(arrays: dict[str, Array]) -> None:
    """Refuse arrays that are not finite float32 numbers.

    Raises:
        SnapshotError: naming the array.
    """
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise SnapshotError(f"{name} must be finite float32 numbers")


_BATCH: Final = DEPTH_SPACE.index("batch")
_PARTS: Final = ("weight", "bias")


def header(data: bytes) -> dict[str, Any]:
    """The metadata of safetensors bytes.

    Raises:
        ValueError: if there is none.
    """
    if len(data) < 8:
        raise ValueError("too short")
    length = int.from_bytes(data[:8], "little")
    metadata = msgspec.json.decode(data[8 : 8 + length])["__metadata__"]
    if not isinstance(metadata, dict):
        raise ValueError("no metadata")
    return metadata


def analytic(number: int, k_max: int, prices: Prices, step_time: Array, epsilon: float) -> Snapshot:
    """A snapshot whose learned correction is nought: the analytic policy alone."""
    outputs = (k_max + 1) * VALUES
    weights = {
        "layer0.weight": np.zeros((outputs, DEPTH_SPACE.size), np.float32),
        "layer0.bias": np.zeros(outputs, np.float32),
    }
    meta = Meta(number, k_max, prices, epsilon, gamma=0.0)
    return Snapshot(meta, weights, np.asarray(step_time, np.float32))
