"""Who drafts for whom, against every way there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from flyball.policies.drafters import choose

K = 3
PRICES = np.array([2e-7, 1e-8, 3e-5])


def problem(seed: int, n: int = 3, count: int = 4) -> dict[str, object]:
    """A random batch; drafters 1 and 2 run models, the others look up."""
    rng = np.random.default_rng(seed)
    survival = rng.random((n, count, K)).cumprod(-1)
    gains, checked = np.zeros((2, n, count, K + 1))
    gains[:, 1:, 1:] = survival[:, 1:].cumsum(-1)
    checked[:, 1:, 1:] = np.arange(1, K + 1) * rng.uniform(0.7, 1.0, (n, count - 1, 1))
    fixed, each, drafted = np.zeros((3, count, K + 1))
    fixed[1 : min(3, count)] = rng.uniform(0.5e-3, 6e-3, (min(2, count - 1), 1)) * np.arange(K + 1)
    each[1:] = rng.uniform(0.0, 5e-4, (count - 1, 1))
    drafted[1] = np.arange(K + 1)
    return {
        "gains": gains,
        "checked": checked,
        "held": np.where(rng.random(n) < 0.3, rng.integers(0, count, n), -1),
        "speeds": rng.random(n),
        "base": 0.01,
        "position": 4e-4,
        "fixed": fixed,
        "each": each,
        "drafted": drafted,
        "prices": PRICES,
        "depths": np.arange(K + 1),
        "required": 0,
        "in_force": int(rng.integers(0, 4)) << 1,
        "switch": 4e-4,
    }


def per_token(p: dict[str, object], who: tuple[int, ...], depth: int) -> float:
    """Cost per token of one way, by the definitions."""
    n, rows = len(who), np.arange(len(who))
    used = {d for d in who if p["fixed"][d].max() > 0}
    # What is in force may be kept although nobody has it, if that is cheaper than the change.
    seconds = p["base"] + min(
        sum(p["fixed"][d, depth] for d in running)
        + p["switch"] * (sum(1 << d for d in running) != p["in_force"])
        for running in map(set, ((), (1,), (2,), (1, 2)))
        if used <= running
    )
    checked = p["checked"][rows, who, depth]
    seconds += (p["position"] * checked + p["each"][list(who), depth]).sum()
    off = n * PRICES[0] + PRICES[2] * p["base"]
    own = PRICES[0] * (1 + checked) + PRICES[1] * p["drafted"][list(who), depth]
    slow = 1.0 - p["speeds"]
    cost = p["speeds"].mean() * seconds / p["base"]
    cost += ((slow * own).sum() + slow.mean() * PRICES[2] * seconds) / off
    return n * cost / (n + p["gains"][rows, who, depth].sum())


@pytest.mark.parametrize("seed", range(60))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    p = problem(seed)
    count, n = p["fixed"].shape[0], len(p["held"])
    ways = [
        who
        for who in product(range(count), repeat=n)
        if all(h in (-1, d) for h, d in zip(p["held"], who, strict=True))
    ]
    least = min(per_token(p, who, depth) for who in ways for depth in p["depths"])
    chosen = np.zeros(n, np.int64)
    depth, used, cost, rate = choose(**p, chosen=chosen)
    assert cost == pytest.approx(least, rel=1e-9)
    assert rate == pytest.approx(n / cost)
    running = sum(1 << d for d in {*chosen.tolist()} if p["fixed"][d].max() > 0)
    assert running & used == running
    assert per_token(p, tuple(chosen.tolist()), depth) == pytest.approx(least, rel=1e-9)


def test_a_pass_is_paid_once_for_all() -> None:
    """A model that is too dear for one request pays for many."""
    p = problem(0, n=1, count=2) | {"speeds": np.ones(1), "held": np.array([-1]), "in_force": 0}
    p["gains"] = np.array([[[0.0] * 4, [0.0, 0.6, 0.8, 0.9]]])
    p["checked"] = np.array([[[0.0] * 4, [0.0, 1.0, 2.0, 3.0]]])
    p["fixed"][1] = 7e-3 * np.arange(K + 1)
    p["each"][:] = 0.0
    chosen = np.zeros(1, np.int64)
    assert choose(**p, chosen=chosen)[1] == 0
    many = 8
    for name in ("gains", "checked", "held", "speeds"):
        p[name] = np.repeat(p[name], many, axis=0)
    # A step of many takes no longer here; what one position more takes, it does for each.
    p["position"] = 1e-5
    p["fixed"][1] = 4e-3 * np.arange(K + 1)
    chosen = np.zeros(many, np.int64)
    assert choose(**p, chosen=chosen)[1] == 2
    assert (chosen == 1).all()


def test_what_is_required_is_paid_for() -> None:
    p = problem(3) | {"held": np.full(3, -1), "in_force": 0}
    free, forced = (np.zeros(3, np.int64) for _ in range(2))
    least = choose(**p, chosen=free)[2]
    _, used, cost, _ = choose(**(p | {"required": 0b110}), chosen=forced)
    assert used == 0b110
    assert cost >= least
