"""What a chain costs as it is really run: in whole rounds, in a batch, up to a depth.

The programme takes the levels' tokens as a stream; in truth a model delivers 1 to ``draft`` + 1
tokens per round, and what a target gets is what some rounds of that have brought. With that
distribution, instead of its mean, seconds per token follow exactly where acceptance at a position
does not depend on what went before but through the request's class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..spaces import CLASSES, MAX_DEPTH
from ..transition import Floats
from .load import ChainLoad, Family, Survivals
from .plan import Plan
from .times import PassTimes


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an engine step with a chain is expected to take and to bring.

    Attributes:
        seconds: of the step, drafting and verifying.
        tokens: emitted by each request.
        proposed: tokens proposed by each request's chain.
    """

    seconds: float
    tokens: float
    proposed: float

    @property
    def per_token(self) -> float:
        """Seconds per token of each request."""
        return self.seconds / self.tokens


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What a level hands up: seconds, and by class the probability of each number of tokens."""

    seconds: float
    lengths: Floats  # shape (CLASSES, n), of 0 to n - 1 tokens


def predict(
    plan: Plan,
    family: Family,
    load: ChainLoad,
    survivals: Survivals,
    deepest: int = MAX_DEPTH,
) -> Prediction:
    """Predict an engine step.

    Args:
        plan: the chain.
        family: the models' times.
        load: the requests.
        survivals: of every pair that follow each other in the chain, up to the target.
        deepest: most tokens of a proposal, at most MAX_DEPTH.
    """
    if not plan.models:
        return Prediction(family.times[family.target].seconds(load.batch, 1), 1.0, 0.0)
    most = min(deepest, MAX_DEPTH, plan.longest)
    delivery = _draft(plan, family, load, survivals, most)
    for level, rounds in enumerate(plan.rounds, 1):
        pair = plan.models[level - 1], plan.models[level]
        longest = rounds * delivery.lengths.shape[1]
        level_most = min(longest, most if level == len(plan.rounds) else MAX_DEPTH)
        delivery = _rounds(
            delivery, survivals[pair], rounds, level_most, family.times[pair[1]], load
        )
    return _verified(delivery, survivals[plan.models[-1], family.target], family, load)


def _draft(
    plan: Plan, family: Family, load: ChainLoad, survivals: Survivals, most: int
) -> _Delivery:
    """What the smallest model drafts, one pass per token."""
    count = min(plan.draft, MAX_DEPTH if plan.rounds else most)
    above = [*plan.models, family.target][1]
    # Where all of a draft is accepted, its last token is still to be taken in: in the same pass as
    # what came after it.
    kept = float(load.shares @ survivals[plan.models[0], above][:, count - 1])
    times = family.times[plan.models[0]]
    first = times.seconds(load.batch, 1.0 + _any(kept, load.batch))
    lengths = np.zeros((CLASSES, count + 1))
    lengths[:, count] = 1.0
    return _Delivery(first + (count - 1) * times.seconds(load.batch, 1), lengths)


def _rounds(
    below: _Delivery, survival: Floats, rounds: int, most: int, times: PassTimes, load: ChainLoad
) -> _Delivery:
    """What a model hands up that verifies what is below it, so many times."""
    grown = _run(below.lengths, survival)
    width = 1.0 + _longest(load.shares @ below.lengths, load.batch)
    lengths = np.zeros((CLASSES, most + 1))
    lengths[:, 0] = 1.0
    seconds = 0.0
    for _ in range(rounds):
        wanting = 1.0 - float(load.shares @ lengths[:, most])
        run = _any(wanting, load.batch)
        if run > 0.0:
            running = max(load.batch * wanting / run, 1.0)
            seconds += run * (below.seconds + times.seconds(running, width))
        lengths = _added(lengths, grown)
    return _Delivery(seconds, lengths)


def _verified(delivery: _Delivery, survival: Floats, family: Family, load: ChainLoad) -> Prediction:
    """The target's own pass."""
    shares = load.shares @ delivery.lengths
    proposed = float(shares @ np.arange(len(shares)))
    width = proposed if family.packed else _longest(shares, load.batch)
    run = _run(delivery.lengths, survival)
    return Prediction(
        delivery.seconds + family.times[family.target].seconds(load.batch, 1.0 + width),
        float(load.shares @ run @ np.arange(run.shape[1])),
        proposed,
    )


def _run(lengths: Floats, survival: Floats) -> Floats:
    """Tokens of one verification, by class: those accepted, and the verifier's own.

    Args:
        lengths: of what is verified, 0 to n tokens, shape (CLASSES, n + 1).
        survival: shape (CLASSES, MAX_DEPTH), with n at most MAX_DEPTH.

    Returns:
        Probability of 0 to n + 1 tokens, shape (CLASSES, n + 2).
    """
    at_least = lengths[:, ::-1].cumsum(1)[:, ::-1]
    n = lengths.shape[1] - 1
    alive = np.ones((CLASSES, n + 2))
    alive[:, 1:-1] = at_least[:, 1:] * survival[:, :n]
    alive[:, -1] = 0.0
    out = np.zeros((CLASSES, n + 2))
    out[:, 1:] = alive[:, :-1] - alive[:, 1:]
    return out


def _added(lengths: Floats, more: Floats) -> Floats:
    """The sum of two independent lengths, cut to the first one's longest."""
    out = np.zeros_like(lengths)
    last = lengths.shape[1] - 1
    for k in range(more.shape[1]):
        stay = max(last - k, 0)
        out[:, last - stay : last] += (lengths * more[:, k : k + 1])[:, :stay]
        out[:, last] += more[:, k] * lengths[:, stay:].sum(1)
    return out


def _longest(shares: Floats, batch: float) -> float:
    """Mean of the longest of a batch of lengths, from the probability of 0, 1, ... tokens."""
    below = shares.cumsum()[:-1]
    return float((1.0 - np.clip(below, 0.0, 1.0) ** batch).sum())


def _any(chance: float, batch: float) -> float:
    """P(at least one request of a batch) of what each does with a chance."""
    return float(1.0 - np.clip(1.0 - chance, 0.0, 1.0) ** batch)
