"""Making a learner's algorithm, and carrying on from a checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..envs.rewards import RewardError, load_reward
from ..policies.vector_dqn import Judge, VectorDQN
from . import checkpoint as checkpoints
from .checkpoint import CheckpointError, Tensors
from .learner_state import LearnerState, unpack_model, unpack_times
from .settings import REWARD, LearnerSettings
from .warm_start import load_start

if TYPE_CHECKING:
    from .learner import Learner

log = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint"
"""Name of the checkpoint's folder in the run's."""


def make_model(settings: LearnerSettings, k_max: int, judge: Judge, updates: int) -> VectorDQN:
    """The algorithm, by the settings; one that carries on draws other numbers than before."""
    return VectorDQN(
        k_max,
        judge,
        hidden=settings.hidden,
        learning_rate=settings.learning_rate,
        buffer_size=settings.replay_size,
        gamma=settings.gamma,
        tau=settings.tau,
        anchor=settings.anchor,
        n_step=settings.n_step,
        imagined=settings.imagined,
        seed=(settings.seed + updates) % (1 << 32),
    )


def resume(learner: Learner) -> None:
    """Carry on from the run's checkpoint; what the settings name wins over what it says."""
    settings = learner.settings
    _resume_from(learner, checkpoints.find(learner.run / CHECKPOINT))
    if settings.start is not None:
        _begin(learner, settings.start)
    if settings.reward is not None and settings.reward != learner.state.reward:
        learner.set_reward(settings.reward, load_reward(settings.reward))
    if settings.speed is not None:
        learner.speed(settings.speed)


def _begin(learner: Learner, start: Path) -> None:
    """Begin with what was learned in simulation, unless there is more than that."""
    if learner.state.k_max:
        log.info("the run goes on from its checkpoint, not from %s", start)
        return
    load_start(start).begin(learner)
    log.info("began with %s", start)


def _resume_from(learner: Learner, folders: list[Path]) -> None:
    """Carry on from the first checkpoint that is sound; the damaged ones are set aside."""
    damaged = False
    for folder in folders:
        try:
            _restore(learner, *checkpoints.read(folder, LearnerState))
        except CheckpointError as e:
            checkpoints.set_aside(folder, str(e))
            learner.state, learner.model = LearnerState(), None
            learner.times.models.clear()
            learner.relabel.reward = load_reward(learner.settings.reward or REWARD)
            damaged = True
        else:
            log.info("resumed from %s: %d transitions", folder, learner.state.transitions)
            break
    else:
        if damaged:
            log.error("no checkpoint is sound: the learner is starting fresh")
    if damaged:
        current = learner.registry.current
        force = f"snapshot {current.meta.number} stays" if current else "no snapshot is"
        log.warning("%s in force until the next one", force)


def _restore(learner: Learner, state: LearnerState, groups: dict[str, Tensors]) -> None:
    unpack_times(state, groups, learner.times)
    learner.state = state
    learner.registry.reserve(state.next_number - 1)
    wanted = _load_or_default(state.reward)
    learner.relabel.reward = load_reward(wanted)
    if not state.k_max:
        return
    model = learner.prepare(state.k_max)
    if not unpack_model(state, groups, model):
        log.warning("other layers than in the checkpoint: the networks start anew")
        state.credit += learner.settings.relabel_updates
    if wanted != state.reward:
        learner.set_reward(wanted, learner.reward)


def _load_or_default(spec: str) -> str:
    """The checkpoint's reward, or the default where it cannot be loaded any more."""
    try:
        load_reward(spec)
    except RewardError as e:
        log.error("the checkpoint's reward %s cannot be used, %s is: %s", spec, REWARD, e)
        return REWARD
    return spec
