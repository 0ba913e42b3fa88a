"""What a snapshot would have been worth on the decisions that were logged.

The value is -(speed x latency + (1 - speed) x cost), at the speeds of the decisions or at one of
now, as a ratio of sums: of losses over tokens, not the mean of ratios, which would favour what is
short. Numerator and denominator are both estimated doubly robust, with the snapshot's structure
as the model of both: it knows tokens and components of every depth before anything is learned.
For comparison there are the numerator by inverse propensities alone, and both by them.

An estimate is per decision: it takes states as they came, and not as they would have come had the
snapshot decided all along. Held against snapshots that do decide in the simulator (gpu-7b, speed
0.7, 1,000 decisions, 48 runs; ``tests/test_off_policy_simulated.py``):

- As many requests at any time, long and of one kind: little follows from a depth. The doubly
  robust value is off by less than 0.001 where the snapshot goes where the log often went, and by
  0.009 of 1.06 at a depth tried in 2 % of decisions; 95 % intervals hold in 88 to 94 % of runs
  (IPS 96 to 100 %, SNIPS 85 to 90 %), at half-widths of 0.008 and, where hardly tried, 0.05 (IPS
  0.014 to 0.67). The gain of a better snapshot, 0.0162, is found as 0.0160 +- 0.0010.
- Three kinds of requests: a deep policy is sooner done with the easy ones, so those that it runs
  are harder than the log's. A gain of 0.020 is found as 0.017; a loss of 0.294 (depth 6 for all) as
  0.180, and the interval does not say so.
- Requests that come at a rate, near what the engine can take: depth also changes how many run at
  once. A gain of 0.027 is found as 0.025, losses of 0.182 and 0.516 as 0.242 and 0.346. Time spent
  waiting is in none of these values.

So signs were right wherever a difference was clear, and sizes right to a tenth near the policy that
logged; a third of a large loss may be missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..policies.off_policy import (
    Estimate,
    Terms,
    Weights,
    corrected,
    half_width,
    importance,
    linearised,
    ratio,
    unsupported,
    weighed,
)
from ..policies.replay import Rows
from ..policies.snapshot import Snapshot
from ..policies.spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from ..policies.transition import COLUMN, Floats, Reason
from ..policies.vector_dqn import COMPONENT_BOUND

DRAWN: Final = (Reason.POLICY, Reason.EXPLORE, Reason.REFERENCE)
"""Reasons of actions that were drawn with the propensity that was logged."""

_EMITTED = COLUMN["emitted"]
_REQUEST_STEPS = COLUMN["request_steps"]
_SURVIVAL = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)


@dataclass(frozen=True)
class Logged:
    """Decisions that another policy can be evaluated on.

    Attributes:
        rows: with their propensities, of one or more engines.
        components: measured latency and cost, shape (n, 2).
        rewards: of a reward that is not linear, shape (n,); None where it is.
    """

    rows: Rows
    components: Floats
    rewards: Floats | None = None

    def __len__(self) -> int:
        return len(self.rows)


def usable(rows: Rows, certain: bool = False) -> npt.NDArray[np.bool_]:
    """Which rows tell of other policies, shape (n,).

    Left out is what was not drawn (pinned, static, a fallback, a guard's), what was drawn but not
    applied (mode shadow), and what has no propensity (an older checkpoint's).

    Args:
        rows: the decisions.
        certain: keep what could not have been otherwise (a propensity of 1). It tells what the
            policy that made it is worth there, and of any other only by the model.
    """
    drawn = np.isin(rows.reasons, DRAWN) & (rows.chosen == rows.actions)
    known = np.isfinite(rows.propensities) & (certain | (rows.propensities < 1.0))
    keep: npt.NDArray[np.bool_] = drawn & known
    return keep


def logged(rows: Rows, judged: Floats, linear: bool, certain: bool = False) -> Logged:
    """Some rows as decisions to evaluate on; those that cannot be used are left out.

    Args:
        rows: the latest, in the order in which they came.
        judged: their latency, cost and reward, shape (n, 3).
        linear: whether the reward is the linear one.
        certain: see ``usable``.
    """
    columns = judged[:, :2] if linear else judged
    keep = usable(rows, certain) & np.isfinite(columns).all(1)
    components = np.clip(judged[keep, :2], 0.0, COMPONENT_BOUND)
    return Logged(rows.take(keep), components, None if linear else judged[keep, 2])


@dataclass(frozen=True)
class Comparison:
    """Two snapshots on the same decisions.

    Attributes:
        candidate: doubly robust value of the one.
        current: of the other.
        difference: candidate's less current's; higher is better. Its interval is narrower than
            the two suggest: where both do the same, nothing of it is noise.
    """

    candidate: Estimate
    current: Estimate
    difference: Estimate


def evaluate(snapshot: Snapshot, data: Logged, speed: float | None = None) -> dict[str, Estimate]:
    """A snapshot's value by all three estimators: ``ips``, ``snips`` and ``dr``.

    Args:
        snapshot: the policy.
        data: at least one decision that it might have made.
        speed: judge all decisions at this speed, rather than at the one each was made under. The
            propensities stay those that were logged.

    Raises:
        ValueError: if there are no rows, or none that the snapshot might have made.
    """
    raw, rewards, tokens = _at(data, speed)
    losses, emitted, weights = _terms(snapshot, snapshot, data, raw, rewards, tokens)
    if not weights.clipped.any():
        raise ValueError("the snapshot would have taken none of the logged depths")
    seen, ess = weighed(rewards * tokens, weights), weights.ess
    missing = unsupported(rewards * tokens, weights)
    return {
        "ips": ratio(seen, emitted, ess, besides=missing),
        "snips": ratio(seen, weighed(tokens, weights), ess),
        "dr": ratio(losses, emitted, ess),
    }


def compare(
    candidate: Snapshot, current: Snapshot, data: Logged, speed: float | None = None
) -> Comparison:
    """Two snapshots on the same decisions, with one model for both: the candidate's structure.

    What clipping took off the weights does not widen the difference's interval, or one lucky row
    of a depth that is hardly ever tried would hide whatever the others say. There the model speaks.

    Raises:
        ValueError: if there are no rows.
    """
    raw, rewards, tokens = _at(data, speed)
    mine, theirs = (
        _terms(snapshot, candidate, data, raw, rewards, tokens) for snapshot in (candidate, current)
    )
    one, other = (ratio(up, down, weights.ess) for up, down, weights in (mine, theirs))
    (value, terms), (before, earlier) = (linearised(up, down) for up, down, _ in (mine, theirs))
    gain, spread = value - before, half_width(terms.kept - earlier.kept)
    ess = min(one.ess, other.ess)
    return Comparison(one, other, Estimate(gain, gain - spread, gain + spread, len(data), ess))


def valued(data: Logged, speed: float | None = None) -> tuple[Floats, Floats]:
    """Rewards and tokens per request and step, as measured, both of shape (n,).

    Args:
        data: the decisions.
        speed: judge all of them at this speed.
    """
    _, rewards, tokens = _at(data, speed)
    return rewards, tokens


def _at(data: Logged, speed: float | None) -> tuple[Array, Floats, Floats]:
    """Observations, rewards and tokens per request and step, under a speed."""
    raw = data.rows.observations.copy()
    if speed is not None:
        raw[:, SPEED_INDEX] = speed
    outcomes = data.rows.outcomes.astype(np.float64)
    tokens = outcomes[:, _EMITTED] / np.maximum(outcomes[:, _REQUEST_STEPS], 1.0)
    if data.rewards is not None:
        return raw, data.rewards, tokens
    return raw, _linear(data.components, raw[:, SPEED_INDEX].astype(np.float64)), tokens


def _linear(components: Floats, speeds: Floats) -> Floats:
    """Rewards of components, shape (..., 2), at speeds that fit."""
    return -(speeds * components[..., 0] + (1.0 - speeds) * components[..., 1])


def _terms(
    snapshot: Snapshot,
    model: Snapshot,
    data: Logged,
    raw: Array,
    rewards: Floats,
    tokens: Floats,
) -> tuple[Terms, Terms, Weights]:
    """Terms of a doubly robust ratio: rewards x tokens, tokens; and the importance weights."""
    chances, actions = snapshot.probabilities(raw), data.rows.actions
    target = chances[np.arange(len(actions)), actions]
    weights = importance(target, data.rows.propensities.astype(np.float64))
    emitted = np.ones_like(chances)
    emitted[:, 1:] += raw[:, _SURVIVAL][:, : chances.shape[1] - 1].cumsum(1)
    if data.rewards is None:
        components = model.structure.components(raw).astype(np.float64)
        expected = _linear(
            np.minimum(components, COMPONENT_BOUND), raw[:, SPEED_INDEX, None].astype(np.float64)
        )
    else:  # of another reward nothing is known but its mean
        expected = np.full(chances.shape, float(np.average(rewards, weights=tokens)))
    return (
        corrected(rewards * tokens, actions, chances, weights, expected * emitted),
        corrected(tokens, actions, chances, weights, emitted),
        weights,
    )
