"""What benchmarks need of the learner, which is above them: it is handed down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from ..inference.simulator.engine import Simulator
from ..inference.simulator.presets import preset
from ..inference.wire import EngineInfo, FromEngine, Report, decode, encode
from ..policies.catalogue.registry import make_policy
from ..policies.policy import Policy
from ..policies.structure import Structure
from ..policies.transition import Decision, Reason, Transition, outcome_of
from .learned_policy import LearnedPolicy
from .learner import Learner
from .settings import LearnerSettings

_BATCH: Final = 64  # transitions in a report, when an engine has many to tell


class Maker:
    """Makes policies by their names, ``learned`` among them.

    Args:
        folder: for the learners' runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = 0

    def __call__(self, name: str, structure: Structure, engines: int, seed: int) -> Policy:
        """A policy for some engines.

        Raises:
            ValueError: listing the names that exist.
        """
        if name != LearnedPolicy.name:
            return make_policy(name, structure, engines, seed)
        self._made += 1
        ratio = structure.prices.drafted / structure.prices.verified
        return LearnedPolicy(structure, engines, seed, self.folder / str(self._made), ratio)


def ingest_per_second(count: int = 20_000) -> float:
    """Transitions per second that one core takes in, from the bytes of reports to the buffer."""
    info, transitions = _transitions(2_000)
    messages = [
        encode(Report(info.engine, list(transitions[i : i + _BATCH])))
        for i in range(0, len(transitions), _BATCH)
    ]
    with TemporaryDirectory() as folder:
        learner = Learner(LearnerSettings(board_seconds=86400.0), Path(folder))
        learner.ingest(info, transitions[:_BATCH])
        taken, started = 0, time.process_time()
        while taken < count:
            for message in messages:
                report = decode(message, FromEngine)
                assert isinstance(report, Report)
                taken += learner.ingest(info, report.transitions)
        rate = taken / (time.process_time() - started)
        learner.close()
    return rate


def _transitions(count: int) -> tuple[EngineInfo, Sequence[Transition]]:
    """What a simulated engine reports at random depths."""
    settings = preset("cpu")
    simulator, rng = Simulator(settings, 1, 0), np.random.default_rng(0)
    raw = simulator.reset()
    out: list[Transition] = []
    while len(out) < count:
        action = int(rng.integers(settings.k_max + 1))
        step = simulator.step(np.array([action]))
        outcome = outcome_of(step.outcomes[0])
        if outcome.steps and outcome.emitted:
            decision = Decision(
                number=len(out) + 1,
                at=float(step.clock[0]),
                observation=raw[0].tobytes(),
                action=action,
                applied=action,
                propensity=1.0 / (settings.k_max + 1),
                version=1,
                speed=0.5,
                reason=Reason.EXPLORE,
            )
            out.append(Transition(decision, outcome, step.observations[0].tobytes()))
        raw = step.observations
    info = EngineInfo(
        engine="simulator",
        target="simulated",
        draft="simulated",
        k_max=settings.k_max,
        static_depth=settings.static_depth,
        parameter_ratio=settings.parameter_ratio,
    )
    return info, out
