"""The arms of ``flyball bench depth`` on simulated engines: the same requests, the same luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...inference.simulator.engine import Simulator
from ...inference.simulator.profiled import profile_of
from ...inference.simulator.settings import SimulatorSettings
from ...policies.policy import Integers, Policy
from ...policies.prices import Prices, compute_prices
from ...policies.structure import Structure
from ...policies.transition import Floats
from .tally import SUMS, Arm, Tally, collect, sums

Maker = Callable[[str, Structure, int, int], Policy]
"""A policy by its name, for a structure, a number of engines and a seed."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Course:
    """J over time of one arm: what every interval added, and when.

    Attributes:
        clock: virtual seconds at each interval's end, shape (engines, intervals).
        sums: shape (engines, intervals, len(SUMS)).
    """

    clock: Floats
    sums: Floats


class SimulatedRun:
    """Policies on one scenario.

    Args:
        settings: engine and traffic.
        make: makes policies.
        speeds: of the knob.
        seeds: of the traffic.
        progress: is told what happens.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        make: Maker,
        speeds: Sequence[float],
        seeds: Sequence[int],
        progress: Progress = print,
    ) -> None:
        self.settings = settings
        self.make = make
        self.speeds = list(speeds)
        self.seeds = list(seeds)
        self.progress = progress
        self.prices: Prices = compute_prices(settings.parameter_ratio)
        self.structure = profiled(settings, self.prices)

    def run(self, policies: Sequence[str]) -> tuple[Tally, dict[str, Course]]:
        """Every policy on all seeds, at all speeds if the speed makes a difference to it."""
        parts: dict[tuple[Arm, tuple[int, str]], Floats] = {}
        courses: dict[str, Course] = {}
        for policy in policies:
            self.progress(f"{self.settings.name}: {policy}")
            arms = self._arms(policy)
            table, courses[policy] = self._one(policy, arms)
            for (arm, seed), phases in zip(product(arms, self.seeds), table, strict=True):
                for phase, values in enumerate(phases):
                    parts[arm, (seed, f"phase {phase + 1}")] = values
        return collect(parts), courses

    def _arms(self, policy: str) -> list[Arm]:
        if policy == "off" or policy.startswith("fixed"):
            return [Arm(policy)]
        return [Arm(policy, speed) for speed in self.speeds]

    def _one(self, policy: str, arms: Sequence[Arm]) -> tuple[Floats, Course]:
        """Sums by engine and phase, shape (engines, phases, len(SUMS)), and the course."""
        speeds, seeds = zip(*product((a.speed or 0.0 for a in arms), self.seeds), strict=True)
        simulator = Simulator(self.settings, len(seeds), seeds)
        simulator.speed[:] = speeds
        chooser = self.make(policy, self.structure, len(seeds), seeds[0])
        phases = len(self.settings.workload.phases)
        table = np.zeros((len(seeds), phases, len(SUMS)))
        clocks, added = [], []
        for clock, phase, values in self._steps(simulator, chooser):
            np.add.at(table, (np.arange(len(seeds)), phase), values)
            clocks.append(clock)
            added.append(values.astype(np.float32))
        close = getattr(chooser, "close", None)
        if close is not None:
            close()
        return table, Course(np.stack(clocks, 1), np.stack(added, 1))

    def _steps(
        self, simulator: Simulator, policy: Policy
    ) -> Iterator[tuple[Floats, Integers, Floats]]:
        """Clock, phase and sums of every interval of all engines, until all are done."""
        raw = simulator.reset()
        done = np.zeros(simulator.engines, bool)
        while not done.all():
            actions = policy.act(raw).actions
            step = simulator.step(actions)
            policy.learn(raw, actions, step.outcomes)
            yield step.clock, step.phase, sums(step.outcomes, self.prices)
            raw, done = step.observations, step.done


def profiled(settings: SimulatorSettings, prices: Prices) -> Structure:
    """What a profile of the engine would tell every policy before it starts."""
    found = profile_of(settings.cost_model, settings.k_max, settings.parameter_ratio)
    return Structure(settings.k_max, found.vector, prices, found.table)


def merge(tallies: Mapping[str, Tally]) -> Tally:
    """Tallies of several scenarios as one: the scenario's name joins the phase's."""
    arms = next(iter(tallies.values())).arms
    units = [(seed, f"{name}, {phase}") for name, t in tallies.items() for seed, phase in t.units]
    return Tally(arms, units, np.concatenate([t.sums for t in tallies.values()], axis=1))
