"""Rewards: what an outcome is worth at a speed.

Built in, by name: ``latency-cost`` (the default), ``goodput`` and ``cost-under-latency``. A
parameter follows the name: ``goodput?objective=0.05``, ``cost-under-latency?bound=0.7``.

A reward of one's own is a class in any module that Python can import, the current directory
included. It sees many intervals at once, as NumPy columns, and returns one number for each::

    # mypkg/mymodule.py
    import numpy as np
    from flyball.envs.rewards import Reward, RewardInputs

    class FewRejects(Reward):
        '''Latency, and a price on drafts that were thrown away.'''

        name = "few-rejects"
        needs = ("latency", "drafted", "accepted", "emitted")
        low, high, on_error = -10.0, 0.0, -1.0

        def __call__(self, inputs: RewardInputs) -> np.ndarray:
            outcomes = inputs.outcomes
            rejected = outcomes.drafted - outcomes.accepted.sum(axis=1)
            return -inputs.latency - 0.1 * rejected / outcomes.emitted

``flyball serve --reward mypkg.mymodule:FewRejects`` starts with it, ``flyball reward use
mypkg.mymodule:FewRejects`` swaps it in on the running system, and an entry point in the group
``flyball.rewards`` gives it a name of its own. Outcomes are stored and rewards computed when they
are sampled, so a new reward learns at once from everything that was ever seen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Floats
from .reward_inputs import RewardInputs

__all__ = [
    "BUILT_IN",
    "CostUnderLatency",
    "Goodput",
    "LatencyCost",
    "Reward",
    "RewardError",
    "RewardInputs",
    "evaluate",
    "load_reward",
]


class RewardError(ValueError):
    """A reward that must not be used, with the reason, in one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


class Reward:
    """Base class: declare the attributes, override ``__call__``.

    Attributes:
        name: what it is called in logs and plots.
        needs: the columns it reads, of ``RewardInputs`` and ``OutcomeBatch``. A row in which one
            of them is not finite is worth ``on_error`` and is never judged by the reward.
        low: least value; smaller ones are clipped to it.
        high: greatest value; greater ones are clipped to it.
        on_error: what a row is worth that cannot be computed, in [low, high].
        linear: True only where the value is -(speed x latency + (1 - speed) x cost): then the
            policy answers any speed from the two components alone, with no third value to learn.
    """

    name: str = ""
    needs: tuple[str, ...] = ()
    low: float = -1.0
    high: float = 1.0
    on_error: float = 0.0
    linear: bool = False

    def __call__(self, inputs: RewardInputs) -> Floats:
        """The worth of every interval, higher is better: real numbers of shape (n,)."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, inputs)")


class LatencyCost(Reward):
    """-(speed x latency + (1 - speed) x cost); without speculation it is -1 at every speed."""

    name = "latency-cost"
    needs = ("latency", "cost", "speed")
    low, high, on_error = -10.0, 0.0, -1.0
    linear = True

    def __call__(self, inputs: RewardInputs) -> Floats:  # noqa: D102
        return -(inputs.speed * inputs.latency + (1.0 - inputs.speed) * inputs.cost)


class Goodput(Reward):
    """Tokens per second that come in time, over the tokens per second without speculation.

    Tokens that take longer than the objective count less and less, and nothing from twice the
    objective on. The knob does not enter.

    Args:
        objective: seconds per token per request that still counts in full.
    """

    name = "goodput"
    needs = ("seconds", "steps", "request_seconds", "request_steps", "emitted", "off_seconds")
    low, high, on_error = 0.0, MAX_DEPTH + 1.0, 0.0

    def __init__(self, objective: float = 0.1) -> None:
        if not objective > 0:
            raise ValueError(f"objective must be seconds per token above 0, not {objective}")
        self.objective = objective

    def __call__(self, inputs: RewardInputs) -> Floats:  # noqa: D102
        o = inputs.outcomes
        off = o.request_steps / (o.off_seconds * o.steps)
        per_token = o.request_seconds / np.maximum(o.emitted, 1.0)
        in_time = np.clip(2.0 - per_token / self.objective, 0.0, 1.0)
        ratio: Floats = o.emitted / o.seconds / np.maximum(off, 1e-9) * in_time
        return ratio


class CostUnderLatency(Reward):
    """The cheapest way to stay under a latency bound.

    -cost while the latency (off = 1.0) is within the bound, and ten points less per unit above
    it. The knob does not enter.

    Args:
        bound: greatest latency wanted, as a share of the latency without speculation.
    """

    name = "cost-under-latency"
    needs = ("latency", "cost")
    low, high, on_error = -20.0, 0.0, -1.0

    def __init__(self, bound: float = 0.8) -> None:
        if not bound > 0:
            raise ValueError(f"bound must be a share of the latency of off above 0, not {bound}")
        self.bound = bound

    def __call__(self, inputs: RewardInputs) -> Floats:  # noqa: D102
        return -inputs.cost - 10.0 * np.maximum(inputs.latency - self.bound, 0.0)


BUILT_IN: Final[dict[str, type[Reward]]] = {
    reward.name: reward for reward in (LatencyCost, Goodput, CostUnderLatency)
}


def evaluate(reward: Reward, inputs: RewardInputs) -> Floats:
    """A reward's value for every row, checked and clipped into its range.

    Args:
        reward: a reward from ``load_reward``.
        inputs: n rows; those with a needed column that is not finite get ``on_error``.

    Returns:
        float64, shape (n,).

    Raises:
        RewardError: if it raises, returns something other than n real numbers, or NaN for a row
            whose needed columns are finite.
    """
    out = np.full(len(inputs), float(reward.on_error))
    rows = inputs.finite(reward.needs)
    if not rows.any():
        return out
    values = _call(reward, inputs)
    wrong = np.flatnonzero(np.isnan(values) & rows)
    if len(wrong):
        raise RewardError(
            f"reward {reward.name!r} gave NaN for {len(wrong)} of {len(inputs)} rows, first row "
            f"{wrong[0]}; it must give a number wherever the columns in its needs are finite"
        )
    out[rows] = np.clip(values[rows], reward.low, reward.high)
    return out


def _call(reward: Reward, inputs: RewardInputs) -> Floats:
    try:
        # Rows that are not finite are passed along too; their warnings would mean nothing.
        with np.errstate(all="ignore"):
            values = np.asarray(reward(inputs))
    except (Exception, SystemExit) as e:  # their code must not end ours
        raise RewardError(f"reward {reward.name!r} raised {type(e).__name__}: {e}") from e
    if values.shape != (len(inputs),):
        raise RewardError(
            f"reward {reward.name!r} returned shape {values.shape}; it must return one number per "
            f"row, shape ({len(inputs)},)"
        )
    if values.dtype.kind not in "fiu":
        raise RewardError(
            f"reward {reward.name!r} returned {values.dtype} values; it must return real numbers"
        )
    return values.astype(np.float64)


def load_reward(spec: str) -> Reward:
    """A reward by built-in name, entry point of the group ``flyball.rewards``, or place.

    Args:
        spec: ``name`` or ``pkg.module:Class``, with parameters as ``?bound=0.7&other=1``.

    Raises:
        RewardError: saying what is wrong with it; it was tried on a small batch before.
    """
    # Loading checks a reward by evaluating it, so it stands above this module.
    from .reward_loading import load

    return load(spec)
