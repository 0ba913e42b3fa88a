"""Exploration: bounded in what it may cost."""

from __future__ import annotations

import numpy as np
from flyball.policies.exploration import budget, chances, chances_of_one, quickest
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
    assert np.allclose(chances_of_one(scores, None, spend, epsilon), found, atol=1e-9)


@given(scores=SCORES, spend=st.floats(1e-4, 1.0), data=st.data())
def test_what_cannot_be_best_is_never_tried(scores, spend, data) -> None:
    more = data.draw(st.lists(st.floats(0, 3), min_size=len(scores), max_size=len(scores)))
    hopes = [score + hope for score, hope in zip(scores, more, strict=True)]
    found = chances(np.array(scores), spend, hopes=np.array(hopes))
    assert np.isclose(found.sum(), 1.0)
    for chance, score, hope in zip(found, scores, hopes, strict=True):
        assert (chance > 0) == (hope >= max(scores)) or score == max(scores)
    assert np.allclose(chances_of_one(scores, hopes, spend, 0.0), found, atol=1e-9)
    doubt = max(hope - score for hope, score in zip(hopes, scores, strict=True))
    loss = ((max(scores) - np.array(scores)) * found).sum()
    assert loss <= max(spend, 0.5 * (spend * doubt) ** 0.5) + 1e-9


@given(scores=SCORES)
def test_without_a_budget_the_best_is_certain(scores) -> None:
    found = chances(np.array(scores), 0.0)
    assert found[int(np.argmax(scores))] == 1.0
    assert found.sum() == 1.0


def test_near_equals_are_tried_more_often() -> None:
    found = chances(np.array([-1.0, -1.01, -1.5]), 0.01)
    assert found[0] > found[1] > 5 * found[2] > 0


def test_the_budget_falls_with_decisions_to_its_floor() -> None:
    budgets = [budget(n, 0.1, 0.004, 12) for n in range(10_000)]
    assert budgets == sorted(budgets, reverse=True)
    assert (budgets[0], budgets[-1]) == (0.1, 0.004)
    assert np.isclose(budgets[36], 0.05)


def test_what_is_in_doubt_is_tried_sooner() -> None:
    scores = np.array([-0.5, -0.6, -0.6])
    found = chances(scores, 0.01, hopes=np.array([-0.4, -0.48, -0.2]))
    assert found[2] > 2 * found[1] > 0
    assert found[1] < 2 * chances(scores, 0.01)[1]


def test_a_step_may_be_quicker_than_expected_until_it_was_measured() -> None:
    found = quickest(np.array([0.0, 2.0, 1e6]))
    assert found[0] < found[1] < found[2] <= 1.0
    assert found[2] > 0.999
