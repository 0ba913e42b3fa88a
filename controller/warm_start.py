"""A warm start: what a learner learned in simulation, for one that begins on the real engine.

The file is a snapshot, and says besides what it was made from. A learner that begins with it
publishes it at once, holds what it learns to it as others hold it to the analytic values, trusts it
as far as some outcomes would have earned that, and explores as one that has tried every depth. None
of the simulated transitions comes along: the replay buffer holds what was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ..inference.identity import Identity
from ..inference.profile import Profile, load_profile
from ..policies.files import replace_file
from ..policies.prices import price_list
from ..policies.snapshot import MAX_BYTES, Snapshot, SnapshotError
from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Floats
from .settings import LearnerSettings

if TYPE_CHECKING:
    from .learner import Learner

SCHEMA: Final = 1
FOLDER: Final = Path("runs/warm")
"""Where warm starts go unless another place is named."""

_SNAPSHOT: Final = "flyball"  # the metadata of a snapshot
_ORIGIN: Final = "flyball.start"

# Sum of squared corrections that trust in the start weighs as much as: some hundred outcomes.
_EARNED: Final = 0.1


class StartError(ValueError):
    """A warm start that cannot be used, with the reason."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a warm start was made from.

    Attributes:
        identity: of the engine that the profile is of.
        measured: when that was, as the profile says.
        coefficients: of the profile, in the order of ``FEATURES``, shape (7,).
        prices: name of the cost model.
        parameter_ratio: the drafter's parameters over the target's.
        trust: in the correction of every depth, in [0, 1], shape (MAX_DEPTH + 1,).
        transitions: simulated ones behind it.
        seed: of the simulation.
        schema: of this description.
    """

    identity: Identity
    measured: str
    coefficients: list[float]
    prices: str
    parameter_ratio: float
    trust: list[float]
    transitions: int
    seed: int
    schema: int = SCHEMA


@dataclass(frozen=True)
class WarmStart:
    """A snapshot and what it was made from."""

    snapshot: Snapshot
    origin: Origin

    def save(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: if that is not possible.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {
            _SNAPSHOT: msgspec.json.encode(self.snapshot.meta).decode(),
            _ORIGIN: msgspec.json.encode(self.origin).decode(),
        }
        replace_file(path, save_tensors(load_tensors(self.snapshot.to_bytes()), metadata))

    def check(self, profile: Profile, settings: LearnerSettings) -> None:
        """Refuse it for another profile, cost model or network.

        Raises:
            StartError: naming everything that differs.
        """
        pairs = [
            (f"the engine's {name}", own, other)
            for name, own, other in self.origin.identity.differences(profile.identity)
        ]
        pairs += [
            ("the profile's time", self.origin.measured, profile.at),
            ("the profile's coefficients", self.origin.coefficients, profile.vector.tolist()),
            ("the prices", self.origin.prices, settings.prices),
            ("the discount", self.snapshot.meta.gamma, settings.gamma),
            ("the hidden layers", self.hidden, settings.hidden),
        ]
        found = [f"{what} {own!r}, here {other!r}" for what, own, other in pairs if own != other]
        if found:
            raise StartError(
                f"the warm start was made from something else: {'; '.join(found)}; "
                "`flyball warm` makes one from this profile"
            )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        weights = self.snapshot.weights
        return tuple(len(weights[f"layer{i}.bias"]) for i in range(len(weights) // 2 - 1))

    @property
    def trust(self) -> Floats:
        """Sums as ``Trust`` keeps them: full trust, as the weights hold what it was, earned so far.

        A depth whose correction earned little in simulation has little to lose.
        """
        return _EARNED * np.array([self.origin.trust, self.origin.trust])

    def begin(self, learner: Learner) -> None:
        """Let a learner that is new begin with this.

        Raises:
            StartError: if it was made from something else.
        """
        assert learner.times.profile is not None, "the settings see to that"
        self.check(learner.times.profile, learner.settings)
        learner.state.warm = True
        learner.state.parameter_ratio = self.origin.parameter_ratio
        model = learner.prepare(self.snapshot.meta.k_max)
        model.begin_with(self.snapshot.weights, self.trust)


def load_start(path: Path) -> WarmStart:
    """Read a warm start.

    Raises:
        StartError: if it is not there, damaged or none, saying which and why.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StartError(f"{path} is no warm start: it has more than {MAX_BYTES} bytes")
        snapshot = Snapshot.from_bytes(path.read_bytes())
        with safe_open(path, framework="numpy") as file:
            origin = msgspec.json.decode((file.metadata() or {}).get(_ORIGIN, ""), type=Origin)
    except OSError as e:
        said = f"no warm start at {path}: {e.strerror}; `flyball warm` makes one"
        raise StartError(said) from None
    except (SafetensorError, SnapshotError, msgspec.DecodeError) as e:
        raise StartError(f"{path} is damaged or no warm start: {e}") from None
    reason = _damage(snapshot, origin)
    if reason:
        raise StartError(f"{path} is damaged: {reason}")
    return WarmStart(snapshot, origin)


def check_start(path: Path | None, profile: Path | None, prices: str) -> None:
    """Refuse a start that a new run could not begin with.

    Args:
        path: of the start; None for none.
        profile: the file of a profile that is given besides.
        prices: name of the cost model.

    Raises:
        StartError: saying why.
        ProfileError: if the profile cannot be used.
    """
    if path is None:
        return
    if profile is None:
        raise StartError("--start needs --profile FILE, the profile that it was made from")
    load_start(path).check(load_profile(profile), LearnerSettings(prices=prices))


def _damage(snapshot: Snapshot, origin: Origin) -> str:
    """What is wrong with it; "" for nothing."""
    if origin.schema != SCHEMA:
        return f"schema {origin.schema}, this flyball reads {SCHEMA}"
    if not snapshot.meta.linear:
        return f"it was learned under the reward {snapshot.meta.reward}, not under latency and cost"
    if len(origin.trust) != MAX_DEPTH + 1 or not all(0.0 <= t <= 1.0 for t in origin.trust):
        return f"trust must be {MAX_DEPTH + 1} numbers in [0, 1]"
    if not 0.0 < origin.parameter_ratio < math.inf:
        return f"parameter_ratio must be above 0, not {origin.parameter_ratio}"
    try:
        price_list(origin.prices, origin.parameter_ratio)
    except ValueError as e:
        return str(e)
    return ""
