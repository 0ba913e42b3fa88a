"""The arms of ``flyball bench depth`` on a live engine: in turn, under the same clients.

One engine serves phases of traffic, in shuffled order and several rounds. In every visit to a
phase the arms take turns, shuffled too, while the same clients keep asking, so that all arms of a
visit are compared under the same load of a shared machine. The learner learns only from what it
did itself: while others have their turn its engine is in mode freeze.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from ...inference.load import LoadSettings, RequestRecord
from ...inference.wire import Mode
from ...policies.prices import Prices, compute_prices
from ...policies.transition import ROW_SIZE, Floats, Transition, outcome_row
from ..arms import PHASES, Phase
from ..ramped import RampedTraffic
from ..session import ENGINE, Session
from .figures import OURS
from .tally import Arm, Tally, collect, sums

Progress = Callable[[str], None]

_RAMP: Final = 0.8  # seconds until a phase's clients all decode
_SETTLE: Final = 2  # intervals after a change of arms that still have the old one's drafts
_LEAST: Final = 3  # intervals that a slice should hold
_PATIENCE: Final = 3.0  # seconds by which a slice may be longer to hold them


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How the time on a live engine is spent."""

    rounds: int = 4
    """visits to every phase"""
    slice_seconds: float = 1.6
    """per arm and visit"""
    cold_seconds: float = 120.0
    """served from a cold start before anything is compared, at speed 1"""
    max_tokens: int = 128
    """per request"""


class LiveRun:
    """Arms on a live engine.

    Args:
        running: engine and controller.
        arms: what is compared, ours among them.
        options: how the time is spent.
        seed: of order and traffic.
        progress: is told what happens.
        phases: of the traffic.
    """

    def __init__(
        self,
        running: Session,
        arms: Sequence[Arm],
        options: LiveOptions,
        seed: int,
        progress: Progress = print,
        phases: Sequence[Phase] = PHASES,
    ) -> None:
        self.session, self.client = running, running.client
        self.heard = running.listener.transitions
        self.arms, self.phases = list(arms), list(phases)
        self.options, self.seed = options, seed
        self.rng = Random(seed)
        self.progress = progress
        self.records: list[RequestRecord] = []
        (engine,) = (e for e in self.client.status()["engines"] if e["engine"] == ENGINE)
        self.prices: Prices = compute_prices(engine["parameter_ratio"])
        self._traffics = 0

    def run(self) -> Tally:
        """Serve from cold, then every phase in every round with every arm in turn."""
        self._cold_start()
        parts: dict[tuple[Arm, tuple[int, str]], Floats] = {}
        for number in range(self.options.rounds):
            for phase in self.rng.sample(self.phases, len(self.phases)):
                self.progress(f"round {number + 1} of {self.options.rounds}: {phase.name}")
                with self._traffic(phase) as traffic:
                    for arm in self.rng.sample(self.arms, len(self.arms)):
                        parts[arm, (number, phase.name)] = self._slice(arm)
                self.records += traffic.records
        return collect(parts).complete()

    def _cold_start(self) -> None:
        """Ours alone, through all phases."""
        each = self.options.cold_seconds / len(self.phases) - _RAMP
        if each <= 0:
            return
        self._apply(Arm(OURS, 1.0))
        for phase in self.rng.sample(self.phases, len(self.phases)):
            self.progress(f"cold start: {phase.name}")
            with self._traffic(phase) as traffic:
                time.sleep(each)
            self.records += traffic.records

    def _apply(self, arm: Arm) -> int:
        """Put an arm in force; the number of its pin, 0 without one."""
        mode = Mode.APPLY if arm.policy == OURS else Mode.FREEZE
        self.client.set_mode(ENGINE, mode.value)
        if arm.speed is not None:
            self.client.set_knob(arm.speed)
        if (depth := fixed_depth(arm)) is not None:
            return self.client.pin(ENGINE, depth)
        self.client.set_policy(ENGINE, arm.policy)
        self.client.pin(ENGINE, None)
        return 0

    def _slice(self, arm: Arm) -> Floats:
        """What an arm did in its turn."""
        pin = self._apply(arm)
        seen = max(len(self.heard) - 8, 0)
        start = time.time()
        time.sleep(self.options.slice_seconds)
        while True:
            end = time.time()
            found = [t for t in self.heard[seen:] if self._belongs(t, pin, start, end)][_SETTLE:]
            if len(found) >= _LEAST or end > start + self.options.slice_seconds + _PATIENCE:
                return total(found, self.prices)
            time.sleep(0.05)

    def _belongs(self, transition: Transition, pin: int, start: float, end: float) -> bool:
        return transition.decision.pin == pin and start <= transition.decision.at < end

    def _traffic(self, phase: Phase) -> RampedTraffic:
        self._traffics += 1
        return RampedTraffic(
            LoadSettings(
                url=self.session.engine.url,
                workload=phase.content_class,
                concurrency=phase.concurrency,
                max_tokens=self.options.max_tokens,
                seed=self.seed + self._traffics,
            ),
            ramp=_RAMP,
        )


def fixed_depth(arm: Arm) -> int | None:
    """The depth of an arm that has but one."""
    if arm.policy == "off":
        return 0
    name, _, option = arm.policy.partition("?depth=")
    return int(option) if name == "fixed" else None


def total(transitions: Sequence[Transition], prices: Prices) -> Floats:
    """Sums over intervals, shape (len(SUMS),)."""
    rows = [outcome_row(t.decision.applied, t.outcome) for t in transitions]
    values: Floats = sums(np.reshape(rows, (-1, ROW_SIZE)), prices).sum(0)
    return values
