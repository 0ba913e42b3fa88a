"""Exploration: bounded in what it may cost."""

from __future__ import annotations

import numpy as np
from flyball.policies.exploration import belief, budget, chances, chances_of_one
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
    assert np.allclose(
        chances_of_one(scores, None, [1.0] * len(scores), spend, epsilon), found, atol=1e-9
    )


@given(scores=SCORES, spend=st.floats(1e-4, 1.0), data=st.data())
def test_what_cannot_be_best_is_never_tried(scores, spend, data) -> None:
    more = data.draw(st.lists(st.floats(0, 3), min_size=len(scores), max_size=len(scores)))
    hopes = [score + hope for score, hope in zip(scores, more, strict=True)]
    found = chances(np.array(scores), spend, hopes=np.array(hopes))
    assert np.isclose(found.sum(), 1.0)
    for chance, score, hope in zip(found, scores, hopes, strict=True):
        assert (chance > 0) == (hope >= max(scores)) or score == max(scores)
    assert np.allclose(
        chances_of_one(scores, hopes, [1.0] * len(scores), spend, 0.0), found, atol=1e-9
    )


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


def test_what_was_never_measured_is_believed_less_and_tried_more() -> None:
    known = belief(np.array([50.0, 50.0, 0.0]))
    assert (known <= 1.0).all()
    assert known[2] > 0.0
    scores = np.array([-0.5, -0.8, -0.8])
    found = chances(scores, 0.01, known=known)
    assert found[2] > 2 * found[1]
    assert np.allclose(chances_of_one(scores.tolist(), None, known.tolist(), 0.01, 0.0), found)
