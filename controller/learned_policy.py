"""The learner in the place of a policy: for engines that are stepped rather than served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from ..inference.wire import EngineInfo
from ..policies.policy import Choice, Integers, Policy
from ..policies.runner import Runner
from ..policies.snapshot import analytic
from ..policies.spaces import SPEED_INDEX, Array
from ..policies.structure import Structure
from ..policies.transition import Decision, Floats, OutcomeBatch, Reason, Transition, outcome_of
from .learner import Learner
from .settings import LearnerSettings

_STEPS = OutcomeBatch.SCALARS.index("steps")
_REPORT = 8  # transitions handed over at a time, as an engine does
_UPDATES = 0.25  # per transition: hours of engines go by in minutes
_PUBLISH = 4  # such reports between two snapshots, once there are some


class LearnedPolicy(Policy):
    """A learner for each of n engines, fed with what its own engine did and nothing else.

    It trains in the caller's thread, as far as new transitions pay for, and publishes through the
    same gate as in service.

    Args:
        structure: step times and prices to start from.
        engines: how many.
        seed: of everything random.
        folder: where the runs are kept.
        parameter_ratio: the drafter's parameters over the target's.
        settings: of the learners.
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
        settings: LearnerSettings | None = None,
    ) -> None:
        super().__init__(structure, engines, seed)
        settings = settings or LearnerSettings(
            publish_seconds=0.0, board_seconds=86400.0, updates_per_transition=_UPDATES
        )
        self.members = [
            _Member(structure, replace(settings, seed=seed + i), folder / str(i), parameter_ratio)
            for i in range(engines)
        ]

    def act(self, raw: Array) -> Choice:
        """Choose by each learner's latest snapshot."""
        chosen = [member.act(row) for member, row in zip(self.members, raw, strict=True)]
        actions, propensities, reasons = zip(*chosen, strict=True)
        return Choice(
            np.array(actions, np.int64),
            np.array(propensities),
            np.array([reason is Reason.EXPLORE for reason in reasons]),
        )

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:
        """Hand each learner what its engine did."""
        for member, seen, action, row in zip(self.members, raw, actions, outcomes, strict=True):
            member.learn(seen, int(action), row)

    def close(self) -> None:
        """Close the learners' runs."""
        for member in self.members:
            member.learner.close()


class _Member:
    """One engine's learner."""

    def __init__(
        self, structure: Structure, settings: LearnerSettings, folder: Path, ratio: float
    ) -> None:
        self.info = EngineInfo(
            engine="simulator",
            target="simulated",
            draft="simulated",
            k_max=structure.k_max,
            static_depth=0,
            parameter_ratio=ratio,
        )
        self.learner = Learner(settings, folder, structure.coefficients.astype(np.float64))
        self.rng = Random(settings.seed)
        self.runner = Runner(
            analytic(1, structure.k_max, structure.prices, structure.coefficients, 0.0)
        )
        self.number = self.reports = 0
        self.pending: tuple[Decision, Floats] | None = None
        self.complete: list[Transition] = []
        self.choice = (0, 1.0, Reason.POLICY)

    def act(self, seen: Array) -> tuple[int, float, Reason]:
        if self.pending is not None:
            decision, row = self.pending
            self.pending = None
            self.complete.append(Transition(decision, outcome_of(row), seen.tobytes()))
            if len(self.complete) >= _REPORT:
                self._hand_over()
        self.choice = self.runner.act([float(x) for x in seen], self.rng)
        return self.choice

    def learn(self, seen: Array, action: int, row: Floats) -> None:
        self.number += 1
        if not row[_STEPS]:
            return  # nothing was measured
        _, propensity, reason = self.choice
        decision = Decision(
            number=self.number,
            at=float(self.number),
            observation=seen.tobytes(),
            action=action,
            applied=action,
            propensity=propensity,
            version=self.runner.snapshot.meta.number,
            speed=float(seen[SPEED_INDEX]),
            reason=reason,
        )
        self.pending = decision, row.copy()

    def _hand_over(self) -> None:
        self.learner.speed(self.complete[-1].decision.speed)
        self.learner.ingest(self.info, self.complete)
        self.complete = []
        self.learner.step(seconds=1e6)
        self.reports += 1
        if self.reports > 16 and self.reports % _PUBLISH:
            return
        snapshot = self.learner.publish()
        if snapshot is not None:
            self.runner = Runner(snapshot)
