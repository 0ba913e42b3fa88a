"""The learner of the plan control point: runs' transitions in, snapshots out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Final

from stable_baselines3.common.logger import Logger

from ...envs.rewards import LatencyCost, Reward, RewardError
from ...inference.reports import PlanBeat
from ...policies.plan.rows import PlanRows
from ...policies.plan.snapshot import PlanSnapshot, uncorrected
from ...policies.plan.vector_dqn import PlanDQN
from ...policies.snapshot import SnapshotError
from .. import checkpoint as checkpoints
from ..checkpoint import CheckpointError
from ..registry import SNAPSHOTS, Registry
from ..resume import CHECKPOINT
from ..settings import LearnerSettings
from .board import PlanBoard
from .gate import PlanComparison, compare, examine, no_worse
from .scalarisation import is_for_plans, serving, worth_of
from .state import PlanLearnerState, pack, unpack

log = logging.getLogger(__name__)

FOLDER: Final = "plan"
"""Its folder in a run's."""

_CHUNK: Final = 4  # gradient steps between two looks at the clock
_JUDGED: Final = 512  # transitions that a candidate is judged on
_NEWER: Final = 32  # transitions between two snapshots, at least


class PlanLearner:
    """Ingests transitions, trains, publishes gated snapshots, checkpoints and resumes.

    Made for the same loop as ``Learner``, and driven the same way.

    Args:
        settings: every option; those of exploration, networks, updates, snapshots and files hold
            here too.
        run: folder of the run; resumed from if it holds a checkpoint of plans.
    """

    def __init__(self, settings: LearnerSettings, run: Path) -> None:
        self.settings = settings
        self.run = run / FOLDER
        self.state = PlanLearnerState()
        self.registry: Registry[PlanSnapshot] = Registry(
            self.run / SNAPSHOTS,
            settings.keep_snapshots,
            settings.keep_every,
            load=PlanSnapshot.load,
        )
        self.model = self._make()
        self.comparison: PlanComparison | None = None
        self.reward: Reward = LatencyCost()
        self.knob = 0.5
        self.board: PlanBoard | None = None  # made with the first planner
        self._resume()
        self._unserved = False  # whether the snapshot in force was made for another reward
        self._publish_at = 0.0
        self._published = self._kept = self._version()
        self._checkpoint_at = time.monotonic() + settings.checkpoint_seconds

    def ingest(self, rows: PlanRows, frozen: bool = False) -> None:
        """Take in transitions of a run; those made under mode freeze are shown alone."""
        self._shown().add(rows)
        if frozen:
            self.state.frozen += len(rows)
            return
        self.model.add(rows)
        self.state.count(len(rows), self.settings.updates_per_transition)

    def beat(self, beat: PlanBeat) -> None:
        """A planner's state, for TensorBoard."""
        self._shown().beat(beat)

    def step(self, seconds: float) -> None:
        """Train for at most about that long, and no more than new transitions pay for."""
        deadline = time.monotonic() + seconds
        if self._is_ready():
            while self.state.credit >= 1 and time.monotonic() < deadline:
                steps = min(_CHUNK, int(self.state.credit))
                self.model.train(steps, self.settings.batch_size)
                self.state.credit -= steps
        if self.board is not None and self.board.age() >= self.settings.board_seconds:
            self._write()

    def publish(self) -> PlanSnapshot | None:
        """A new snapshot when one is due and passes the gate, else None."""
        if self._is_due():
            self._publish_at = time.monotonic() + self.settings.publish_seconds
            self._published = self._version()
            reason = self._judge()
        elif self._unserved and (self.reward.linear or self._is_ready()):
            reason = self._serve(self.current() or uncorrected())
        else:
            return None
        # A reward that fails is asked again for the next snapshot, and not before.
        self._unserved = False
        self.state.last_gate_reason = reason or ""
        self.model.knob = self.effective_speed
        if reason is None:
            return self.registry.current
        self.state.gate_refused += 1
        log.warning("plan snapshot %d not promoted: %s", self.registry.next_number, reason)
        return None

    def use_reward(self, reward: Reward) -> None:
        """Serve a reward from the next snapshot on, which is due as soon as enough was seen.

        One that needs more than a plan has leaves planners with ``latency-cost``.
        """
        current = self.current()
        self.reward = reward if is_for_plans(reward) else LatencyCost()
        served = current is None or not current.meta.speeds
        self._unserved = not (self.reward.linear and served)

    def speed(self, value: float) -> None:
        """Note the knob: the past is relabelled with it more often than with other speeds."""
        self.knob = value
        self.model.knob = self.effective_speed

    @property
    def effective_speed(self) -> float:
        """The speed that is decided at for the reward, at the knob as it is."""
        current = self.current()
        return self.knob if current is None else current.speed_at(self.knob)

    def current(self) -> PlanSnapshot | None:
        """The snapshot in force."""
        return self.registry.current

    def checkpoint(self) -> None:
        """Write everything needed to carry on, atomically; nothing before the first transition."""
        self._checkpoint_at = time.monotonic() + self.settings.checkpoint_seconds
        if not self.state.transitions:
            return
        self._kept = self._version()
        self.state.updates = self.model.updates
        self.state.next_number = self.registry.next_number
        checkpoints.write(self.run / CHECKPOINT, self.state, pack(self.model))

    def keep(self) -> None:
        """Write a checkpoint if one is due and there is anything new."""
        if time.monotonic() >= self._checkpoint_at and self._kept != self._version():
            self.checkpoint()

    def close(self) -> None:
        """Write TensorBoard's last point and close its file."""
        if self.board is not None:
            self._write()
            self.board.close()

    def summary(self) -> dict[str, Any]:
        """Counters and figures: JSON types, None where there is nothing yet."""
        current, found = self.current(), self.comparison
        return {
            "transitions": self.state.transitions,
            "updates": self.model.updates,
            "snapshot": current.meta.number if current else 0,
            "reward": self.reward.name,
            "effective_speed": self.effective_speed,
            "loss": self.model.last_loss,
            "replay_rows": self.model.replay_buffer.size(),
            "owed_updates": int(self.state.credit),
            "frozen": self.state.frozen,
            "skipped_updates": self.model.skipped,
            "gate_refused": self.state.gate_refused,
            "last_gate_reason": self.state.last_gate_reason,
            "candidate_loss": found.candidate if found else None,
            "current_loss": found.current if found else None,
        }

    def _judge(self) -> str | None:
        """Register what the networks are now; the reason against it, where there is one."""
        rows = self.model.replay_buffer.latest(_JUDGED)
        try:
            budget = self.settings.explore_floor
            candidate = self.model.snapshot(self.registry.next_number, budget=budget)
            reason = examine(candidate, rows)
            if reason is None:
                current = self.current() or uncorrected()
                self.comparison = compare(self.model, candidate, current, rows)
                reason = no_worse(self.comparison)
        except (SnapshotError, OSError) as e:
            reason = str(e)
        return self._serve(candidate) if reason is None else reason

    def _serve(self, snapshot: PlanSnapshot) -> str | None:
        """Register a snapshot for the reward in force; the reason against it, if there is one."""
        try:
            rows = self.model.replay_buffer.latest(_JUDGED)
            self.registry.add(serving(self.reward, snapshot, rows, self.registry.next_number))
        except (SnapshotError, RewardError, OSError) as e:
            return str(e)
        return None

    def _is_ready(self) -> bool:
        return self.model.replay_buffer.size() >= self.settings.minimum_rows

    def _is_due(self) -> bool:
        return (
            self.state.transitions >= max(self.settings.first_snapshot, self.settings.minimum_rows)
            and time.monotonic() >= self._publish_at
            and self.state.transitions >= self._published[0] + _NEWER
            and self.model.updates > self._published[1]
        )

    def _version(self) -> tuple[int, int]:
        return self.state.transitions, self.model.updates

    def _shown(self) -> PlanBoard:
        if self.board is None:
            self.board = PlanBoard(self.run)
            self.model.set_logger(self.board.logger)
        return self.board

    def _write(self) -> None:
        assert self.board is not None
        figures = {name: v for name, v in self.summary().items() if isinstance(v, int | float)}
        values = {f"learner/{name}": float(value) for name, value in figures.items()}
        values["plan/effective_speed"] = values.pop("learner/effective_speed")
        values["plan/speed"] = self.knob
        self.board.write(self.state.transitions, values, self._worth)

    def _worth(self, latency: float, cost: float) -> float:
        return worth_of(self.reward, latency, cost, self.knob)

    def _make(self) -> PlanDQN:
        s = self.settings
        model = PlanDQN(
            hidden=s.hidden,
            learning_rate=s.learning_rate,
            buffer_size=s.replay_size,
            tau=s.tau,
            anchor=s.anchor,
            seed=(s.seed + self.state.updates) % (1 << 32),
        )
        model.set_logger(Logger(None, []))
        return model

    def _resume(self) -> None:
        """Carry on from the first checkpoint that is sound; damaged ones are set aside."""
        for folder in checkpoints.find(self.run / CHECKPOINT):
            try:
                self.state, groups = checkpoints.read(folder, PlanLearnerState)
                self.model = self._make()
                unpack(groups, self.model)
            except CheckpointError as e:
                checkpoints.set_aside(folder, str(e))
                self.state, self.model = PlanLearnerState(), self._make()
            else:
                self.model.updates = self.state.updates
                self.registry.reserve(self.state.next_number - 1)
                log.info("resumed from %s: %d transitions", folder, self.state.transitions)
                return
