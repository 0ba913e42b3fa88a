"""Exploration: bounded in what it may cost."""

from __future__ import annotations

import numpy as np
from flyball.policies.exploration import budget, chances, chances_of_one
from hypothesis import given
from hypothesis import strategies as st

SCORES = st.lists(st.floats(-5, 5), min_size=2, max_size=9)


@given(scores=SCORES, spend=st.floats(1e-4, 1.0), epsilon=st.sampled_from([0.0, 0.1]))
def test_probabilities_and_what_they_cost(scores, spend, epsilon) -> None:
    array = np.array(scores)
    found = chances(array[None], spend, epsilon)[0]
    assert np.isclose(found.sum(), 1.0)
    assert (found > 0).all()
    assert found[array.argmax()] >= found.max() - 1e-12
    loss = ((array.max() - array) * chances(array[None], spend)[0]).sum()
    assert loss <= spend + 1e-9
    best = scores.index(max(scores))
    assert np.allclose(chances_of_one(scores, best, spend, epsilon), found, atol=1e-9)


@given(scores=SCORES)
def test_without_a_budget_the_best_is_certain(scores) -> None:
    found = chances(np.array(scores), 0.0)
    assert found[int(np.argmax(scores))] == 1.0
    assert found.sum() == 1.0


def test_near_equals_are_tried_more_often() -> None:
    found = chances(np.array([-1.0, -1.01, -1.5]), 0.01)
    assert found[0] > found[1] > 5 * found[2] > 0


def test_the_budget_falls_with_coverage_and_with_time() -> None:
    budgets = [budget(np.full(7, float(n)), 12, 0.1, 0.004) for n in range(14)]
    assert budgets == sorted(budgets, reverse=True)
    assert (budgets[0], budgets[-1]) == (0.1, 0.004)
    shallow = [budget(np.array([float(n), 0, 0, 0, 0, 0, 0]), 12, 0.1, 0.004) for n in range(5000)]
    assert shallow == sorted(shallow, reverse=True)
    assert shallow[-1] < 0.1 * shallow[0]
