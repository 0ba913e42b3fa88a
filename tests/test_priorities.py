"""Which rows are learned from."""

from __future__ import annotations

import numpy as np
import pytest
from factories import State, World
from flyball.controller.intake import outcome_rows, to_rows
from flyball.policies.priorities import Priorities
from flyball.policies.replay import OutcomeReplay
from flyball.policies.vector_networks import observation_space
from gymnasium import spaces


def counts(priorities: Priorities, size: int, newest: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = np.zeros(size)
    for _ in range(200):
        index, weights = priorities.draw(256, size, newest, rng)
        assert weights.mean() == pytest.approx(1.0)
        drawn += np.bincount(index, minlength=size)
    return drawn


def test_recent_rows_are_drawn_more_often_in_a_ring() -> None:
    priorities = Priorities(20_000)
    drawn = counts(priorities, 20_000, newest=5_000)
    assert drawn[4_000:5_000].mean() > 1.5 * drawn[5_000:6_000].mean() > 0


def test_surprising_rows_are_drawn_more_often_and_weigh_less() -> None:
    priorities = Priorities(100)
    priorities.learned(np.arange(50), np.full(50, 0.04))
    priorities.learned(np.array([99]), np.array([np.nan]))
    drawn = counts(priorities, 100, newest=0)
    assert drawn[50:99].mean() == pytest.approx(5 * drawn[:50].mean(), rel=0.1)
    index, weights = priorities.draw(1000, 100, 0, np.random.default_rng(1))
    assert weights[index < 50].mean() == pytest.approx(
        5 * weights[(index >= 50) & (index < 99)].mean()
    )


def test_rows_know_what_followed_them_in_their_engine() -> None:
    buffer = OutcomeReplay(64, observation_space(), spaces.Discrete(7))
    world = World()

    def rows(engine: int, numbers: range):
        found = [world.transition(State(), 2, number=n) for n in numbers]
        return to_rows(found, outcome_rows(found), engine, 0.05)

    for part in [(0, range(1, 5)), (1, range(1, 3)), (0, range(5, 8)), (0, range(9, 11))]:
        buffer.append(rows(*part))
    after, there = buffer.successors(np.arange(11))
    assert after[there].tolist() == [1, 2, 3, 6, 5, 7, 8, 10]
    assert np.flatnonzero(~there).tolist() == [5, 8, 10]  # the newest, and before a gap
    for n in range(11, 80):  # over the ring's end, and over what was there
        buffer.append(rows(0, range(n, n + 1)))
    index = np.arange(64)
    after, there = buffer.successors(index)
    assert there.sum() == 63
    assert (buffer.numbers[after[there]] == buffer.numbers[index[there]] + 1).all()
