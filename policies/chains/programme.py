"""The best chain and its windows, by dynamic programming.

Level j asks W tokens of level i, each at i's own seconds per token, verifies them in one pass, and
gets the accepted ones and one of its own:

    c_1 = T_1,    c_j = (W c_i + V_j(W + 1)) / E_ij(W),    E_ij(W) = 1 + sum over k <= W of S_ij(k)

with S_ij(k) the probability that the first k are all accepted. c_j grows with c_i, so the cheapest
way to each model is part of the cheapest way to the target, and the programme is exact: of order
models squared times windows, with nothing enumerated. (After SpecRouter, arXiv 2505.07680; with
acceptance by position, and its mean taken over classes after the run, which is convex in it.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..spaces import MAX_DEPTH
from ..transition import Floats
from .load import ChainLoad, Family, Survivals


@dataclass(frozen=True, slots=True)
class Way:
    """The cheapest way to have a model emit tokens.

    Attributes:
        seconds: per token of each request.
        models: the chain below the model, smallest first.
        windows: tokens asked of each of those by the one above it.
    """

    seconds: float
    models: tuple[str, ...] = ()
    windows: tuple[int, ...] = ()


def runs(survival: Floats, shares: Floats) -> Floats:
    """Expected tokens of a verification with windows 0, 1, ... MAX_DEPTH.

    Args:
        survival: by class and position, shape (CLASSES, MAX_DEPTH).
        shares: of the classes, shape (CLASSES,).

    Returns:
        Shape (MAX_DEPTH + 1,), beginning with 1.
    """
    run: Floats = 1.0 + np.concatenate([[0.0], (shares @ survival).cumsum()])
    return run


def cheapest(family: Family, load: ChainLoad, survivals: Survivals, deepest: int = 8) -> Way:
    """The best chain under a load, no drafts among the choices.

    Args:
        family: the models.
        load: the requests.
        survivals: of every pair of models that may follow each other.
        deepest: longest window, at most MAX_DEPTH.
    """
    best: dict[str, Way] = {}
    for j, upper in enumerate(family.models):
        ways = [Way(family.times[upper].seconds(load.batch, 1))]
        ways += [
            _link(family, load, survivals, best[lower], lower, upper, deepest)
            for lower in family.models[:j]
        ]
        best[upper] = min(ways, key=lambda way: way.seconds)
    return best[family.target]


def along(
    family: Family, load: ChainLoad, survivals: Survivals, chain: Sequence[str], deepest: int = 8
) -> Way:
    """The best windows of a chain that is given; otherwise as ``cheapest``.

    Args:
        family: the models.
        load: the requests.
        survivals: of every pair that follow each other.
        chain: models below the target, smallest first.
        deepest: longest window.
    """
    path = [*chain, family.target]
    way = Way(family.times[path[0]].seconds(load.batch, 1))
    for lower, upper in pairwise(path):
        way = _link(family, load, survivals, way, lower, upper, deepest)
    return way


def _link(
    family: Family,
    load: ChainLoad,
    survivals: Survivals,
    below: Way,
    lower: str,
    upper: str,
    deepest: int,
) -> Way:
    """The best window that a model asks of another one."""
    run = runs(survivals[lower, upper], load.shares)
    times = family.times[upper]
    windows = range(1, min(deepest, MAX_DEPTH) + 1)
    costs = [
        (w * below.seconds + times.seconds(load.batch, w + 1)) / float(run[w]) for w in windows
    ]
    least = int(np.argmin(costs))
    return Way(costs[least], (*below.models, lower), (*below.windows, windows[least]))
