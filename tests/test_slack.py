"""How much time requests have left to their objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from flyball.policies.slack import DEADLINE, HORIZON, MET, TPOT, TTFT, allowed, slack
from hypothesis import given
from hypothesis import strategies as st

NONE = math.inf
EMITTED = 11


def told(
    ttft=NONE, tpot=NONE, deadline=NONE, arrived=100.0, first=101.0, emitted=EMITTED,
    length=50.0, now=102.0, most=NONE, least=0.0,
):  # fmt: skip
    """Pace, credit and objective missed of one request."""
    pace, credit, missed = np.zeros(1), np.zeros(1), np.zeros(1, np.int64)
    terms = np.array([[ttft, tpot, deadline, arrived, most, first, emitted]])
    slack(terms, length, least, now, pace, credit, missed)
    return float(pace[0]), float(credit[0]), int(missed[0])


def test_without_objectives_nothing_is_asked():
    assert told() == (NONE, 0.0, MET)
    assert allowed(NONE, 0.0, 1.0) == NONE


def test_tokens_earn_and_time_spends():
    # Ten tokens after the first earn a second; a second has passed since the first.
    assert told(tpot=0.1) == pytest.approx((0.1, 0.0, MET), abs=1e-9)
    assert told(tpot=0.1, now=101.5)[1] == pytest.approx(0.5)
    assert told(tpot=0.1, now=102.2)[1] == pytest.approx(-0.2)


def test_credit_is_spent_at_once_and_debt_paid_back_in_time():
    assert allowed(0.1, 0.5, 2.0) == pytest.approx(0.7)
    assert allowed(0.1, -0.8, 2.0) == pytest.approx(0.2 - 0.8 / HORIZON)


def test_a_first_token_that_came_late_frees_from_the_rest():
    assert told(ttft=0.9, tpot=0.1)[2] == TTFT
    assert told(ttft=1.1, tpot=0.1)[2] == MET


def test_before_the_first_token_time_runs_from_the_arrival():
    waiting = {"ttft": 1.0, "tpot": 0.1, "first": math.nan, "emitted": 0}
    assert told(**waiting, now=100.9) == (NONE, 0.0, MET)
    assert told(**waiting, now=101.1)[2] == TTFT


def test_a_debt_beyond_what_tokens_to_come_can_pay_is_given_up():
    assert told(tpot=0.1, now=102.4, length=50.0)[2] == MET  # owes .4 of at most .5
    pace, credit, missed = told(tpot=0.1, now=102.6, length=50.0)
    assert (pace, credit, missed) == (NONE, 0.0, TPOT)


def test_a_deadline_asks_for_a_pace():
    assert told(deadline=4.0, length=EMITTED + 20.0) == pytest.approx((0.1, 0.0, MET))
    assert told(deadline=4.0, now=104.0)[2] == DEADLINE


def test_a_deadline_asks_for_the_tokens_that_are_left():
    assert told(deadline=4.0, length=EMITTED + 20.0, most=EMITTED + 5)[0] == pytest.approx(0.4)
    # One that is longer than most may end with every token.
    assert told(deadline=4.0, length=5.0)[0] == pytest.approx(2.0)
    assert told(deadline=4.0, length=5.0, most=EMITTED)[0] == pytest.approx(2.0)


def test_a_deadline_is_given_up_once_the_tokens_left_take_longer_at_best():
    ten = {"deadline": 4.0, "length": EMITTED + 10.0, "least": 0.05}
    assert told(**ten, now=103.4)[2] == MET  # half a second is enough
    assert told(**ten, now=103.6) == (NONE, 0.0, DEADLINE)
    assert told(**ten, now=103.6, most=EMITTED + 5)[2] == MET
    assert told(**ten | {"length": 1.0}, now=103.94)[2] == MET
    assert told(**ten | {"length": 1.0}, now=103.96)[2] == DEADLINE


def test_the_stricter_of_two_holds():
    assert told(tpot=0.5, deadline=4.0, length=EMITTED + 20.0)[0] == pytest.approx(0.1)
    assert told(tpot=0.05, deadline=4.0, length=EMITTED + 20.0, now=101.2)[0] == pytest.approx(0.05)


@given(
    tpot=st.floats(0.001, 1.0),
    spent=st.floats(0.0, 100.0),
    shift=st.floats(-1e6, 1e6),
    emitted=st.integers(1, 1000),
)
def test_only_differences_of_times_count(tpot, spent, shift, emitted):
    here = told(tpot=tpot, arrived=0.0, first=1.0, emitted=emitted, now=1.0 + spent)
    there = told(
        tpot=tpot, arrived=shift, first=shift + 1.0, emitted=emitted, now=shift + 1.0 + spent
    )
    if here[2] == there[2]:  # at the very edge, rounding decides
        assert there[:2] == pytest.approx(here[:2], abs=1e-6)


@given(now=st.floats(allow_nan=False, allow_infinity=False))
def test_a_clock_that_jumps_does_not_break_anything(now):
    pace, credit, missed = told(ttft=1.0, tpot=0.1, deadline=5.0, now=now)
    assert not math.isnan(pace)
    assert not math.isnan(credit)
    assert missed in (MET, TTFT, TPOT, DEADLINE)
