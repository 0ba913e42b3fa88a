"""What benchmarks need of the learner, which is above them: it is handed down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from ..benchmarks.depth.figures import WARM
from ..inference.identity import Identity
from ..inference.reports import EngineInfo, FromEngine, Report
from ..inference.simulator.cost_model import CostModel
from ..inference.simulator.engine import Simulator
from ..inference.simulator.presets import preset
from ..inference.simulator.profiled import profile_of
from ..inference.wire import decode, encode
from ..policies.catalogue.registry import make_policy
from ..policies.policy import Policy
from ..policies.structure import KNOTS, Structure
from ..policies.transition import Reason, Transition, outcome_of
from .learned_policy import STEPPED, LearnedPolicy
from .learner import Learner
from .member import simulated_info, stepped_decision
from .settings import LearnerSettings
from .warming import WarmingOptions, warm_up

_BATCH: Final = 64  # transitions in a report, when an engine has many to tell
_NOISE: Final = 0.03  # of a step in simulation


class Maker:
    """Makes policies by their names, ``learned`` and ``warm`` among them.

    Args:
        folder: for the learners' runs.
        progress: is told of what takes a while.
    """

    def __init__(self, folder: Path, progress: Callable[[str], None] = print) -> None:
        self.folder = folder
        self._progress = progress
        self._made = 0
        self._warm: dict[str, LearnerSettings] = {}

    def __call__(self, name: str, structure: Structure, engines: int, seed: int) -> Policy:
        """A policy for some engines.

        Raises:
            ValueError: listing the names that exist.
        """
        if name not in (LearnedPolicy.name, WARM):
            return make_policy(name, structure, engines, seed)
        ratio = structure.prices.drafted / structure.prices.verified
        settings = STEPPED if name != WARM else self._warmed(structure, ratio)
        self._made += 1
        folder = self.folder / str(self._made)
        return LearnedPolicy(structure, engines, seed, folder, ratio, settings)

    def _warmed(self, structure: Structure, ratio: float) -> LearnerSettings:
        """Settings with a start for engines of a structure; it is made once."""
        batches = 2.0 ** np.arange(KNOTS)
        grid = structure.grid[:, : structure.k_max + 1]
        model = CostModel(structure.coefficients, batches, grid, _NOISE)
        found = profile_of(model, structure.k_max, ratio)
        key = str(found)
        if key not in self._warm:
            self._progress("warm: learning in simulation, under other traffic")
            here = self.folder / f"warm-{len(self._warm)}"
            profile, start = here / "profile.json", here / "start.safetensors"
            found.save(profile)
            options = WarmingOptions(profile=profile)
            warm_up(found, options, here / "run", lambda _share, _what: None).save(start)
            self._warm[key] = replace(STEPPED, profile=profile, start=start)
        return self._warm[key]


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
            choice = action, 1.0 / (settings.k_max + 1), Reason.EXPLORE
            decision = stepped_decision(len(out) + 1, raw[0], choice, version=1)
            out.append(Transition(decision, outcome, step.observations[0].tobytes()))
        raw = step.observations
    identity = Identity(k_max=settings.k_max)
    return simulated_info(identity, settings.parameter_ratio, "simulator"), out
