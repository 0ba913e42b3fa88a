"""The arms of ``flyball bench drafters`` on one live engine: in turn, on the very same requests.

One engine offers all drafters. In every visit to a phase the arms take turns, shuffled: requests
ask for the arm's drafter, and the depth is pinned, but for the learned choice, which is left both.
Every arm is a tenant of its own: what the suffix memory knows in its turn is from the arm's own
turns, and of the texts of a visit nothing was seen before. Two phases are not alike: content
classes, whose prompts have nothing to do with each other, and agents' sessions, in which tasks come
again; before these are compared, arms whose drafters remember have served as many others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

import msgspec

from ...inference.asking import RequestRecord
from ...inference.drafters.catalogue import HYBRID, SUFFIX
from ...inference.load import LoadSettings, prompt_stream
from ...inference.models.prompts import Prompt
from ...inference.reports import LEARNED, Mode
from ...policies.transition import Transition
from ..arms import Phase
from ..depth.live import in_phase
from ..ramped import RampedTraffic
from ..session import ENGINE, Session
from ..switch import Switch
from ..turns import Turn, decided_by, take_turn
from . import traffic
from .agents import run_sessions
from .arms import LEARNED_ARM, SESSIONS, Arm, arms, session_arms
from .options import DraftersOptions
from .record import Record, Turned, Visit
from .traffic import Request

Progress = Callable[[str], None]

SPEED: Final = 1.0
"""The knob: what is compared are seconds."""

_RAMP: Final = 0.25  # seconds until a turn's clients ask
_LEAST: Final = 3  # intervals that a turn should hold
_PROMPTS: Final = 16  # for each client and turn: more than it has time for
_TOKENS: Final = 128  # per request
_SLICE: Final = 1.0  # seconds of engine steps per arm and visit
_CLIENTS: Final = 4  # sessions under way
_BLOCK: Final = 6  # sessions of a visit
_WARM: Final = 60  # sessions before the first that are compared
_WARM_CLIENTS: Final = 16
_LATE: Final = 1.0  # seconds in which the last outcomes come


class LiveRun:
    """One sitting on an engine that is up.

    Args:
        running: engine and controller.
        record: of what was measured before; it is added to.
        options: how much.
        progress: is told what happens.
        save: is called whenever there is more to keep.
    """

    def __init__(
        self,
        running: Session,
        record: Record,
        options: DraftersOptions,
        progress: Progress = print,
        save: Callable[[], None] = lambda: None,
    ) -> None:
        self.session, self.record, self.options = running, record, options
        self.progress, self.save = progress, save
        self.heard = running.listener.transitions
        self.arms = arms(options.k_max, options.quick)
        self.session_arms = session_arms(options.k_max, options.quick)
        self.phases = {phase.name: phase for phase in options.phases}
        self.rng = Random(options.seed + len(record.visits))
        self.switch = Switch(running)
        self._sessions: list[list[Request]] = []

    def run(self) -> None:
        """Let the learned choice learn, then visit every phase that is left of every round."""
        self.session.client.set_mode(ENGINE, Mode.APPLY.value)
        self.session.client.set_knob(SPEED)
        self._learn()
        for number in range(self.options.sized_rounds):
            left = self.record.left(number)
            for name in self.rng.sample(left, len(left)):
                self.progress(f"round {number + 1} of {self.options.sized_rounds}: {name}")
                turns = self._blocks(number) if name == SESSIONS else self._visit(self.phases[name])
                self.record.visits.append(Visit(number, name, turns))
                self.save()
        beat = self.session.listener.beat
        if beat is not None:
            self.record.states = msgspec.to_builtins(beat.drafters)
            self.save()

    def _learn(self) -> None:
        """Serve every phase in turn for some seconds."""
        served, number = 0.0, 0
        phases = list(self.phases.values())
        while served < self.options.sized_cold:
            phase = phases[number % len(phases)]
            self.progress(f"{served:.0f} s learned; {phase.name}")
            settings, prompts = self._traffic(phase, -1 - number)
            served += self._turn(LEARNED_ARM, settings, prompts).seconds
            number += 1

    def _visit(self, phase: Phase) -> list[Turned]:
        """A content class, all arms in turn, on the same prompts."""
        settings, prompts = self._traffic(phase, len(self.record.visits))
        order = self.rng.sample(self.arms, len(self.arms))
        return [self._turn(arm, settings, prompts) for arm in order]

    def _traffic(self, phase: Phase, number: int) -> tuple[LoadSettings, list[Prompt]]:
        settings = LoadSettings(
            url=self.session.engine.url,
            workload=phase.content_class,
            concurrency=phase.concurrency,
            max_tokens=_TOKENS,
            seed=1000 * self.options.seed + 500 + number,
        )
        source = prompt_stream(settings.workload, settings.seed)
        return settings, list(itertools.islice(source, _PROMPTS * phase.concurrency))

    def _turn(self, arm: Arm, settings: LoadSettings, prompts: Sequence[Prompt]) -> Turned:
        """One arm on some prompts. It is in force before they are asked for."""
        arguments: dict[str, str | float] = {"flyball_tenant": arm.name}
        if arm.drafter:
            arguments["flyball_drafter"] = arm.drafter
        settings.arguments.clear()
        settings.arguments.update(arguments)
        belongs = in_phase(self._in_force(arm), settings.concurrency)
        with RampedTraffic(settings, ramp=_RAMP, source=iter(prompts)) as running:
            turn = take_turn(self.heard, belongs, _SLICE, least=_LEAST, busy=_SLICE)
        self.switch.over(turn.end)
        return turned(arm, turn.intervals(), running.records)

    def _blocks(self, number: int) -> list[Turned]:
        """A block of sessions, all arms in turn."""
        if not self._sessions:
            self._sessions = list(self._made())
            self._remember()
        begin = _WARM + number * _BLOCK
        block = self._sessions[begin : begin + _BLOCK]
        order = self.rng.sample(self.session_arms, len(self.session_arms))
        return [self._block(arm, block, _CLIENTS) for arm in order]

    def _made(self) -> Iterator[list[Request]]:
        count = _WARM + self.options.sized_rounds * _BLOCK
        return traffic.sessions(self.options.seed, count, max(count // 3, 1))

    def _remember(self) -> None:
        """Let the arms that remember serve what came before."""
        for arm in self.session_arms:
            if arm.drafter in (SUFFIX, HYBRID, ""):
                self.progress(f"{_WARM} sessions before the first that counts: {arm.name}")
                self._block(arm, self._sessions[:_WARM], _WARM_CLIENTS)

    def _block(self, arm: Arm, block: Sequence[Sequence[Request]], clients: int) -> Turned:
        belongs = self._in_force(arm)
        first, start = len(self.heard), time.time()
        records = run_sessions(
            self.session.engine.url, block, clients, arm.drafter, f"sessions {arm.name}"
        )
        end = time.time()
        self.switch.over(end)
        time.sleep(_LATE)
        intervals = Turn(self.heard, max(first - 8, 0), belongs, start, end).intervals()
        return turned(arm, intervals, records)

    def _in_force(self, arm: Arm) -> Callable[[Transition], bool]:
        """Put an arm in force; what tells its decisions."""
        speed = SPEED if arm.policy == LEARNED else None
        return decided_by(self.switch.to(arm.policy, speed), speed)


def turned(arm: Arm, intervals: Sequence[Transition], records: Sequence[RequestRecord]) -> Turned:
    """Sums over an arm's turn."""
    outcomes = [t.outcome for t in intervals]
    return Turned(
        arm=arm.name,
        seconds=sum(o.seconds for o in outcomes),
        request_seconds=sum(o.request_seconds for o in outcomes),
        emitted=sum(o.emitted for o in outcomes),
        verified=sum(o.verified for o in outcomes),
        requests=len(records),
        failed=sum(record.error is not None for record in records),
    )
