"""Streams of intervals for a guard, from a truth that is known exactly."""

from __future__ import annotations

from random import Random

import numpy as np
from flyball.inference.guard import Guard
from flyball.inference.guard_state import GuardSettings
from flyball.policies.prices import Prices, compute_prices
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.transition import Decision, Outcome, Reason

PRICES = compute_prices(0.05)


class Stream:
    """A guard over a policy that takes one depth, on an engine whose load and content change.

    Args:
        depth: the policy's.
        factor: seconds of a step at the policy's depth, over the truth's at the static depth for
            as many tokens; 1 makes both arms equal.
        epsilon: share of decisions that the policy explores, at the static depth's worth.
        seed: of everything random.
    """

    STATIC = 2

    def __init__(
        self,
        depth: int = 4,
        factor: float = 1.0,
        epsilon: float = 0.0,
        seed: int = 0,
        settings: GuardSettings | None = None,
    ) -> None:
        self.guard = Guard(self.STATIC, 6, settings)
        self.depth, self.factor, self.epsilon = depth, factor, epsilon
        self.rng = np.random.default_rng(seed)
        self.random = Random(seed)
        self.now = 0.0
        self.number = 0
        self.decisions: list[Decision] = []
        self.batch, self.survives = 4, 0.6

    def run(self, intervals: int, speed: float = 1.0, prices: Prices = PRICES) -> int | None:
        """Run intervals until the guard falls back; after how many it did."""
        falls = self.guard.falls
        for i in range(intervals):
            self.step(speed, prices)
            if self.guard.falls > falls:
                return i + 1
        return None

    def step(self, speed: float = 1.0, prices: Prices = PRICES) -> Decision:
        """One interval: decide, run, settle."""
        if self.rng.random() < 0.02:
            self.batch = int(self.rng.integers(1, 9))
            self.survives = float(self.rng.uniform(0.3, 0.9))
        decision = self._decide(speed)
        stake = self.guard.stake(self.batch, speed, prices)
        outcome = self._outcome(decision.applied)
        self.now += outcome.seconds
        self.guard.settle(stake, decision, outcome, self.now)
        self.decisions.append(decision)
        return decision

    def _decide(self, speed: float) -> Decision:
        held = self.guard.held(self.now)
        choice = self._mixed() if held is None else (held, 1.0, Reason.GUARD)
        self.number += 1
        return Decision(
            number=self.number,
            at=self.now,
            observation=b"",
            action=choice[0],
            applied=choice[0],
            propensity=choice[1],
            version=1,
            speed=speed,
            reason=choice[2],
        )

    def _mixed(self) -> tuple[int, float, Reason]:
        epsilon = self.epsilon if self.guard.may_explore() else 0.0
        chances = [epsilon / 7 + (1 - epsilon) * (k == self.depth) for k in range(7)]
        action, reason = self.depth, Reason.POLICY
        if self.rng.random() < epsilon:
            action, reason = int(self.rng.integers(7)), Reason.EXPLORE
        choice = action, chances[action], reason
        return self.guard.mix(choice, epsilon, chances[self.STATIC], self.random)

    def _outcome(self, depth: int) -> Outcome:
        """As many seconds per token at every depth, but for the policy's: that times the factor."""
        requests = 8 * self.batch
        emitted = requests + int(self.rng.binomial(requests * depth, self.survives))
        expected = 8 * (1.0 + depth * self.survives)
        noise = max(self.rng.normal(1.0, 0.1), 0.2) * (10.0 if self.rng.random() < 0.002 else 1.0)
        worse = self.factor if depth == self.depth else 1.0
        seconds = 0.01 * (1.0 + 0.1 * self.batch) * expected * worse * noise
        return Outcome(
            seconds=seconds,
            steps=8,
            request_seconds=seconds * self.batch,
            request_steps=requests,
            emitted=emitted,
            drafted=requests * depth,
            verified=requests * (1 + depth),
            prefill=0,
            context=0,
            finished=0,
            checked=(requests,) * depth + (0,) * (MAX_DEPTH - depth),
            tried=(0,) * MAX_DEPTH,
            accepted=(0,) * MAX_DEPTH,
        )
