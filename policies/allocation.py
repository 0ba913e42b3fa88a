"""How many drafts each request has verified, step by step, compiled.

A position costs the time that it adds to the step, which all requests wait for, and its dollars. It
is worth that while what it brings, the probability that it is accepted and all before it, is more
than the tokens that the batch gets for the same costs. As survival falls from position to
position, taking what is worth it is taking the best first, token by token, until one more costs
more than it brings: for a given depth that is the optimum of a ratio (Dinkelbach 1967, Management
Science 13). What a position may be worth at best decides, or what was once taken for little would
never be looked at again. No draft is looked at: what is chosen depends on what was accepted before,
so the output is the target's at every temperature.

A request that is behind its objective is served as if its speed were 1, and, where any speed is
below 1, drafts are as deep as gives it most: first what urgent requests need. That the others'
drafts are cut further than the optimum, so that urgent ones' steps are shorter, was tried and helps
nobody: what is saved of a step is less than the tokens are worth that every later step is then
short of. AdaSpec (2025, arXiv 2503.05096) chooses by the drafter's confidence in the very tokens,
which is exact only at temperature 0.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .compiling import compiled
from .slack import allowed
from .transition import Floats

Integers = npt.NDArray[np.int64]


@compiled
def outlook(tables: Floats, slots: Integers, frailties: Floats) -> Floats:
    """As ``SurvivalEstimator.outlook``, for the hot path: shape (2, n, D).

    Args:
        tables: the estimator's, shape (2, CLASSES, D).
        slots: classes of the requests, shape (n,).
        frailties: multipliers on their hazards, shape (n,).
    """
    found = np.empty((2, len(slots), tables.shape[2]))
    for t in range(2):
        for i in range(len(slots)):
            alive = 1.0
            for j in range(tables.shape[2]):
                alive *= 1.0 - min(tables[t, slots[i], j] * frailties[i], 1.0)
                found[t, i, j] = alive
    return found


@compiled
def allocate(
    survival: Floats,
    hope: Floats,
    drafts: Integers,
    speeds: Floats,
    pace: Floats,
    credit: Floats,
    seconds: Floats,
    factors: Floats,
    prices: Floats,
    depth: int,
    rate: float,
    lengths: Integers,
) -> tuple[int, float, float, float]:
    """Divide the verification of a step among the requests that decode in it.

    Args:
        survival: P(positions 1..j all accepted), shape (n, D).
        hope: what survival may be at best, shape (n, D).
        drafts: made for each request, shape (n,), at most D.
        speeds: the requests' own, in [0, 1], shape (n,).
        pace: seconds that a token may take, infinite without an objective; shape (n,).
        credit: seconds over, shape (n,).
        seconds: of a step without drafts, per pass of the drafter, per position verified.
        factors: on the sum of those, by depth from 0 to the greatest.
        prices: dollars per position verified, per position drafted, per second.
        depth: that is to be drafted, by the policy.
        rate: tokens per cost of a step without speculation, as this returned it last; 1 at first.
        lengths: written: drafts to verify, shape (n,).

    Returns:
        The depth to draft in this step: deeper than the policy's where urgent requests gain by it
        and any speed is below 1. The rate. Expected seconds of the step without prompts. The
        seconds that it may take for the objectives of all.
    """
    n = len(drafts)
    step = (seconds[0] + seconds[1] * depth) * factors[depth]
    urgent = 0
    speed = 0.0
    for i in range(n):
        hurry = pace[i] < math.inf and credit[i] < step
        urgent += hurry
        speed += 1.0 if hurry else speeds[i]
    position, dollars, of_pass = costs(n, speed / n, seconds, factors, prices, depth)
    cost = 1.0 + depth * of_pass
    tokens = float(n)
    verified = 0
    limit = math.inf
    for i in range(n):
        hurry = pace[i] < math.inf and credit[i] < step
        its = position + (0.0 if hurry else 1.0 - speeds[i]) * dollars
        alive = k = 0
        got = 1.0
        least = rate * its
        while alive < depth and hope[i, alive] >= least:
            tokens += survival[i, alive]
            alive += 1
            cost += its
        while k < drafts[i] and hope[i, k] >= least:
            got += survival[i, k]
            k += 1
        lengths[i] = k
        verified += k
        limit = min(limit, allowed(pace[i], credit[i], got))
    if urgent and speeds.min() < 1.0:
        depth = max(depth, _quickest(survival, pace, credit, seconds, factors, step))
    total = (seconds[0] + seconds[1] * depth + seconds[2] * verified) * factors[depth]
    return depth, tokens / cost, total, limit


@compiled
def costs(
    n: int, speed: float, seconds: Floats, factors: Floats, prices: Floats, depth: int
) -> tuple[float, float, float]:
    """Costs at a depth, in those of a step of n requests without speculation.

    Args:
        n: requests, at least one.
        speed: the mean of theirs.
        seconds: as ``allocate`` takes them, and all that follows.
        factors: on the sum of those, by depth.
        prices: dollars per position verified, per position drafted, per second.
        depth: that is drafted.

    Returns:
        Of verifying one position: its time, which all wait for; its dollars, which count as far as
        its own request's speed is below 1. Of one pass of the drafter.
    """
    off = seconds[0] * factors[0]
    spent = n * prices[0] + prices[2] * off
    second = speed / off + (1.0 - speed) * prices[2] / spent
    of_pass = seconds[1] * factors[depth] * second + (1.0 - speed) * n * prices[1] / spent
    return seconds[2] * factors[depth] * second, prices[0] / spent, of_pass


@compiled
def _quickest(
    survival: Floats, pace: Floats, credit: Floats, seconds: Floats, factors: Floats, step: float
) -> int:
    """The depth that gives urgent requests most tokens per second, were only they drafted for."""
    best = 0.0
    chosen = 0
    tokens = 0.0
    verified = 0
    for k in range(len(factors)):
        for i in range(len(pace)):
            if pace[i] < math.inf and credit[i] < step:
                tokens += 1.0 if k == 0 else survival[i, k - 1]
                verified += k > 0
        total = (seconds[0] + seconds[1] * k + seconds[2] * verified) * factors[k]
        if tokens / total > best:
            best = tokens / total
            chosen = k
    return chosen
