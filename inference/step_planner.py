"""Plans of engine steps: which drafts are verified, who is admitted, what prompts get.

The policy says how deep to draft, interval by interval. Within that, every step is planned for the
requests that are there: their own survival, speed and objectives. The rules are those of
``policies.allocation``, ``policies.slack`` and ``policies.admission``, compiled; here they get
what the engine knows. Nothing that was drafted is looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from ..policies.admission import WAITING, admission, first_due, first_within, is_patient
from ..policies.allocation import outlook
from ..policies.kept import kept_means
from ..policies.planning import (
    ROW,
    base_second,
    chances_of,
    divide,
    prompt_second,
    step_seconds,
    thresholds,
)
from ..policies.slack import DEADLINE, GIVEN_UP, TTFT
from ..policies.step_time import FEATURES
from ..policies.structure import Structure
from ..policies.survival import SurvivalEstimator
from ..policies.transition import Floats
from .drafter_records import DrafterRecords
from .drafters.catalogue import DRAFT, runs_model
from .flight import Flight
from .live_policy import LivePolicy
from .requests import RequestState
from .step_plan import Plan, Step

LENGTH: Final = 128.0
"""Tokens that a request is expected to emit before any has ended."""

_EVERY: Final = 0.05  # seconds after which a queue that did not change is ordered anew
_REST: Final = 50.0  # times as long as ordering took until it is done again
_MOVE: Final = 0.05  # weight of one ended request's length in their moving average
_SPEED_MOVE: Final = 0.1  # the same of one step in the speed of prompts
_STEP_MOVE: Final = 0.1  # the same of one step's seconds
_AHEAD: Final = 4.0  # steps until what is planned now has come, of the mean: one may be in the
# air, those with prompts that are in a hurry are long, and a token still has its way to the client
_LONGEST: Final = 1.0  # second that a step is taken to last at most
_OF_DRAFTS: Final = [FEATURES.index("depth"), FEATURES.index("drafted")]


class StepPlanner:
    """Plans one engine's steps.

    Args:
        estimator: of its drafter.
        records: of its drafters, where there are several.

    Attributes:
        hurried: whether any request ever had objectives: nobody is put before another until then.
        slack: mean seconds that requests with objectives have over, those below zero owed.
    """

    def __init__(self, estimator: SurvivalEstimator, records: DrafterRecords | None = None) -> None:
        self.hurried = False
        self.slack = 0.0
        self._estimator = estimator
        self._records = records
        self._given_up = False  # whether any objective was, at the last step
        self._rate = 1.0
        self._length = LENGTH
        self._prompt_speed = 0.0
        self._step = 0.0
        self._pressure = 0.0
        self._since = 0  # admissions since one that had waited for long
        self._waiting: list[RequestState] = []  # as ordered last
        self._ordered = self._rested = -math.inf
        self._ahead: tuple[int, int, dict[RequestState, int]] | None = None
        self._warm_up()

    def landed(self, flight: Flight, seconds: float) -> None:
        """A step took so long: learn how long they take, and how fast prompts run."""
        self._step += _STEP_MOVE * (min(seconds, _LONGEST) - self._step)
        if flight.prefill and seconds > 0.0:
            speed = flight.prefill / seconds
            moved = _SPEED_MOVE if self._prompt_speed else 1.0
            self._prompt_speed += moved * (speed - self._prompt_speed)

    def ended(self, tokens: int) -> None:
        """A request ended with so many tokens."""
        self._length += _MOVE * (tokens - self._length)

    def plan(
        self,
        depth: int,
        step: Step,
        structure: Structure,
        speed: float,
        context: float,
        cut: bool,
    ) -> Plan:
        """What the next step is to do.

        Args:
            depth: that the policy drafts to.
            step: the engine's queue.
            structure: step times and prices.
            speed: the knob.
            context: mean cached tokens of requests that decode.
            cut: whether drafts may be left unverified.
        """
        now = time.perf_counter()
        order = self._order(step, structure, context, now) if self.hurried else None
        states = step.decoding
        if not states or not (cut or self.hurried):
            return Plan(depth, order=order)
        deeper, lengths, tokens = self._divide(
            depth, states, step.drafted, structure, speed, context, now
        )
        if not cut:
            return Plan(depth, None, tokens, order)
        return Plan(deeper, lengths, tokens, order)

    def plan_ahead(self, depth: int, flight: Flight, structure: Structure, speed: float) -> None:
        """Plan the step after one that runs, while nobody has objectives.

        What comes of the step that runs will not have been learned from. Those that decode in it
        will decode again, or be gone. Of the others nothing is known: theirs is verified whole.

        Args:
            depth: that the policy drafts to in the step that is planned.
            flight: the step that runs.
            structure: step times and prices.
            speed: the knob.
        """
        states, drafted = [*flight.requests.values()], flight.depth
        if not states:
            self._ahead = depth, depth, {}
            return
        now, context = time.perf_counter(), flight.mean_context
        deeper, lengths, _ = self._divide(
            depth, states, [drafted] * len(states), structure, speed, context, now
        )
        cut = {s: k for s, k in zip(states, lengths, strict=True) if k < drafted}
        self._ahead = depth, deeper, cut

    def take(self, depth: int, step: Step) -> Plan | None:
        """The plan that was made ahead; None if there is none for a step of such a depth."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] != depth or self.hurried:
            return None
        _, deeper, cut = ahead
        if not cut:
            return Plan(deeper)
        pairs = zip(step.decoding, step.drafted, strict=True)
        return Plan(deeper, [cut.get(state, drafts) for state, drafts in pairs])

    def thresholds(
        self,
        states: Sequence[RequestState],
        structure: Structure,
        speed: float,
        depth: int,
        context: float,
    ) -> Floats:
        """Hope from which on positions of some requests are verified, shape (n,).

        Args:
            states: of the requests, at least one.
            structure: step times and prices.
            speed: the knob.
            depth: that is drafted.
            context: mean cached tokens of requests that decode.
        """
        return thresholds(
            np.array([speed if s.speed is None else s.speed for s in states]),
            structure.second_terms,
            context,
            structure.factors(len(states)),
            structure.price_terms,
            depth,
            self._rate,
        )

    def verified_by(self, policy: LivePolicy, step: Step, context: float) -> list[int] | None:
        """What a policy of the catalogue has verified of each request; None for all.

        Args:
            policy: that decides.
            step: the engine's queue.
            context: mean cached tokens of requests that decode.

        Raises:
            PolicyError: if it fails.
        """
        states = step.decoding
        depth = max(step.drafted, default=0)
        if not depth:
            return None
        structure = policy.structure
        seconds = step_seconds(structure.second_terms, len(states), context)
        factors = structure.factors(len(states))
        return policy.verify(self._outlook(states)[0], depth, seconds, factors)

    def _outlook(self, states: Sequence[RequestState]) -> Floats:
        """Survival and hope of each, shape (2, n, MAX_DEPTH)."""
        if self._records is not None:
            return self._records.outlook(states)
        self._read(states)
        slots = np.array([s.slot for s in states], np.int64)
        return outlook(self._estimator.tables, slots, np.array([s.frailty for s in states]))

    def _divide(
        self,
        depth: int,
        states: Sequence[RequestState],
        drafted: Sequence[int],
        structure: Structure,
        speed: float,
        context: float,
        now: float,
    ) -> tuple[int, list[int], int | None]:
        """The depth to draft, what is verified of each, and most prompt tokens."""
        coefficients, factors = structure.second_terms, structure.factors(len(states))
        # The others end their drafts themselves where they are not worth it any more; of those
        # that are there, a position is likelier accepted than of those that they may make.
        others: list[bool] = []
        if self._records is None:
            self._read(states)
            rows = _rows(states, drafted, speed)
            chances = chances_of(self._estimator.tables, rows)
        else:
            rows = _rows(states, drafted, speed)
            chances = self._records.outlook(states)
            others = [state.drafter not in ("", DRAFT) for state in states]
            if not any(runs_model(s.drafter or DRAFT) for s in states):
                coefficients = coefficients.copy()
                coefficients[_OF_DRAFTS] = 0.0
                factors = np.full_like(factors, factors[0])
        out = np.empty((2, len(states)), np.int64)
        deeper, self._rate, tokens, self.slack, given_up = divide(
            chances,
            rows,
            max(self._length, 1.0),
            now,
            coefficients,
            context,
            factors,
            structure.price_terms,
            depth,
            self._rate,
            self._pressure,
            out,
        )
        lengths, missed = out.tolist()
        if given_up or self._given_up:
            for state, code in zip(states, missed, strict=True):
                state.missed = GIVEN_UP[code]
            self._given_up = given_up
        if others:
            lengths = [d if o else k for d, o, k in zip(drafted, others, lengths, strict=True)]
        return deeper, lengths, tokens if tokens >= 0 else None

    def _read(self, states: Sequence[RequestState]) -> None:
        """Have those that are new know what is expected of their class."""
        for state in states:
            if not state.tried:
                state.read(self._estimator)

    def _order(
        self, step: Step, structure: Structure, context: float, now: float
    ) -> list[int] | None:
        """The order of those that wait; None where it is right already."""
        if now < self._rested:
            return None
        waiting = list(step.waiting)
        unchanged = waiting == self._waiting and now - self._ordered < _EVERY
        self._count_admissions(waiting, now)
        if not waiting and not step.prefilling:
            self._pressure, self._waiting = 0.0, []
            return None
        if unchanged:
            return None
        self._ordered = now
        places = self._places(waiting, step, structure, context, now)
        self._waiting = [waiting[i] for i in places]
        self._rested = now + _REST * (time.perf_counter() - now)
        return None if places == list(range(len(waiting))) else places

    def _places(
        self,
        waiting: list[RequestState],
        step: Step,
        structure: Structure,
        context: float,
        now: float,
    ) -> list[int]:
        """Indices of those that wait, whoever is to be admitted first in front."""
        second = base_second(structure.second_terms, len(step.decoding) or 1, context)
        decoding = second * max(self._length, 1.0)
        # Who was preempted has had its first token, and goes on before others begin.
        places, fresh = [], []
        flat: list[float] = []
        for i, (state, prompt) in enumerate(zip(waiting, step.prompts, strict=True)):
            if state.emitted:
                places.append(i)
                continue
            fresh.append(i)
            flat += (state.arrived, _within(state, decoding), prompt)
            if now - state.arrived > state.slo.ttft:
                state.missed = GIVEN_UP[TTFT]
            elif now - state.arrived > state.slo.deadline:
                state.missed = GIVEN_UP[DEADLINE]
        due = [first_due(s.arrived, _within(s, decoding), now) for s in step.prefilling]
        order = np.empty(len(fresh), np.int64)
        self._pressure = admission(
            np.array(flat, np.float64).reshape(-1, len(WAITING)),
            float(sum(step.left)),
            min(due, default=math.inf),
            self._prompt_speed,
            prompt_second(structure.second_terms),
            self._since,
            _AHEAD * self._step,
            now,
            order,
        )
        return places + [fresh[i] for i in order.tolist()]

    def _count_admissions(self, waiting: list[RequestState], now: float) -> None:
        """Follow who was admitted since the last order: from the front, those that are gone."""
        if waiting and self._waiting and waiting[0] is self._waiting[0]:
            return
        left = set(waiting)
        for state in self._waiting:
            if state in left:
                break
            self._since = 0 if is_patient(state.arrived, now) else self._since + 1

    def _warm_up(self) -> None:
        """Compile now what is compiled, not while requests wait."""
        one, ones = np.ones(1), np.ones(1, np.int64)
        prices, coefficients = np.ones(3), np.ones(len(FEATURES))
        out, rows = np.ones((2, 1), np.int64), np.ones((1, len(ROW)))
        first_due(0.0, first_within(1.0, 1.0, base_second(coefficients, 1, 1.0)), 0.0)
        admission(np.ones((1, len(WAITING))), 0.0, 1.0, 1.0, 1.0, 0, 0.0, 0.0, ones)
        outlook(self._estimator.tables, ones, one)
        chances = chances_of(self._estimator.tables, rows)
        prompt_second(coefficients)
        divide(chances, rows, 1.0, 1.0, coefficients, 1.0, np.ones(2), prices, 1, 1.0, 1.0, out)
        thresholds(one, coefficients, 1.0, np.ones(2), prices, 1, 1.0)
        step_seconds(coefficients, 1, 1.0)
        kept_means(chances, one)


def _within(state: RequestState, decoding: float) -> float:
    """Seconds in which a request's first token is to come, infinite without an objective."""
    slo = state.slo
    if slo.deadline == math.inf:
        return slo.ttft
    return first_within(slo.ttft, slo.deadline, decoding)


def _rows(states: Sequence[RequestState], drafted: Sequence[int], speed: float) -> Floats:
    """What a plan is made of, shape (n, len(ROW))."""
    flat: list[float] = []
    for s, drafts in zip(states, drafted, strict=True):
        flat += s.promised
        own = speed if s.speed is None else s.speed
        flat += (s.first, s.emitted, drafts, own, s.slot, s.frailty)
    return np.array(flat, np.float64).reshape(-1, len(ROW))
