"""In which order waiting requests are admitted."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from flyball.policies.admission import (
    CAUTION,
    PATIENCE,
    TURN,
    admission,
    first_due,
    first_within,
    prompt_tokens,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SPEED = 1000.0 / CAUTION  # so that a thousand prompt tokens are planned for a second


def ordered(arrived, ttft, prompts, started=0.0, due=math.inf, since=0, now=0.0, step=0.0):
    """The order and the pressure."""
    order = np.full(len(arrived), -1, np.int64)
    waiting = np.array([arrived, ttft, prompts], np.float64).T.copy()
    pressure = admission(waiting, started, due, SPEED, 1.0, since, step, now, order)
    return order.tolist(), pressure


def test_prompts_that_were_held_back_are_planned_with_what_they_could_run():
    """Four tenths of a step are, by and large."""
    order = np.empty(2, np.int64)
    two = np.array([[0.0, 1.0, 400.0], [0.0, 1.0, 60.0]])
    # Both are in time at four tenths of 2,000 tokens per second, one of them at the 100 that ran.
    admission(two, 0.0, math.inf, 100.0, CAUTION / 2000.0, 0, 0.0, 0.0, order)
    assert order.tolist() == [0, 1]
    admission(two, 0.0, math.inf, 100.0, 1.0, 0, 0.0, 0.0, order)
    assert order.tolist() == [1, 0]


def test_an_empty_queue_presses_for_what_is_under_way():
    assert ordered([], [], []) == ([], 0.0)
    assert ordered([], [], [], started=500.0, due=2.0) == ([], 250.0)


def test_a_first_token_is_planned_for_one_step_before_it_is_due():
    assert ordered([], [], [], started=500.0, due=2.0, step=1.0) == ([], 500.0)
    assert ordered([0.0], [2.0], [300.0], step=0.5) == ([0], 200.0)


def test_who_is_due_first_goes_first():
    order, _ = ordered([0.0, 0.0, 0.0], [9.0, 3.0, 6.0], [100, 100, 100])
    assert order == [1, 2, 0]


def test_those_without_objectives_follow_in_the_order_of_arrival():
    order, _ = ordered([-3.0, -2.0, 0.0, -1.0], [math.inf, math.inf, 5.0, math.inf], [100] * 4)
    assert order == [2, 0, 1, 3]


def test_a_first_token_that_is_late_already_waits_as_if_nothing_was_promised():
    order, _ = ordered([-10.0, 0.0], [5.0, 15.0], [100, 100])
    assert order == [1, 0]


def test_the_longest_prompt_gives_way():
    # All three are due in two seconds, and there is time for two thousand tokens.
    order, _ = ordered([0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [900, 1500, 1000])
    assert order == [0, 2, 1]


def test_those_without_objectives_give_way_before_the_longest():
    # Long patience is over soon, so they would be due before the promise.
    order, _ = ordered([-PATIENCE + 1.0, 0.0], [math.inf, 2.0], [1000, 1900])
    assert order == [1, 0]


def test_one_admission_in_so_many_is_for_who_waited_long():
    arrived, ttft, prompts = [-PATIENCE - 1.0, 0.0], [math.inf, 2.0], [1000, 1000]
    assert ordered(arrived, ttft, prompts, since=0)[0] == [1, 0]
    assert ordered(arrived, ttft, prompts, since=TURN - 1)[0] == [0, 1]
    # Nobody jumps the queue before that long.
    assert ordered([-PATIENCE + 9.0, 0.0], ttft, prompts, since=TURN - 1)[0] == [1, 0]


def test_the_pressure_is_what_the_most_pressing_need():
    _, pressure = ordered([0.0, 0.0], [2.0, 4.0], [1000, 500])
    assert pressure == pytest.approx(500.0)
    _, pressure = ordered([0.0, 0.0], [2.0, 4.0], [1000, 1500])
    assert pressure == pytest.approx(625.0)


@st.composite
def queues(draw):
    """A few requests that all arrived now."""
    n = draw(st.integers(1, 6))
    ttft = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=n, max_size=n))
    prompts = draw(st.lists(st.integers(50, 2000), min_size=n, max_size=n))
    return ttft, prompts


def in_time(order, ttft, prompts):
    """How many get their first token in time in an order."""
    at, count = 0.0, 0
    for i in order:
        at += prompts[i] / 1000.0
        count += at <= ttft[i] + 1e-9
    return count


@settings(max_examples=60, deadline=None)
@given(queues())
def test_no_order_gets_more_first_tokens_in_time(queue):
    ttft, prompts = queue
    order, _ = ordered([0.0] * len(ttft), ttft, prompts)
    assert sorted(order) == list(range(len(ttft)))
    best = max(in_time(o, ttft, prompts) for o in itertools.permutations(range(len(ttft))))
    assert in_time(order, ttft, prompts) == best


@settings(max_examples=60, deadline=None)
@given(
    arrived=st.lists(st.floats(-200.0, 0.0), min_size=1, max_size=40),
    since=st.integers(0, 2 * TURN),
    data=st.data(),
)
def test_every_request_has_one_place(arrived, since, data):
    n = len(arrived)
    ttft = data.draw(st.lists(st.sampled_from([0.5, 5.0, math.inf]), min_size=n, max_size=n))
    prompts = data.draw(st.lists(st.integers(1, 4000), min_size=n, max_size=n))
    order, pressure = ordered(arrived, ttft, prompts, since=since)
    assert sorted(order) == list(range(n))
    assert 0.0 <= pressure < math.inf


def test_due_by_objective_or_by_patience():
    assert first_due(10.0, 2.0, 11.0) == 12.0
    assert first_due(10.0, 2.0, 12.5) == 10.0 + PATIENCE
    assert first_due(10.0, math.inf, 11.0) == 10.0 + PATIENCE


def test_a_deadline_leaves_the_first_token_what_decoding_does_not_take():
    assert first_within(1.0, math.inf, 3.0) == 1.0
    assert first_within(math.inf, math.inf, 3.0) == math.inf
    assert first_within(math.inf, 10.0, 3.0) == 7.0
    assert first_within(5.0, 10.0, 3.0) == 5.0
    # Whoever asks for less than most requests take is not taken to be late before it began.
    assert first_within(math.inf, 2.0, 3.0) == 1.0
    assert first_within(math.inf, 5.0, 3.0) == 2.5


def test_prompts_get_what_objectives_leave():
    assert prompt_tokens(math.inf, 0.02, 1e-4, 0.0, 2048) == 2048
    assert prompt_tokens(0.05, 0.02, 1e-4, 0.0, 2048) == 300
    assert prompt_tokens(9.0, 0.02, 1e-4, 0.0, 2048) == 2048


def test_prompts_get_a_share_of_every_step():
    # A twentieth of the time, whoever is behind.
    assert prompt_tokens(0.01, 0.02, 1e-4, 0.0, 2048) == pytest.approx(200 * 0.05 / 0.95, abs=1)
    assert prompt_tokens(-9.0, 0.02, 1e-4, 0.0, 2048) == pytest.approx(200 * 0.05 / 0.95, abs=1)
    assert prompt_tokens(-9.0, 0.02, 1e-4, 0.0, 5) == 5


def test_a_prompt_goes_on_where_one_token_costs_more_than_its_share_of_a_step():
    for pressure in (0.0, 0.1):
        assert prompt_tokens(-9.0, 0.02, 0.02, pressure, 2048) == 1
    assert prompt_tokens(-9.0, 0.02, 0.02, 0.0, 0) == 0


def test_first_tokens_that_press_get_what_they_need():
    # Three quarters of the time: three times as long as the step takes without prompts.
    assert prompt_tokens(0.01, 0.02, 1e-4, 7500.0, 2048) == pytest.approx(600, abs=1)
