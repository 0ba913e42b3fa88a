"""Who drafts for each request of a batch, and how deep: chosen together, exactly.

A drafter that runs a model costs its passes once per step, however many requests have it; what
looks up what was said before costs next to nothing. So who drafts for one request depends on who
drafts for the others, through the set of drafters whose fixed costs are paid. For a given set and
depth the choice is a ratio of sums, tokens over costs, and its optimum is found by letting every
request take what brings most beyond its own cost at the ratio so far, until that no longer grows
(Dinkelbach 1967, Management Science 13). Sets are few, so all of them are tried at every depth.

Costs are those of ``structure``: a share ``speed`` of the seconds and 1 - speed of the dollars,
both over those of a step without speculation. SpecRouter (2025, arXiv 2505.07680) and BanditSpec
(2025, arXiv 2505.15141) choose a drafter for all requests together, or one after the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiling import compiled
from .transition import Floats

Integers = npt.NDArray[np.int64]


@compiled
def choose(
    gains: Floats,
    checked: Floats,
    held: Integers,
    speeds: Floats,
    base: float,
    position: float,
    fixed: Floats,
    each: Floats,
    drafted: Floats,
    prices: Floats,
    depths: Integers,
    required: int,
    in_force: int,
    switch: float,
    chosen: Integers,
) -> tuple[int, int, float, float]:
    """The drafters and the depth of least cost per token.

    Drafter 0 is none: it brings nothing and costs nothing.

    Args:
        gains: tokens accepted of a draft, on average: by request, drafter and depth, shape
            (n, D, K + 1), n at least 1; 0 at depth 0.
        checked: positions verified of it, on average, of the same shape.
        held: the drafter that a request has in any case, or -1; shape (n,).
        speeds: of the requests, in [0, 1], shape (n,).
        base: seconds of a step without speculation.
        position: seconds per position verified.
        fixed: seconds per step in which a drafter drafts for anybody, by depth, shape (D, K + 1).
        each: seconds per request that it drafts for, of the same shape.
        drafted: positions that its models run for each, of the same shape.
        prices: dollars per position verified, per position drafted, per second.
        depths: that may be taken, shape (at least 1,).
        required: drafters, as bits, whose fixed costs are paid in any case.
        in_force: drafters, as bits, that now draft for anybody.
        switch: seconds per step that other drafters cost than those in force.
        chosen: written: the drafter of each request, shape (n,).

    Returns:
        The depth; the drafters with fixed costs that are used, as bits; cost per token, 1 without
        speculation; tokens per cost.
    """
    n, count = gains.shape[0], gains.shape[1]
    shared = 0
    for d in range(1, count):
        shared |= (fixed[d].max() > 0.0) << d
    must = required
    for i in range(n):
        if held[i] > 0:
            must |= 1 << held[i]
    must &= shared
    best, found, depth, used = np.inf, 0.0, depths[0], must
    taken = np.zeros(n, np.int64)
    for mask in range(1 << count):
        if mask & ~shared or (mask & must) != must:
            continue
        for k in depths:
            seconds = base + (switch if mask != in_force & shared else 0.0)
            seconds += _paid(fixed[:, k], mask)
            rate = _assign(
                gains[:, :, k],
                checked[:, :, k],
                held,
                speeds,
                base,
                position,
                seconds,
                each[:, k],
                drafted[:, k],
                prices,
                shared & ~mask,
                taken,
            )
            if n / rate < best:
                best, found, depth, used = n / rate, rate, k, mask
                chosen[:] = taken
    return depth, used, best, found


@compiled
def _paid(fixed: Floats, drafters: int) -> float:
    """Seconds that some drafters, as bits, take per step."""
    seconds = 0.0
    for d in range(1, len(fixed)):
        if drafters >> d & 1:
            seconds += fixed[d]
    return seconds


@compiled
def _assign(
    gains: Floats,
    checked: Floats,
    held: Integers,
    speeds: Floats,
    base: float,
    position: float,
    fixed_seconds: float,
    each: Floats,
    drafted: Floats,
    prices: Floats,
    barred: int,
    taken: Integers,
) -> float:
    """Tokens per cost at one depth, of the drafters that bring most; these are written."""
    n, count = gains.shape
    speed = speeds.mean()
    spent = n * prices[0] + prices[2] * base
    second = speed / base + (1.0 - speed) * prices[2] / spent
    common = second * fixed_seconds
    for i in range(n):
        common += (1.0 - speeds[i]) * prices[0] / spent
    rate = 0.0
    while True:
        tokens, cost = float(n), common
        for i in range(n):
            most = -np.inf
            its_gain = its_cost = 0.0
            dear = (1.0 - speeds[i]) / spent
            for d in range(count):
                if (held[i] >= 0 and d != held[i]) or barred >> d & 1:
                    continue
                spends = second * (position * checked[i, d] + each[d])
                spends += dear * (prices[0] * checked[i, d] + prices[1] * drafted[d])
                if gains[i, d] - rate * spends > most:
                    most = gains[i, d] - rate * spends
                    taken[i], its_gain, its_cost = d, gains[i, d], spends
            tokens += its_gain
            cost += its_cost
        if tokens / cost <= rate * _SAME:
            return rate
        rate = tokens / cost


_SAME = 1.0 + 1e-12
