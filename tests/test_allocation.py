"""How verification is divided among requests."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from flyball.policies.adaspec import verify
from flyball.policies.allocation import allocate, outlook
from flyball.policies.spaces import CLASSES
from flyball.policies.survival import SurvivalEstimator
from hypothesis import given, settings
from hypothesis import strategies as st

SECONDS = np.array([20e-3, 1e-3, 0.5e-3])  # without drafts, per pass, per position
PRICES = np.array([1.0, 0.05, 0.0])
FLAT = np.ones(9)
FREE = np.array([1.0, 0.0, 0.0])  # drafts cost nothing


def divided(
    survival, drafts, speeds=1.0, pace=math.inf, credit=0.0, depth=4, rounds=30, seconds=SECONDS,
    factors=FLAT, prices=PRICES,
):  # fmt: skip
    """What ``allocate`` returns and the lengths, once the rate has settled."""
    survival = np.array(survival, np.float64)
    n = len(survival)
    each = [np.broadcast_to(np.float64(x), (n,)).copy() for x in (speeds, pace, credit)]
    lengths, rate = np.zeros(n, np.int64), 1.0
    drafts = np.broadcast_to(np.int64(drafts), (n,)).copy()
    for _ in range(rounds):
        deeper, rate, total, limit = allocate(
            survival, survival, drafts, *each, seconds, factors, prices, depth, rate, lengths
        )
    return lengths.tolist(), deeper, rate, total, limit


def chain(acceptance, n=8):
    """Survival of a request whose drafts are each accepted with one probability."""
    return [acceptance ** (j + 1) for j in range(n)]


def test_the_outlook_is_the_estimators_to_the_last_bit():
    estimator, rng = SurvivalEstimator(), np.random.default_rng(0)
    slots, frailties = rng.integers(0, CLASSES, 70), rng.uniform(0.1, 4.0, 70)
    found = outlook(estimator.tables, slots, frailties)
    assert (found == estimator.outlook(slots.tolist(), frailties.tolist())).all()


def test_what_brings_most_is_verified():
    lengths, depth, *_ = divided([chain(0.95), chain(0.6), chain(0.05)], 4)
    assert depth == 4
    assert lengths[0] == 4
    assert lengths[0] >= lengths[1] >= lengths[2]
    assert lengths[2] == 0


def test_never_more_than_was_drafted():
    lengths, *_ = divided([chain(0.95), chain(0.95)], [2, 0])
    assert lengths == [2, 0]


def test_seconds_are_those_of_what_is_verified():
    lengths, depth, _, total, limit = divided([chain(0.95), chain(0.05)], 4)
    assert total == pytest.approx(20e-3 + depth * 1e-3 + sum(lengths) * 0.5e-3)
    assert limit == math.inf


def test_at_speed_0_only_dollars_count():
    # A position costs as much as a token brings: nothing that may be rejected is worth it.
    assert divided([chain(0.95)], 4, speeds=0.0, prices=FREE)[0] == [0]
    # But once drafts are paid for, some of them are.
    assert divided([chain(0.95)], 4, speeds=0.0, prices=np.array([1.0, 0.1, 0.0]))[0] > [0]


def test_each_request_has_its_own_speed():
    lengths, *_ = divided([chain(0.8), chain(0.8)], 4, speeds=np.array([1.0, 0.0]))
    assert lengths[0] > lengths[1]


def test_an_urgent_request_is_served_as_if_its_speed_were_1():
    calm, *_ = divided([chain(0.8), chain(0.8)], 4, speeds=0.0, prices=FREE)
    hurried, *_ = divided(
        [chain(0.8), chain(0.8)], 4, speeds=0.0, pace=np.array([0.01, math.inf]),
        credit=np.array([-0.1, 0.0]), prices=FREE,
    )  # fmt: skip
    assert calm == [0, 0]
    assert hurried[0] > 0
    assert hurried[1] == 0


def test_where_all_are_behind_all_count_alike():
    survival = [chain(0.9), chain(0.5), chain(0.2)]
    assert divided(survival, 4, pace=0.01, credit=-0.1)[0] == divided(survival, 4)[0]


def test_one_with_credit_is_not_urgent():
    lengths, *_ = divided([chain(0.8)], 4, speeds=0.0, pace=0.01, credit=5.0, prices=FREE)
    assert lengths == [0]


def test_urgent_requests_are_drafted_for_where_the_policy_would_not():
    _, depth, *_ = divided([chain(0.9)], 0, speeds=0.0, pace=0.01, credit=-0.1, depth=0)
    assert depth > 0
    assert divided([chain(0.9)], 0, speeds=0.0, depth=0)[1] == 0


def test_the_step_may_take_what_the_tightest_can_spare():
    *_, limit = divided([chain(0.9), chain(0.9)], 0, pace=np.array([0.03, 0.05]), credit=1.0)
    assert limit == pytest.approx(1.0 + 0.03)


def ratio(survival, lengths, depth, speed):
    """Tokens over the cost of a step in units of one without speculation."""
    n = len(survival)
    tokens = n + sum(sum(row[:k]) for row, k in zip(survival, lengths, strict=True))
    drafts = sum(lengths)
    time = (SECONDS[0] + depth * SECONDS[1] + drafts * SECONDS[2]) / SECONDS[0]
    dollars = (PRICES[0] * (n + drafts) + PRICES[1] * n * depth) / (n * PRICES[0])
    return tokens / (speed * time + (1.0 - speed) * dollars)


@settings(max_examples=60, deadline=None)
@given(
    acceptance=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4),
    speed=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    depth=st.integers(0, 3),
)
def test_no_other_lengths_give_more_for_their_cost(acceptance, speed, depth):
    """Against all lengths there are."""
    survival = [chain(a) for a in acceptance]
    lengths, _, rate, *_ = divided(survival, depth, speeds=speed, depth=depth)
    best = max(
        ratio(survival, other, depth, speed)
        for other in itertools.product(range(depth + 1), repeat=len(survival))
    )
    assert ratio(survival, lengths, depth, speed) == pytest.approx(best, rel=1e-9)
    assert rate == pytest.approx(best, rel=1e-9)


def emptied(alive, depth, seconds=SECONDS, limit=math.inf):
    lengths = np.full(len(alive), -1, np.int64)
    verify(np.array(alive, np.float64), depth, seconds, 1.0, limit, lengths)
    return lengths.tolist()


def test_adaspec_leaves_the_least_confident_without_drafts():
    costly = np.array([20e-3, 0.0, 1e-3])
    alive = [chain(0.95)] * 8 + [chain(0.05)] * 8
    assert emptied(alive, 4, costly) == [4] * 8 + [0] * 8


def test_adaspec_verifies_all_or_nothing_of_a_request():
    costly = np.array([1e-3, 0.0, 1e-3])
    found = emptied([chain(0.3 + 0.04 * i) for i in range(16)], 5, costly)
    assert {*found} <= {0, 5}


def test_adaspec_keeps_everything_where_positions_are_free():
    assert emptied([chain(0.5)] * 5, 4, np.array([1.0, 0.0, 1e-9])) == [4] * 5


def test_adaspec_keeps_within_its_objective():
    seconds = np.array([10e-3, 0.0, 1e-3])
    assert emptied([chain(0.95)] * 4, 4, seconds, limit=15e-3).count(4) <= 1
