"""The learner: turns transitions into snapshots. Single-threaded; the service drives it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..envs.rewards import Reward, evaluate, load_reward
from ..inference.profile import load_profile
from ..inference.reports import Beat, EngineInfo
from ..policies.exploration import budget
from ..policies.prices import Prices, price_list
from ..policies.snapshot import Snapshot
from ..policies.spaces import SPEED_INDEX, check_speed
from ..policies.transition import Floats, Transition
from ..policies.vector_dqn import VectorDQN
from . import checkpoint as checkpoints
from .board import Board
from .evaluate import Comparison
from .intake import Intake, outcome_rows, to_rows
from .learner_state import LearnerState, pack
from .progress import summary, write_board
from .promotion import look_at, promote
from .registry import SNAPSHOTS, Registry
from .relabel import Relabel
from .resume import CHECKPOINT, make_model, resume
from .settings import REWARD, LearnerSettings
from .step_times import StepTimes

log = logging.getLogger(__name__)

# Gradient steps between two looks at the clock.
_CHUNK = 4

# New transitions that the correction is tested on at a time; in a flood, the newest.
_TESTED = 64


class Learner:
    """Ingests transitions, trains, publishes gated snapshots, checkpoints and resumes.

    Memory is bounded: the replay buffer (``settings.replay_size`` rows of 738 bytes) is what
    grows, up to its size.

    Args:
        settings: every option.
        run: folder of the run; resumed from if it holds a checkpoint.
        step_times: seconds per feature of the step-time model that were measured before, shape
            (6,), for engines that the settings' profile is not of; None where nothing was.

    Raises:
        RewardError: if the reward that the settings name cannot be used.
        ProfileError: if their profile cannot be used.
        StartError: if their start cannot be used.
    """

    def __init__(
        self, settings: LearnerSettings, run: Path, step_times: Floats | None = None
    ) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.run = run
        self.model: VectorDQN | None = None
        self.comparison: Comparison | None = None  # of the latest candidate with the current
        self.state = LearnerState()
        profile = load_profile(settings.profile) if settings.profile else None
        self.times = StepTimes(settings.forgetting, profile, step_times)
        self.relabel = Relabel(settings.prices, load_reward(settings.reward or REWARD), self.times)
        self.registry: Registry[Snapshot] = Registry(
            run / SNAPSHOTS, settings.keep_snapshots, settings.keep_every, load=Snapshot.load
        )
        self.board = Board(run, vars(settings))
        self._fresh = 0  # transitions that the correction was not tested on yet
        self._publish_at = 0.0
        self._published: tuple[Any, ...] = ()
        self._checkpoint_at = time.monotonic() + settings.checkpoint_seconds
        self._intake = Intake(self.times)
        resume(self)
        self._kept = self._version()  # what the latest checkpoint holds
        self.board.start(self.state.transitions, self.updates)

    def ingest(
        self, info: EngineInfo, transitions: Sequence[Transition], frozen: bool = False
    ) -> int:
        """Take in an engine's transitions, oldest first.

        Args:
            info: the engine.
            transitions: invalid ones are dropped and counted.
            frozen: shown in TensorBoard, not learned from.

        Returns:
            How many were stored to be learned from.
        """
        useful = self._intake.sift(info, transitions, self.state)
        if not useful:
            return 0
        model = self.prepare(info.k_max)
        outcomes = outcome_rows(useful)
        rows = to_rows(useful, outcomes, self.times.index(info.engine), info.parameter_ratio)
        self.state.parameter_ratio = info.parameter_ratio
        self.board.add(rows)
        if frozen:
            self.state.frozen += len(rows)
            return 0
        self.times.update(info.engine, outcomes)
        model.replay_buffer.append(rows)
        self._fresh = min(self._fresh + len(rows), _TESTED)
        self.state.count(len(rows), self.settings.updates_per_transition)
        return len(rows)

    def step(self, seconds: float) -> None:
        """Train for at most about that long, and no more than new transitions pay for.

        Writes TensorBoard's next point when it is due.
        """
        deadline = time.monotonic() + seconds
        model = self.model
        if model is not None and model.replay_buffer.size() >= self.settings.minimum_rows:
            self._use_structure(model)
            self._test(model)
            while (owed := self.state.owed()) >= 1 and time.monotonic() < deadline:
                steps = min(_CHUNK, int(owed))
                model.train(steps, self.settings.batch_size)
                self.state.pay(steps)
                look_at(self, model)
        if self.board.age() >= self.settings.board_seconds:
            write_board(self)

    def publish(self) -> Snapshot | None:
        """A new snapshot when one is due and passes the gate, else None."""
        model = self.model
        if model is None or not self._is_due():
            return None
        self._publish_at = time.monotonic() + self.settings.publish_seconds
        self._published = self._version()
        self._use_structure(model)
        return promote(self, model)

    def use_reward(self, spec: str) -> None:
        """Swap the reward; the past is relabelled and learned from before the next snapshot.

        Raises:
            RewardError: with the reason; the old one stays in force.
        """
        reward = load_reward(spec)
        model = self.model
        if model is not None and model.replay_buffer.size():
            rows = model.replay_buffer.latest(512)
            speeds = rows.observations[:, SPEED_INDEX].astype(np.float64)
            evaluate(reward, self.relabel.inputs(rows, speeds))
        self.set_reward(spec, reward)

    def set_reward(self, spec: str, reward: Reward) -> None:
        """Put a reward that was loaded already in force."""
        self.relabel.reward = reward
        self.state.reward = spec
        self._publish_at = 0.0
        self._learn_reward()

    def speed(self, value: float) -> None:
        """Note the knob: the past is relabelled with it more often than with other speeds.

        Raises:
            ValueError: unless it is a number in [0, 1].
        """
        self.state.speed = check_speed(value)
        if self.model is not None:
            self.model.knob = self.state.speed

    def current(self) -> Snapshot | None:
        """The snapshot in force."""
        return self.registry.current

    def snapshots(self) -> list[int]:
        """Numbers of the snapshots that can be returned to, ascending."""
        return self.registry.numbers

    def rollback(self, number: int) -> Snapshot:
        """Return to an earlier snapshot: nothing newer for a while, then learning on from it.

        Raises:
            RegistryError: listing what there is.
            SnapshotError: if its file is damaged.
        """
        snapshot = self.registry.promote(number)
        self._publish_at = time.monotonic() + self.settings.hold_seconds
        if self.model is not None:
            try:
                self.model.adopt(snapshot.weights)
            except ValueError as e:
                log.warning("learning goes on from the present networks: %s", e)
            if snapshot.meta.reward != self.reward.name:
                self._learn_reward()
        return snapshot

    def checkpoint(self) -> None:
        """Write everything needed to carry on, atomically."""
        started = time.monotonic()
        self._kept = self._version()
        self.state.next_number = self.registry.next_number
        try:
            checkpoints.write(self.run / CHECKPOINT, *pack(self.state, self.times, self.model))
        finally:
            now = time.monotonic()
            # A large replay buffer takes a while: at most a fiftieth of the time goes there.
            wait = max(self.settings.checkpoint_seconds, 50.0 * (now - started))
            self._checkpoint_at = now + wait

    def keep(self) -> None:
        """Write a checkpoint if one is due and there is anything new."""
        if time.monotonic() >= self._checkpoint_at and self._kept != self._version():
            self.checkpoint()

    def beat(self, beat: Beat, queue: int = 0) -> None:
        """An engine's state and the length of the learner's queue, for TensorBoard."""
        self.board.beat(beat, queue)

    def summary(self) -> dict[str, Any]:
        """What goes on, for status and metrics: JSON types."""
        return summary(self)

    def close(self) -> None:
        """Write TensorBoard's last point and close its file."""
        write_board(self)
        self.board.close()

    @property
    def reward(self) -> Reward:
        """The reward in force."""
        return self.relabel.reward

    @property
    def prices(self) -> Prices:
        """The price list in force."""
        return price_list(self.settings.prices, self.state.parameter_ratio)

    @property
    def updates(self) -> int:
        """Gradient steps so far."""
        return self.model.updates if self.model else self.state.updates

    @property
    def relearning(self) -> int:
        """Gradient steps until a reward that was swapped in decides; 0 if none waits for that."""
        return self.state.relabel

    @property
    def budget(self) -> float:
        """Expected loss of a decision that snapshots may spend on exploration now."""
        s = self.settings
        if self.state.warm:  # every depth was tried before
            return s.explore_floor
        return budget(self.state.transitions, s.explore_start, s.explore_floor, s.explore_early)

    def prepare(self, k_max: int) -> VectorDQN:
        """The algorithm, made when the greatest depth is known."""
        if self.model is None:
            self.model = make_model(self.settings, k_max, self.relabel, self.state.updates)
            self.model.set_logger(self.board.logger)
            self.model.knob = self.state.speed
            self.model.use_reward(self.reward.linear)
            self.state.k_max = k_max
            self._use_structure(self.model)
        return self.model

    def _test(self, model: VectorDQN) -> None:
        """Let the correction tell what it has not learned from yet."""
        if self._fresh and self.reward.linear:
            model.test_on(model.replay_buffer.latest(self._fresh))
        self._fresh = 0

    def _use_structure(self, model: VectorDQN) -> None:
        model.use_structure(self.times.structure(model.k_max, self.prices))

    def _version(self) -> tuple[Any, ...]:
        """What a snapshot depends on."""
        return self.state.transitions, self.updates, self.state.reward, self.state.parameter_ratio

    def _is_due(self) -> bool:
        return (
            (self.state.warm or self.state.transitions >= self.settings.first_snapshot)
            and not self.state.relabel
            and time.monotonic() >= self._publish_at
            and self._version() != self._published
        )

    def _learn_reward(self) -> None:
        """Forget what the third value was; a reward that needs it is learned before it decides."""
        if self.model is not None:
            self.model.use_reward(self.reward.linear)
        self.state.relabel = 0 if self.reward.linear else self.settings.relabel_updates
