"""The learner in the place of a policy: for engines that are stepped rather than served."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ..inference.identity import Identity
from ..inference.simulator.profiled import SIMULATED
from ..policies.policy import Choice, Integers, Policy
from ..policies.runner import Runner
from ..policies.snapshot import Snapshot, analytic
from ..policies.spaces import Array
from ..policies.structure import Structure
from ..policies.transition import Floats, Reason
from .learner import Learner
from .member import Member, simulated_info
from .settings import LearnerSettings

_PUBLISH: Final = 4  # reports between two snapshots, once there are some
_EAGER: Final = 16  # reports until then
STEPPED: Final = LearnerSettings(
    publish_seconds=0.0,
    board_seconds=86400.0,
    updates_per_transition=0.25,  # hours of engines go by in minutes
)
"""Settings of a learner whose engines are stepped."""


class LearnedPolicy(Policy):
    """A learner for each of n engines, fed with what its own engine did and nothing else.

    It trains in the caller's thread, as far as new transitions pay for, and publishes through the
    same gate as in service.

    Args:
        structure: step times and prices to decide by until there is a snapshot; its step times
            are also what the learners start from.
        engines: how many.
        seed: of everything random.
        folder: where the runs are kept.
        parameter_ratio: the drafter's parameters over the target's.
        settings: of the learners; a profile and a start among them make it a warm one.
    """

    name = "learned"
    about = "flyball's: structure, corrected by a value network that learns from full information"

    def __init__(
        self,
        structure: Structure,
        engines: int,
        seed: int,
        folder: Path,
        parameter_ratio: float,
        settings: LearnerSettings = STEPPED,
    ) -> None:
        super().__init__(structure, engines, seed)
        identity = Identity(target=SIMULATED, draft=SIMULATED, k_max=structure.k_max)
        info = simulated_info(identity, parameter_ratio, "simulator")
        self.frozen = False
        """whether it decides without exploring and learning"""
        self.members: list[Member] = []
        for i in range(engines):
            mine = replace(settings, seed=seed + i)
            # What every other policy is told of step times.
            learner = Learner(mine, folder / str(i), structure.coefficients.astype(np.float64))
            first = learner.publish() or _analytic(structure)
            self.members.append(Member(info, learner, first, mine.seed))
        self._reports = [0] * engines

    def act(self, raw: Array) -> Choice:
        """Choose by each learner's latest snapshot."""
        chosen = [self._act(i, row) for i, row in enumerate(raw)]
        actions, propensities, reasons = zip(*chosen, strict=True)
        return Choice(
            np.array(actions, np.int64),
            np.array(propensities),
            np.array([reason is Reason.EXPLORE for reason in reasons]),
        )

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:
        """Note what each engine did."""
        if not self.frozen:
            for member, seen, action, row in zip(self.members, raw, actions, outcomes, strict=True):
                member.learn(seen, int(action), row)

    def use_reward(self, spec: str) -> list[float]:
        """Swap the reward and train on what was seen; core seconds until then, by learner."""
        took = []
        for member in self.members:
            started = time.process_time()
            member.learner.use_reward(spec)
            member.learner.step(seconds=1e6)
            _publish(member)
            took.append(time.process_time() - started)
        return took

    def close(self) -> None:
        """Close the learners' runs."""
        for member in self.members:
            member.learner.close()

    def _act(self, i: int, seen: Array) -> tuple[int, float, Reason]:
        member = self.members[i]
        if not self.frozen:
            member.follow(seen)
            if member.full:
                member.hand_over()
                self._reports[i] += 1
                if self._reports[i] <= _EAGER or self._reports[i] % _PUBLISH == 0:
                    _publish(member)
        return member.act(seen, explore=not self.frozen)


def _publish(member: Member) -> None:
    snapshot = member.learner.publish()
    if snapshot is not None:
        member.runner = Runner(snapshot)


def _analytic(structure: Structure) -> Snapshot:
    return analytic(1, structure.k_max, structure.prices, structure.coefficients, 0.0)
