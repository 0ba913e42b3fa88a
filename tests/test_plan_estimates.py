import math

import numpy as np
import pytest
from flyball.policies.plan.estimates import AgentCalls, CallEstimates, remaining
from flyball.policies.plan.space import ENDED, PLAN_SPACE, PlanEstimates, observe
from hypothesis import given
from hypothesis import strategies as st
from plans import call, proposal, state, step


@pytest.mark.parametrize("elapsed", [0.0, 3.0, 12.0, 30.0])
def test_remaining_is_the_mean_of_what_is_longer(elapsed):
    times = np.exp(np.random.default_rng(0).normal(2.2, 0.5, 400_000))
    longer = times[times > elapsed]
    assert remaining(2.2, 0.5, elapsed) == pytest.approx((longer - elapsed).mean(), rel=0.03)


@given(st.floats(-2, 5), st.floats(0.1, 2.0), st.floats(0.0, 1e6))
def test_remaining_is_finite_and_not_negative(middle, spread, elapsed):
    assert 0.0 <= remaining(middle, spread, elapsed) < math.inf


def test_a_call_that_takes_long_has_more_left_than_the_mean_says():
    assert remaining(2.2, 0.5, 20.0) > 3.0 > math.exp(2.2 + 0.125) - 20.0


def test_seconds_and_dollars_follow_the_step():
    calls, rng = CallEstimates(), np.random.default_rng(1)
    for _ in range(150):
        for i in range(4):
            seconds = math.exp(rng.normal(1.0 + 0.4 * i, 0.3))
            calls.ended(call("T", i, seconds, 1e-3 * (i + 1)))
            calls.ended(call("A", i, 0.5, 1e-5))
    for i in range(4):
        assert calls.t.seconds(i) == pytest.approx(math.exp(1.0 + 0.4 * i + 0.045), rel=0.15)
        assert calls.t.dollars(i) == pytest.approx(1e-3 * (i + 1), rel=0.05)
    assert calls.t.spread == pytest.approx(0.3, abs=0.15)
    assert calls.a.seconds(0) == pytest.approx(0.5, rel=0.1)
    assert calls.sequential[1] == pytest.approx(2.5e-3, rel=0.05)


def test_cancelling_long_calls_does_not_make_calls_look_short():
    rng, fair, blind = np.random.default_rng(2), AgentCalls("T"), AgentCalls("T")
    for _ in range(1500):
        seconds = math.exp(rng.normal(2.0, 0.5))
        done = seconds < 9.0
        fair.add(call("T", 0, min(seconds, 9.0), 1e-3, done))
        if done:
            blind.add(call("T", 0, seconds, 1e-3))
    mean = math.exp(2.0 + 0.125)
    assert fair.seconds(0) == pytest.approx(mean, rel=0.1)
    assert blind.seconds(0) < 0.85 * mean


@pytest.mark.parametrize("due", [0.1, 0.6, 1.0])
def test_what_is_due_at_once_is_learned_from_cancelled_calls(due):
    rng, calls = np.random.default_rng(3), AgentCalls("T")
    for _ in range(100):
        calls.add(call("T", 0, 8.0, 1.0))
    for _ in range(300):
        share = rng.random() * 0.9
        calls.add(call("T", 0, 8.0 * share, due + (1.0 - due) * share, done=False))
    assert calls.at_once == pytest.approx(due, abs=0.15)


def test_what_was_learned_is_kept_and_nonsense_is_refused():
    known = PlanEstimates()
    for i in range(20):
        known.calls.ended(call("T", i % 5, 3.0 + i, 1e-3))
        known.matches.settled(state(proposed=[proposal("a")]), i % 3 > 0)
        known.crowd(0.0)
    again = PlanEstimates()
    again.load(known.arrays())
    plan = state([step("b", True)], [proposal("a", elapsed=2.0)], elapsed=0.5)
    assert np.array_equal(observe(plan, again), observe(plan, known))
    for name in known.arrays():
        with pytest.raises(ValueError, match="must be"):
            PlanEstimates().load(known.arrays() | {name: np.zeros(5)})


def test_observations_name_what_is_seen():
    plan = state(
        [step("a", True), step("b", None), step("c", False), step("d", True)],
        [
            proposal("e", judged=True),
            proposal("f", elapsed=4.0),
            proposal("a", logprob=-0.7, final=True),
        ],
        speed=0.3,
        in_flight=5,
        free=2,
        tasks=3,
        elapsed=math.nan,
    )
    told = PLAN_SPACE.describe(observe(plan, PlanEstimates()))
    assert told["step"] == 7
    assert told["committed"] == 4
    assert told["unverified"] == 3
    assert told["begun"] == 2
    assert told["reach"] == 2
    assert told["run"] == 1
    assert told["share"] == pytest.approx(2 / 3)
    assert told["survival_1"] == 1.0 > told["survival_2"] > told["survival_3"]
    assert told["elapsed_0"] == ENDED
    assert told["elapsed_1"] == 4.0
    assert told["elapsed_2"] == 0.0
    assert told["logprob"] == pytest.approx(-0.7)
    assert told["logprob_known"] == told["final"] == told["repeats"] == 1.0
    assert told["effectful"] == 0.0
    assert (told["in_flight"], told["free"], told["tasks"]) == (5, 2, 3)
    assert told["speed"] == pytest.approx(0.3)


@given(
    st.lists(st.sampled_from([True, False, None]), max_size=40),
    st.lists(st.tuples(st.text(max_size=9), st.floats(-99, 0), st.booleans()), max_size=12),
    st.text(max_size=200),
)
def test_observations_are_finite_whatever_is_planned(verdicts, proposals, task):
    steps = [step("t", v) for v in verdicts]
    proposed = [proposal(t, logprob=lp, effectful=e) for t, lp, e in proposals]
    raw = observe(state(steps, proposed, task=task), PlanEstimates())
    assert np.isfinite(raw).all()
    assert ((PLAN_SPACE.normalise(raw) >= 0) & (PLAN_SPACE.normalise(raw) <= 1)).all()
