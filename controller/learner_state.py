"""What a learner carries over a restart, and how it is laid out in a checkpoint."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ..policies.replay import Rows
from ..policies.spaces import MAX_DEPTH, check_speed
from ..policies.vector_dqn import VectorDQN
from .checkpoint import CheckpointError, Tensors
from .migration import is_depth_2, lacks_features, migrated
from .settings import REWARD, SPEED
from .step_times import StepTimes

# Gradient steps that may be owed at most, so that a flood is not paid for ever after.
_MOST_OWED = 2000.0


class LearnerState(msgspec.Struct):
    """Counters and settings of a learner.

    Attributes:
        reward: name or place of the reward in force.
        speed: the knob.
        k_max: greatest depth; 0 before the first engine.
        parameter_ratio: of the engine heard of last.
        hidden: units of the hidden layers that the networks were made with.
        engines: names, by their index in the replay buffer.
        transitions: learned from.
        invalid: refused as no engine could have measured them.
        refused: refused as their engine does not fit this run.
        empty: left out as they emitted nothing.
        frozen: shown, not learned from.
        gate_refused: snapshots that were not promoted.
        last_gate_reason: why the latest was not; "" if it was.
        updates: gradient steps.
        credit: gradient steps that transitions have paid for and that are still to be taken.
        relabel: gradient steps that a new reward still asks for.
        reward_measured: whether ``reward_shift`` and ``reward_scale`` were measured.
        reward_shift: centre of the rewards.
        reward_scale: spread of the rewards.
        next_number: number of the next snapshot.
        warm: whether it began with what was learned in simulation.
    """

    reward: str = REWARD
    speed: float = SPEED
    k_max: int = 0
    parameter_ratio: float = 0.1
    hidden: tuple[int, ...] = ()
    engines: list[str] = []
    transitions: int = 0
    invalid: int = 0
    refused: int = 0
    empty: int = 0
    frozen: int = 0
    gate_refused: int = 0
    last_gate_reason: str = ""
    updates: int = 0
    credit: float = 0.0
    relabel: int = 0
    reward_measured: bool = True
    reward_shift: float = 0.0
    reward_scale: float = 1.0
    next_number: int = 1
    warm: bool = False

    def __post_init__(self) -> None:
        check_speed(self.speed)
        if not 0 <= self.k_max <= MAX_DEPTH:
            raise ValueError(f"k_max must be in [0, {MAX_DEPTH}], not {self.k_max}")
        if not (math.isfinite(self.reward_shift) and 0 < self.reward_scale < math.inf):
            raise ValueError("reward_shift and reward_scale must be finite, the scale above 0")

    def count(self, transitions: int, updates_each: float) -> None:
        """Count transitions that were stored."""
        self.transitions += transitions
        self.credit = min(self.credit + updates_each * transitions, _MOST_OWED)

    def owed(self) -> float:
        """Gradient steps to take."""
        return self.relabel or self.credit

    def pay(self, steps: int) -> None:
        """Count gradient steps that were taken."""
        if self.relabel:
            self.relabel = max(0, self.relabel - steps)
        else:
            self.credit -= steps


def pack(
    state: LearnerState, times: StepTimes, model: VectorDQN | None
) -> tuple[LearnerState, dict[str, Tensors]]:
    """The state, brought up to date, and the tensors, by file."""
    state.engines = list(times.models)
    groups: dict[str, Tensors] = {}
    groups["step_times"] = {
        f"{i}/{name}": array
        for i, times_model in enumerate(times.models.values())
        for name, array in times_model.state().items()
    }
    if model is not None:
        state.k_max, state.updates, state.hidden = model.k_max, model.updates, model.hidden
        state.reward_measured = model.measured
        state.reward_shift, state.reward_scale = model.base.shift, model.base.scale
        rows = model.replay_buffer.latest(model.replay_buffer.size())
        groups["networks"] = model.tensors()
        groups["trust"] = {"sums": model.trust.sums}
        if model.prior is not None:
            groups["prior"] = dict(model.prior.exported())
        groups["replay"] = {name: getattr(rows, name) for name in Rows.__dataclass_fields__}
    return state, groups


def unpack_times(state: LearnerState, groups: dict[str, Tensors], times: StepTimes) -> None:
    """Restore the step-time models; an older checkpoint's are learned anew.

    Raises:
        CheckpointError: if they do not fit.
    """
    tensors = groups.get("step_times", {})
    times.models.clear()
    try:
        for i, engine in enumerate(state.engines):
            times.index(engine)
            mine = {n.removeprefix(f"{i}/"): a for n, a in tensors.items() if n.startswith(f"{i}/")}
            if not lacks_features(mine):
                times.models[engine].restore(mine)
    except ValueError as e:
        raise CheckpointError(str(e)) from None


def unpack_model(state: LearnerState, groups: dict[str, Tensors], model: VectorDQN) -> bool:
    """Restore the replay buffer and the networks; False if the networks have other layers now.

    Other hidden layers, or a first one for other observations.

    Raises:
        CheckpointError: if anything does not fit.
    """
    rows = unpack_rows(state, groups.get("replay", {}))
    if len(rows):
        model.replay_buffer.append(rows)
    model.updates = state.updates
    if state.hidden != model.hidden or is_depth_2(groups.get("replay", {})):
        return False
    try:
        model.load_tensors(groups.get("networks", {}))
        if "prior" in groups:
            model.hold_to(groups["prior"])
    except ValueError as e:
        raise CheckpointError(str(e)) from None
    _unpack_trust(groups.get("trust", {}), model)
    model.measured = state.reward_measured
    model.base.shift, model.base.scale = state.reward_shift, state.reward_scale
    return True


def _unpack_trust(tensors: Tensors, model: VectorDQN) -> None:
    """Restore the trust in the correction; an older checkpoint has none, so it is earned anew."""
    sums = tensors.get("sums")
    if sums is None:
        return
    if sums.shape != model.trust.sums.shape or not np.isfinite(sums).all():
        raise CheckpointError("trust: sums have another shape or are not finite")
    model.trust.sums = np.array(sums, np.float64)


def unpack_rows(state: LearnerState, tensors: Tensors) -> Rows:
    """The rows of the replay buffer, oldest first.

    Raises:
        CheckpointError: if the columns do not fit.
    """
    try:
        rows = Rows(**migrated(tensors))
        rows.check(state.k_max, len(state.engines))
    except (TypeError, ValueError) as e:
        raise CheckpointError(f"replay buffer: {e}") from None
    return rows
