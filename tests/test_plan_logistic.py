"""Bayesian logistic regression, held against exact answers."""

import numpy as np
import pytest
from flyball.policies.plan.logistic import HashedLogistic, chance_of
from flyball.policies.plan.survival import sigmoid


def exact(design, outcomes, rounds=60):
    """Weights of the greatest posterior under a standard normal prior, by Newton's method."""
    weights = np.zeros(design.shape[1])
    for _ in range(rounds):
        p = 1.0 / (1.0 + np.exp(-design @ weights))
        slope = design.T @ (p - outcomes) + weights
        curve = design.T @ (design * (p * (1 - p))[:, None]) + np.eye(len(weights))
        weights -= np.linalg.solve(curve, slope)
    return weights


def test_one_pass_comes_close_to_the_exact_posterior():
    rng = np.random.default_rng(0)
    true = np.array([0.8, -1.5, 1.0, 0.0])
    model, rows, outcomes = HashedLogistic(), [], []
    places = np.array([3, 70, 900, 4000])
    for _ in range(4000):
        x = (rng.random(4) < 0.5).astype(float)
        y = bool(rng.random() < sigmoid(x @ true))
        model.learn((places, x), 0.0, 0.0, y)
        rows.append(x)
        outcomes.append(y)
    best = exact(np.array(rows), np.array(outcomes, float))
    ours = np.array([model.moments((places[[i]], np.ones(1)))[0] for i in range(4)])
    # It goes on drifting after what is new, and so never settles altogether.
    assert np.abs(ours - best).max() < 0.3

    def loss(weights):
        logits = np.array(rows) @ weights
        return np.mean(np.logaddexp(0, logits) - logits * np.array(outcomes))

    assert loss(ours) < loss(best) + 0.015  # not using the model at all is worse by 0.09


def test_what_is_special_learns_from_one_outcome_and_what_is_general_hardly():
    model = HashedLogistic()
    general, special = (np.array([1]), np.array([0.3])), (np.array([2]), np.array([1.6]))
    both = tuple(np.concatenate(pair) for pair in zip(general, special, strict=True))
    before = model.moments(special)
    model.learn(both, 0.0, 0.0, True)
    (one, doubt), (other, _) = model.moments(special), model.moments(general)
    assert one > 10 * other > 0.0
    assert doubt < before[1]


def test_credit_goes_to_what_is_least_certain():
    model = HashedLogistic()
    known, new = (np.array([1]), np.ones(1)), (np.array([2]), np.ones(1))
    for i in range(200):
        model.learn(known, 0.0, 0.0, i % 2 == 0)
    settled = model.moments(known)[0]
    model.learn((np.array([1, 2]), np.ones(2)), 0.0, 0.0, True)
    assert model.moments(new)[0] > 4 * abs(model.moments(known)[0] - settled)


def test_an_outcome_that_was_sure_teaches_nothing_to_speak_of():
    model = HashedLogistic()
    feature = np.array([1]), np.ones(1)
    model.learn(feature, 9.0, 0.0, True)
    assert abs(model.moments(feature)[0]) < 1e-3


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 4.0), (1.5, 0.0), (2.0, 3.0), (-1.0, 1.0)])
def test_a_chance_is_the_mean_over_what_the_log_odds_may_be(mean, variance):
    drawn = mean + np.sqrt(variance) * np.random.default_rng(0).standard_normal(200_000)
    assert chance_of(mean, variance) == pytest.approx(np.mean(1 / (1 + np.exp(-drawn))), abs=0.02)
