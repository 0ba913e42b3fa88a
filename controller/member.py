"""An engine that is stepped rather than served, and the learner that it reports to."""

from __future__ import annotations

from random import Random
from typing import Final

from ..inference.identity import Identity
from ..inference.reports import EngineInfo
from ..inference.simulator.profiled import SIMULATED
from ..policies.runner import Runner
from ..policies.snapshot import Snapshot
from ..policies.spaces import SPEED_INDEX, Array
from ..policies.transition import (
    COLUMN,
    Decision,
    Floats,
    Reason,
    Transition,
    outcome_of,
)
from .learner import Learner

REPORT: Final = 8
"""Transitions handed over at a time, as an engine does."""

_STEPS: Final = COLUMN["steps"]


class Member:
    """Decides as an engine's governor does, and makes transitions of what came of it.

    Args:
        info: of the engine.
        learner: that it reports to.
        snapshot: to begin with.
        seed: of exploration.
    """

    def __init__(self, info: EngineInfo, learner: Learner, snapshot: Snapshot, seed: int) -> None:
        self.info = info
        self.learner = learner
        self.runner = Runner(snapshot)
        self._rng = Random(seed)
        self._number = 0
        self._pending: tuple[Decision, Floats] | None = None
        self._complete: list[Transition] = []
        self._choice = (0, 1.0, Reason.POLICY)

    @property
    def full(self) -> bool:
        """Whether there is a report to hand over."""
        return len(self._complete) >= REPORT

    def follow(self, seen: Array) -> None:
        """What is seen now completes the decision before."""
        if self._pending is not None:
            decision, row = self._pending
            self._pending = None
            self._complete.append(Transition(decision, outcome_of(row), seen.tobytes()))

    def act(self, seen: Array, explore: bool = True) -> tuple[int, float, Reason]:
        """Choose a depth: action, its propensity, the reason."""
        self._choice = self.runner.act([float(x) for x in seen], self._rng, explore)
        return self._choice

    def learn(self, seen: Array, action: int, row: Floats) -> None:
        """Note what came of the decision that ``act`` made."""
        self._number += 1
        if not row[_STEPS]:
            return  # nothing was measured
        _, propensity, reason = self._choice
        choice, version = (action, propensity, reason), self.runner.snapshot.meta.number
        self._pending = stepped_decision(self._number, seen, choice, version), row.copy()

    def hand_over(self) -> None:
        """Report, and let the learner train as far as that pays for."""
        if not self._complete:
            return
        self.learner.speed(self._complete[-1].decision.speed)
        self.learner.ingest(self.info, self._complete)
        self._complete = []
        self.learner.step(seconds=1e6)

    def cut(self) -> None:
        """What comes next does not follow what was."""
        self._pending = None
        self._number += 1


def stepped_decision(
    number: int, seen: Array, choice: tuple[int, float, Reason], version: int
) -> Decision:
    """A decision of an engine that is stepped: it has numbers for times.

    Args:
        number: of the decision.
        seen: the observation, raw.
        choice: the depth in force, its propensity, the reason.
        version: number of the snapshot that chose.
    """
    depth, propensity, reason = choice
    return Decision(
        number=number,
        at=float(number),
        observation=seen.tobytes(),
        action=depth,
        applied=depth,
        propensity=propensity,
        version=version,
        speed=float(seen[SPEED_INDEX]),
        reason=reason,
    )


def simulated_info(identity: Identity, parameter_ratio: float, engine: str) -> EngineInfo:
    """What a simulated engine says of itself.

    Args:
        identity: of the engine that it stands for.
        parameter_ratio: the drafter's parameters over the target's.
        engine: its name.
    """
    return EngineInfo(
        engine=engine,
        target=identity.target or SIMULATED,
        draft=identity.draft or SIMULATED,
        dtype=identity.dtype or "",
        k_max=identity.k_max or 0,
        static_depth=0,
        parameter_ratio=parameter_ratio,
        versions={} if identity.version is None else {"vllm": identity.version},
    )
