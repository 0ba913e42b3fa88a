"""The arms of ``flyball bench depth`` on a live engine: in turn, on the very same requests.

One engine serves phases of traffic, in shuffled order and several rounds. In every visit to a
phase the arms take turns, shuffled too. In each turn as many clients ask for the same prompts in
the same order as in the others': at temperature 0 speculation changes no output, so that arms
differ in what they make of the same text, not in their luck with it (common random numbers). What
a shared machine does otherwise meanwhile falls on all of them by chance.

Every policy decides in mode apply, so all that learn do. None learns from the turns of others:
those of ours are all that the learner is told. Before anything is compared, every policy that
learns has had the same time to; between their turns a fixed depth has its own, to which the
beginnings of ours are held (see ``beginning``).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import numpy as np

from ...inference.load import LoadSettings, prompt_stream
from ...inference.models.prompts import Prompt
from ...inference.reports import Mode
from ...policies.catalogue.registry import make_policy
from ...policies.policy import Policy
from ...policies.prices import Prices, compute_prices
from ...policies.spaces import DEPTH_SPACE
from ...policies.step_time import PRIOR
from ...policies.structure import Structure
from ...policies.transition import ROW_SIZE, Floats, Transition, outcome_row
from ..arms import PHASES, Phase
from ..ramped import RampedTraffic
from ..session import ENGINE, Session
from ..switch import Switch, depth_of
from ..turns import decided_by, take_turn
from .figures import OURS
from .record import Record, Turned, Visit
from .tally import Arm, sums

Progress = Callable[[str], None]

_RAMP: Final = 0.25  # seconds until a turn's clients ask
_LEAST: Final = 3  # intervals that a turn should hold
_PROMPTS: Final = 16  # for each client and turn: more than it has time for
_BATCH: Final = DEPTH_SPACE.index("batch")
_FULL: Final = (0.75, 1.25)  # of the clients: batches that are a phase's, neither ramp nor rest


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How the time on a live engine is spent."""

    rounds: int = 4
    """visits to every phase, those of earlier sittings among them"""
    slice_seconds: float = 1.0
    """of engine steps per arm and visit"""
    cold_seconds: float = 120.0
    """that every policy that learns decides from a cold start before anything is compared"""
    max_tokens: int = 128
    """per request"""


class LiveRun:
    """One sitting: arms on a live engine, from a cold start.

    Args:
        running: engine and controller.
        record: of what was measured before; it is added to.
        options: how the time is spent.
        progress: is told what happens.
        save: is called whenever there is more to keep.
        phases: of the traffic.
    """

    def __init__(
        self,
        running: Session,
        record: Record,
        options: LiveOptions,
        progress: Progress = print,
        save: Callable[[], None] = lambda: None,
        phases: Sequence[Phase] = PHASES,
    ) -> None:
        self.session, self.client = running, running.client
        self.heard = running.listener.transitions
        self.record, self.arms = record, record.arms
        self.options, self.progress, self.save = options, progress, save
        self.phases = {phase.name: phase for phase in phases}
        self.sitting = record.sittings
        self.rng = Random(record.seed + len(record.visits))
        self.served = 0.0
        (engine,) = (e for e in self.client.status()["engines"] if e["engine"] == ENGINE)
        self.prices: Prices = compute_prices(engine["parameter_ratio"])
        self.switch = Switch(running)

    def run(self) -> None:
        """Serve from cold, then every phase that is left of every round."""
        self.record.sittings += 1
        self.save()
        self.client.set_mode(ENGINE, Mode.APPLY.value)
        beginners = cold_arms(self.arms, self.record.setup.k_max)
        number = 0
        while self.served < self.options.cold_seconds:
            for phase in self._shuffled(list(self.phases)):
                shown = f"{self.served:.0f} of {self.options.cold_seconds:.0f} s"
                self.progress(f"cold start, {shown}: {phase}")
                self._visit(number, phase, beginners, cold=True)
            number += 1
        for number in range(self.options.rounds):
            for phase in self._shuffled(self.record.left(number)):
                self.progress(f"round {number + 1} of {self.options.rounds}: {phase}")
                self._visit(number, phase, self.arms, cold=False)

    def _shuffled(self, phases: list[str]) -> list[str]:
        return self.rng.sample(phases, len(phases))

    def _visit(self, number: int, name: str, arms: Sequence[Arm], *, cold: bool) -> None:
        """One phase, some arms in turn, on the same requests."""
        phase, before = self.phases[name], self.served
        settings = LoadSettings(
            url=self.session.engine.url,
            workload=phase.content_class,
            concurrency=phase.concurrency,
            max_tokens=self.options.max_tokens,
            seed=self.record.seed + 1 + len(self.record.visits),
        )
        source = prompt_stream(settings.workload, settings.seed)
        prompts = list(itertools.islice(source, _PROMPTS * phase.concurrency))
        order = self.rng.sample(arms, len(arms))
        turned = [self._turn(arm, settings, prompts) for arm in order]
        self.record.visits.append(Visit(self.sitting, number, name, cold, before, turned))
        self.save()

    def _turn(self, arm: Arm, settings: LoadSettings, prompts: Sequence[Prompt]) -> Turned:
        """One arm on some prompts. It is in force before they are asked for."""
        belongs = in_phase(
            decided_by(self.switch.to(arm.policy, arm.speed), arm.speed), settings.concurrency
        )
        start, busy = time.time(), self.options.slice_seconds
        with RampedTraffic(settings, ramp=_RAMP, source=iter(prompts)) as traffic:
            turn = take_turn(self.heard, belongs, busy, least=_LEAST, busy=busy)
        seconds = turn.end - start
        self.switch.over(turn.end)
        if arm.policy == OURS:
            self.served += seconds
        self.record.requests += len(traffic.records)
        self.record.failed += sum(record.error is not None for record in traffic.records)
        values = total(turn.intervals(), self.prices)
        return Turned(self.arms.index(arm), seconds, tuple(values.tolist()))


def cold_arms(arms: Sequence[Arm], k_max: int) -> list[Arm]:
    """Who takes turns in a cold start.

    That is ours at its greatest speed, every other policy that learns, and the shallowest fixed
    depth above 0, to which ours is held.
    """
    ours = max(arm for arm in arms if arm.policy == OURS)
    fixed = min((a for a in arms if fixed_depth(a)), key=lambda a: fixed_depth(a) or 0)
    return [ours, fixed, *(a for a in arms if a.policy != OURS and learns(a.policy, k_max))]


def learns(policy: str, k_max: int) -> bool:
    """Whether a policy of the catalogue takes in what came of its decisions."""
    made = make_policy(policy, Structure(k_max, PRIOR, compute_prices(1.0)))
    return type(made).learn is not Policy.learn


def fixed_depth(arm: Arm) -> int | None:
    """The depth of an arm that has but one."""
    return depth_of(arm.policy)


def in_phase(belongs: Callable[[Transition], bool], clients: int) -> Callable[[Transition], bool]:
    """Of what belongs to an arm, what was decided while about as many requests ran as clients."""
    least, most = _FULL[0] * clients, _FULL[1] * clients

    def full(transition: Transition) -> bool:
        return belongs(transition) and least <= transition.decision.vector()[_BATCH] <= most

    return full


def total(transitions: Sequence[Transition], prices: Prices) -> Floats:
    """Sums over intervals, shape (len(SUMS),)."""
    rows = [outcome_row(t.decision.applied, t.outcome) for t in transitions]
    values: Floats = sums(np.reshape(rows, (-1, ROW_SIZE)), prices).sum(0)
    return values
