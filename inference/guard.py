"""The first guard: an engine governed is not worse than one at its static depth, or it is that one.

It lives in the engine, so that it stands with the controller dead, slow or lying. A small share of
decisions, drawn at random, is taken at the static depth: the reference arm. A sequential test
compares what both arms measured. When the governed arm is worse beyond noise the guard falls back
to the best static depth, says why, and tries again after a dwell, with fresh evidence.

**What is compared.** Per interval, loss x and tokens y (``losses``), per request. With theta the
governed arm's recent ratio of sums, and each arm's terms over its own mean tokens,

    gain = (x - theta y) / (theta mean_y)          x odds,  for an interval of the governed arm
    gain = -((1 + tolerance) x - theta y) / (...)           for one of the reference arm,

has a mean of chance(reference) x (J_governed - (1 + tolerance) J_reference) / theta whatever theta
is. So the evidence grows only where the governed arm's J exceeds the reference's by more than the
tolerance. ``odds`` is chance(reference) / chance(governed), known at the decision. What the policy
explores is left out of the comparison: that has a budget of its own.

**Propensities.** The logged propensity is that of the depth applied under the mixture:
share x [depth = static] + (1 - share) x P(depth) by the policy. The share grows with the evidence
(a suspicion is settled soon), and after a fallback it begins at a half; it is always known before
the draw, so propensities stay true.
"""

from __future__ import annotations

import logging
from math import isfinite
from random import Random
from typing import Final

from ..policies.prices import Prices
from ..policies.transition import Decision, Outcome, Reason
from .guard_state import GuardSettings, GuardState, Stake
from .losses import OffTimes, yardstick
from .sequential import CLIP, RatioSums, SequentialTest, compare

log = logging.getLogger("flyball")

_FIRST: Final = 8  # governed intervals before the first bet; they say what theta is
_FIRST_REFERENCE: Final = 2
_RAMP: Final = 128  # decisions after a fallback over which the governed arm's share grows
_EARLY: Final = 200  # decisions with the larger budget for exploration
_MEMORY: Final = 0.98  # of the share explored, and of theta, per interval
_LONG: Final = 0.999  # of what is told to people and of the depths, per interval
_SURE: Final = 3.0  # standard errors by which another depth must beat the static one
_SETTLED: Final = 0.25  # of the share, while the governed arm is surely better
_ENOUGH: Final = 30.0  # intervals at a depth before it is a candidate
_UNWATCHED: Final = 0  # number of no watch: they count from 1


class Guard:
    """Watches one engine. Everything takes the same time whatever was seen, and no I/O.

    Args:
        static_depth: of the reference arm, tokens.
        k_max: greatest depth.
        settings: options.
    """

    def __init__(
        self, static_depth: int, k_max: int, settings: GuardSettings | None = None
    ) -> None:
        self.settings = settings or GuardSettings()
        self.static_depth = static_depth
        self.depth = static_depth  # of a fallback
        self.falls = 0
        self.reason = ""
        self._until: float | None = None  # end of the fallback
        self._since: float | None = None  # begin of the watch
        self._relapses = 0
        self._explored = 0.0
        self._decisions = 0
        self._off = OffTimes()
        self._depths = [RatioSums(_LONG) for _ in range(k_max + 1)]
        self._reference = RatioSums(_MEMORY)
        self._odds = 0.0
        self._watch = 0
        self._begin(None)

    # Deciding.

    def held(self, now: float) -> int | None:
        """The depth of the fallback, while there is one. ``now`` in seconds, monotonic."""
        if self._until is None:
            if self._since is None:
                self._since = now
            return None
        if now < self._until:
            return self.depth
        log.info("guard: governed again, at a share that grows over %d decisions", _RAMP)
        self._until = None
        self._begin(now)
        return None

    def may_explore(self) -> bool:
        """Whether there is anything left of the budget for exploration."""
        settings = self.settings
        budget = settings.explore_early if self._decisions < _EARLY else settings.explore
        rate = self._rate()
        return rate + (1.0 - rate) * self._explored <= budget

    def mix(
        self,
        choice: tuple[int, float, Reason],
        epsilon: float,
        static: float,
        rng: Random,
    ) -> tuple[int, float, Reason]:
        """The policy's choice, or the reference arm's.

        Args:
            choice: the policy's depth, its propensity and the reason.
            epsilon: chance with which this decision was an explored one.
            static: chance with which the policy would have taken the static depth.
            rng: of the draw.

        Returns:
            The depth to apply, its propensity under the mixture, and the reason.
        """
        share = self._share(epsilon)
        # Explored decisions are in neither arm, so the governed one has the rest.
        governed = (1.0 - share) * (1.0 - epsilon)
        self._odds = share / governed if governed > 0.0 else 0.0
        self._watched += 1
        action, propensity, reason = choice
        if rng.random() < share:
            propensity, action, reason = static, self.static_depth, Reason.REFERENCE
        explored = 1.0 if reason is Reason.EXPLORE else 0.0
        self._explored += self._rate() * (explored - self._explored)
        self._decisions += 1
        own = share if action == self.static_depth else 0.0
        return action, min(own + (1.0 - share) * propensity, 1.0), reason

    def stake(self, batch: float, speed: float, prices: Prices, compared: bool = True) -> Stake:
        """To be kept with a decision until its outcome comes: straight after ``mix``.

        Args:
            batch: requests.
            speed: of the decision, in [0, 1].
            prices: what things cost.
            compared: whether it was drawn by ``mix``: without a reference arm beside it, what
                decided says nothing for or against the policy.
        """
        off = self._off.seconds(batch)
        measure = None if off is None else yardstick(off, batch, speed, prices)
        return Stake(self._watch if compared else _UNWATCHED, batch, measure, self._odds)

    # Judging.

    def settle(self, stake: Stake, decision: Decision, outcome: Outcome, now: float) -> None:
        """An interval's outcome.

        Args:
            stake: what ``stake`` gave when it was decided.
            decision: its decision.
            outcome: what came of it.
            now: seconds, monotonic.
        """
        if stake.measure is not None and outcome.emitted:
            x, y = stake.measure.measure(outcome)
            if isfinite(x):
                self._add(stake, decision, x, y)
                if self._until is None and self._test.alarm:
                    self._fall(now, decision.speed)
        # Last, so that an interval is never measured by a scale that it had a part in.
        self._off.add(stake.batch, decision.applied, outcome.seconds / outcome.steps)
        if self._since is not None and now - self._since > self.settings.longest:
            self._relapses = 0

    def state(self, governing: bool, now: float) -> GuardState:
        """For people; may be called from any thread.

        Args:
            governing: whether a policy decides and the guard may act.
            now: seconds, monotonic.
        """
        until = self._until
        state = "watching" if until is None else "fallen back"
        ratio, low, high = compare(self._governing, self._referring) or (None, None, None)
        return GuardState(
            state=state if governing else "off",
            reason=self.reason,
            falls=self.falls,
            seconds_left=max(until - now, 0.0) if until is not None else 0.0,
            ratio=ratio,
            low=low,
            high=high,
            evidence=self._test.wealth,
            explored=self._explored,
        )

    def _begin(self, now: float | None) -> None:
        """Watch with fresh evidence."""
        self._watch += 1
        self._since = now
        self._watched = 0
        self._test = SequentialTest(self.settings.level)
        self._governed = RatioSums(_MEMORY)  # the recent past: theta
        self._governing, self._referring = RatioSums(_LONG), RatioSums(_LONG)

    def _rate(self) -> float:
        """Weight of the next decision in the share explored: a plain mean at first."""
        return max(1.0 - _MEMORY, 1.0 / (self._decisions + 1))

    def _share(self, epsilon: float) -> float:
        """Chance of the reference arm at this decision."""
        share = self.settings.share
        found = compare(self._governing, self._referring)
        if found is not None and found[2] < 1.0 - self.settings.tolerance:
            share *= _SETTLED  # the governed arm is surely better: the reference costs
        raised = share * max(1.0, 2.0 * self._test.wealth)
        if self.falls and self._watched < _RAMP:
            raised = max(raised, share + (0.5 - share) * (1.0 - self._watched / _RAMP))
        # No more than governed decisions, or a bet on one of those could lose everything.
        return min(raised, (1.0 - epsilon) / (2.0 - epsilon))

    def _add(self, stake: Stake, decision: Decision, x: float, y: float) -> None:
        measured, x = x, self._winsorised(x, y)
        for depth, sums in enumerate(self._depths):
            if depth == decision.applied:
                sums.add(x, y)
            else:
                sums.fade()
        governed = decision.reason is Reason.POLICY
        if decision.applied == self.static_depth and decision.reason in _REFERRING:
            self._reference.add(x, y)
        if stake.watch != self._watch or not (governed or decision.reason is Reason.REFERENCE):
            return
        if self._governed.total >= _FIRST and self._reference.total >= _FIRST_REFERENCE:
            self._test.add(self._gain(governed, stake.odds, measured, y))
        mine, other = self._governing, self._referring
        if governed:
            self._governed.add(x, y)
        else:
            mine, other = other, mine
        mine.add(x, y)
        other.fade()

    def _gain(self, governed: bool, odds: float, x: float, y: float) -> float:
        """Of the bet that the governed arm is worse; in [-CLIP, CLIP]."""
        theta = self._governed.ratio
        if governed:
            return odds * _clip((x / theta - y) / self._governed.mean_y)
        tolerated = (1.0 + self.settings.tolerance) * x
        return -_clip((tolerated / theta - y) / self._reference.mean_y)

    def _winsorised(self, x: float, y: float) -> float:
        """A loss as far from the recent ones as the test takes it for, at most."""
        governed = self._governed
        if governed.total < _FIRST:
            return x
        theta, far = governed.ratio, CLIP * governed.mean_y
        return min(max(x, theta * (y - far)), theta * (y + far))

    def _fall(self, now: float, speed: float) -> None:
        settings = self.settings
        dwell = min(settings.dwell * 2.0**self._relapses, settings.longest)
        self._relapses = min(self._relapses + 1, 64)
        self.falls += 1
        self.depth = self._best()
        self._until, self._since = now + dwell, None
        found = compare(self._governing, self._referring)
        told = "{:.3f} [{:.3f}, {:.3f}]".format(*found) if found else "more than once"
        self.reason = (
            f"at speed {speed:g} the policy's J was {told} times that of depth "
            f"{self.static_depth}, over {self._governing.total} intervals against "
            f"{self._referring.total} (e-value {self._test.wealth:.0f}, limit {self._test.bar:.0f})"
        )
        log.warning("guard: fallen back to depth %d for %.0f s: %s", self.depth, dwell, self.reason)

    def _best(self) -> int:
        """The static depth, unless another was surely better over all that was applied.

        Which depth ran when was the policy's choice, not chance, so the sums of two depths come
        from unlike moments: hence three standard errors on both sides.
        """
        static = self._depths[self.static_depth]
        best, bound = self.static_depth, static.ratio - _SURE * static.error
        for depth, sums in enumerate(self._depths):
            high = sums.ratio + _SURE * sums.error
            if sums.count >= _ENOUGH and high < bound:
                best, bound = depth, high
        return best


def _clip(value: float) -> float:
    return -CLIP if value < -CLIP else CLIP if value > CLIP else value


_REFERRING: Final = (Reason.REFERENCE, Reason.GUARD, Reason.STATIC)
