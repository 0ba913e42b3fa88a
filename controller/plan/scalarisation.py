"""Which speed serves a reward best at the plan control point.

An outcome there is a plan: its latency and its cost per step, where sequential is 1.0. Whatever a
reward makes of the two, the best that a policy can do lies on its curve from the cheapest to the
fastest, and our rule and all that is learned on top of it follow that curve from speed to speed. So
a reward decides which speed is gone by at each knob, and nothing else has to be learned anew: the
reward is of the mean latency and cost of plans (in multi-objective reinforcement learning, the
criterion of scalarised expected returns; Roijers et al. 2013, JAIR 48).

``latency-cost`` is linear, and goes by the knob itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ...envs.reward_inputs import RewardInputs
from ...envs.rewards import Reward, RewardError, evaluate
from ...policies.plan.curve import Curve, expected_curve
from ...policies.plan.rows import PlanRows
from ...policies.plan.snapshot import PlanSnapshot
from ...policies.transition import Floats

_KNOBS: Final = np.linspace(0.0, 1.0, 11)
_SPEEDS: Final = np.linspace(0.0, 1.0, 101)
_SAME: Final = 1e-9  # rewards that differ by less are the same


def is_for_plans(reward: Reward) -> bool:
    """Whether a reward needs nothing but what a plan has: latency, cost and the knob."""
    return {"latency", "cost", "speed"}.issuperset(reward.needs)


def serving(reward: Reward, snapshot: PlanSnapshot, rows: PlanRows, number: int) -> PlanSnapshot:
    """A snapshot that serves a reward.

    Args:
        reward: one that is for plans.
        snapshot: for any reward.
        rows: recent transitions, oldest first; none of them is needed for a linear reward.
        number: of what is returned.

    Raises:
        RewardError: if the reward fails.
    """
    speeds = () if reward.linear else best_speeds(reward, expected_curve(snapshot, rows))
    return snapshot.serving(number, reward.name, speeds)


def worth_of(reward: Reward, latency: float, cost: float, knob: float) -> float:
    """What one outcome is worth; ``on_error`` if the reward fails."""
    try:
        return float(_worth(reward, Curve(np.array([latency]), np.array([cost])), knob)[0])
    except RewardError:
        return float(reward.on_error)


def best_speeds(reward: Reward, curve: Curve) -> tuple[float, ...]:
    """The speed that serves a reward best, by knob; of several, the lowest.

    Args:
        reward: one that is for plans.
        curve: what every speed gives.

    Returns:
        At as many knobs, equidistant from 0 to 1; empty where it is the knob itself.

    Raises:
        RewardError: if the reward fails.
    """
    if reward.linear:
        return ()
    between = curve.at(_SPEEDS)
    return tuple(_best(_worth(reward, between, float(knob))) for knob in _KNOBS)


def _worth(reward: Reward, curve: Curve, knob: float) -> Floats:
    knobs = np.full(len(curve.latency), knob)
    return evaluate(reward, RewardInputs.of_components(curve.latency, curve.cost, knobs))


def _best(values: Floats) -> float:
    return float(_SPEEDS[np.flatnonzero(values >= values.max() - _SAME)[0]])
