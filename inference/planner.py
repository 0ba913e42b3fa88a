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

from ..policies.admission import admission, first_due, is_patient, prompt_tokens
from ..policies.allocation import allocate, costs, outlook
from ..policies.slack import GIVEN_UP, TERMS, TTFT, slack
from ..policies.step_time import FEATURES
from ..policies.structure import Structure
from ..policies.survival import SurvivalEstimator
from ..policies.transition import Floats
from .drafter_records import DrafterRecords
from .drafters.catalogue import DRAFT
from .flight import Flight
from .live_policy import LivePolicy
from .plan import Plan, Step
from .requests import RequestState

LENGTH: Final = 128.0
"""Tokens that a request is expected to emit before any has ended."""

_EVERY: Final = 0.05  # seconds after which a queue that did not change is ordered anew
_REST: Final = 50.0  # times as long as ordering took until it is done again
_MOVE: Final = 0.05  # weight of one ended request's length in their moving average
_SPEED_MOVE: Final = 0.1  # the same of one step in the speed of prompts
_STEP_MOVE: Final = 0.1  # the same of one step's seconds
_AHEAD: Final = 2.0  # steps until what is planned now has come: one may be in the air
_LONGEST: Final = 1.0  # second that a step is taken to last at most
_REQUESTS: Final = FEATURES.index("requests")
_DEPTH: Final = FEATURES.index("depth")
_DRAFTED: Final = FEATURES.index("drafted")
_PREFILL: Final = FEATURES.index("prefill")
_CONTEXT: Final = FEATURES.index("context")


class Planner:
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
        order = self._order(step, structure, now) if self.hurried else None
        states = step.decoding
        if not states or not (cut or self.hurried):
            return Plan(depth, order=order)
        pace, credit = self._slack(states, now)
        lengths = np.empty(len(states), np.int64)
        survival, hope = self._outlook(states)
        deeper, self._rate, seconds, limit = allocate(
            survival,
            hope,
            np.array(step.drafted, np.int64),
            np.array([speed if s.speed is None else s.speed for s in states]),
            pace,
            credit,
            *self._costs(states, structure, context),
            _prices(structure),
            depth,
            self._rate,
            lengths,
        )
        if self._records is not None:
            # The others end their drafts themselves where they are not worth it any more; of those
            # that are there, a position is likelier accepted than of those that they may make.
            others = [state.drafter not in ("", DRAFT) for state in states]
            lengths = np.where(others, step.drafted, lengths)
        tokens = None
        if limit < math.inf:
            per_token = max(float(structure.coefficients[_PREFILL]), _INSTANT)
            tokens = prompt_tokens(limit, seconds, per_token, self._pressure, _ANY)
        if not cut:
            return Plan(depth, None, tokens, order)
        return Plan(deeper, lengths.tolist(), tokens, order)

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
        n = len(states)
        speeds = np.array([speed if s.speed is None else s.speed for s in states])
        seconds = _seconds(structure.coefficients.tolist(), n, context)
        prices = _prices(structure)
        mean = float(speeds.mean())
        position, dollars, _ = costs(n, mean, seconds, structure.factors(n), prices, depth)
        return self._rate * (position + (1.0 - speeds) * dollars)

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
        seconds = _seconds(structure.coefficients.tolist(), len(states), context)
        factors = structure.factors(len(states))
        return policy.verify(self._outlook(states)[0], depth, seconds, factors)

    def _outlook(self, states: Sequence[RequestState]) -> Floats:
        """Survival and hope of each, shape (2, n, MAX_DEPTH)."""
        if self._records is not None:
            return self._records.outlook(states)
        for state in states:
            if not state.tried:
                state.read(self._estimator)
        slots = np.array([s.slot for s in states], np.int64)
        return outlook(self._estimator.tables, slots, np.array([s.frailty for s in states]))

    def _costs(
        self, states: Sequence[RequestState], structure: Structure, context: float
    ) -> tuple[Floats, Floats]:
        """Seconds and factors as ``allocate`` takes them; a model that drafts for none is free."""
        seconds = _seconds(structure.coefficients.tolist(), len(states), context)
        factors = structure.factors(len(states))
        if self._records is not None and all(s.drafter not in ("", DRAFT) for s in states):
            seconds[1] = 0.0
            factors = np.full_like(factors, factors[0])
        return seconds, factors

    def _slack(self, states: Sequence[RequestState], now: float) -> tuple[Floats, Floats]:
        """Pace and credit of each; notes which objectives are given up."""
        n = len(states)
        pace, credit = np.full(n, math.inf), np.zeros(n)
        self.slack = 0.0
        if not self.hurried:
            return pace, credit
        missed = np.zeros(n, np.int64)
        terms = np.array([x for s in states for x in (*s.promised, s.first, s.emitted)])
        slack(terms.reshape(n, -1), max(self._length, 1.0), now, pace, credit, missed)
        if self._given_up or missed.any():
            for state, code in zip(states, missed.tolist(), strict=True):
                state.missed = GIVEN_UP[code]
            self._given_up = bool(missed.any())
        bound = pace < math.inf
        if bound.any():
            self.slack = float(credit[bound].mean())
        return pace, credit

    def _order(self, step: Step, structure: Structure, now: float) -> list[int] | None:
        """The order of those that wait; None where it is right already."""
        if now < self._rested:
            return None
        waiting = list(step.waiting)
        unchanged = waiting == self._waiting and now - self._ordered < _EVERY
        self._count_admissions(waiting, now)
        if not waiting and not step.prefilling:
            self._pressure = 0.0
            return None
        if unchanged:
            return None
        self._ordered = now
        places = self._places(waiting, step, structure, now)
        self._waiting = [waiting[i] for i in places]
        self._rested = now + _REST * (time.perf_counter() - now)
        return None if places == list(range(len(waiting))) else places

    def _places(
        self, waiting: list[RequestState], step: Step, structure: Structure, now: float
    ) -> list[int]:
        """Indices of those that wait, whoever is to be admitted first in front."""
        # Who was preempted has had its first token, and goes on before others begin.
        places = [i for i, state in enumerate(waiting) if state.emitted]
        fresh = [i for i, state in enumerate(waiting) if not state.emitted]
        due = [first_due(s.arrived, s.slo.ttft, now) for s in step.prefilling]
        prompts, order = step.prompts, np.empty(len(fresh), np.int64)
        self._pressure = admission(
            np.array([waiting[i].arrived for i in fresh]),
            np.array([waiting[i].slo.ttft for i in fresh]),
            np.array([prompts[i] for i in fresh], np.float64),
            float(sum(step.left)),
            min(due, default=math.inf),
            self._prompt_speed,
            max(float(structure.coefficients[_PREFILL]), _INSTANT),
            self._since,
            _AHEAD * self._step,
            now,
            order,
        )
        for state in (waiting[i] for i in fresh):
            if now - state.arrived > state.slo.ttft:
                state.missed = GIVEN_UP[TTFT]
        return places + [fresh[i] for i in order.tolist()]

    def _count_admissions(self, waiting: list[RequestState], now: float) -> None:
        """Follow who was admitted since the last order: from the front, those that are gone."""
        left = {id(state) for state in waiting}
        for state in self._waiting:
            if id(state) in left:
                break
            self._since = 0 if is_patient(state.arrived, now) else self._since + 1
        self._waiting = [state for state in self._waiting if id(state) in left]

    def _warm_up(self) -> None:
        """Compile now what is compiled, not while requests wait."""
        one, ones = np.ones(1), np.ones(1, np.int64)
        slack(np.ones((1, len(TERMS))), 1.0, 0.0, one, one, ones)
        admission(one, one, one, 0.0, 1.0, 1.0, 1.0, 0, 0.0, 0.0, ones)
        prompt_tokens(1.0, 1.0, 1.0, 0.0, _ANY)
        survival, hope = outlook(self._estimator.tables, ones, one)
        factors, three = np.ones(2), np.ones(3)
        allocate(survival, hope, ones, one, one, one, three, factors, three, 1, 1.0, ones)


def _seconds(coefficients: list[float], batch: int, context: float) -> Floats:
    """Of a step without drafts, per pass of the drafter, per position verified."""
    c = coefficients
    base = c[0] + batch * (c[_REQUESTS] + c[_CONTEXT] * context)
    return np.array((base, c[_DEPTH], c[_DRAFTED]))


def _prices(structure: Structure) -> Floats:
    """Per position verified, per position drafted, per second."""
    prices = structure.prices
    return np.array((prices.verified, prices.drafted, prices.second))


_ANY: Final = 2**31  # prompt tokens: the engine holds to its own bound itself
_INSTANT: Final = 1e-9  # seconds per prompt token that is divided by
