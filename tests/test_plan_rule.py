import math

import numpy as np
import pytest
from flyball.policies.plan.rule import Survival, losses
from flyball.policies.plan.schedule import CHOICES, best_schedules, follow_schedule
from flyball.policies.plan.space import PLAN_SPACE, PLAN_SPEED_INDEX, PlanEstimates, observe
from flyball.policies.plan.state import MAX_AHEAD
from flyball.policies.plan.structure import foresee, hindsight, steps_ahead, weighed
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import Course, proposal, state, step

SURVIVAL = PLAN_SPACE.slice("survival_1", MAX_AHEAD)


@st.composite
def courses(draw):
    steps = draw(st.integers(1, 4))
    proposed = draw(st.integers(0, steps))
    begun = draw(st.integers(0, proposed + 1))
    positive = st.floats(0.3, 20.0)
    return Course(
        draw(st.lists(st.floats(0.0, 1.0), min_size=steps, max_size=steps)),
        begun=begun,
        proposed=proposed,
        left=draw(st.lists(positive, min_size=steps + 1, max_size=steps + 1)),
        ages=draw(st.lists(st.floats(0.0, 9.0), min_size=steps + 1, max_size=steps + 1)),
        a=draw(st.floats(0.1, 12.0)),
        t_price=draw(st.floats(0.0, 3.0)),
        a_price=draw(st.floats(0.0, 1.0)),
        at_once=draw(st.floats(0.0, 1.0)),
    )


def scalars(course):
    run = [course.begun, course.proposed, course.steps, course.a, 0.0]
    return np.array([*run, course.a_price, course.t_price, course.at_once, 0.0], float)


def padded(values, fill):
    return np.array([*values, *[fill] * (CHOICES - len(values))], float)


def searched(course, second_value, dollar_value):
    components, schedules = np.zeros((CHOICES, 2)), np.zeros((CHOICES, CHOICES), np.int64)
    survival = padded(np.cumprod([1.0, *course.chances]), 0.0)
    known = survival, padded(course.left, 1.0), padded(course.ages, 0.0), scalars(course)
    best_schedules(*known, second_value, dollar_value, components, schedules)
    return components, schedules, known


@given(courses(), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
@settings(max_examples=150, deadline=None)
def test_no_schedule_is_better_by_simulating_every_outcome(course, second_value, dollar_value):
    components, _, _ = searched(course, second_value, dollar_value)
    ours = second_value * components[:, 0] + dollar_value * components[:, 1]
    least = course.best(second_value, dollar_value)
    there = np.isfinite(least)
    assert (np.isfinite(ours[: len(least)]) == there).all()
    assert ours[: len(least)][there] == pytest.approx(least[there], rel=1e-9, abs=1e-9)


@given(courses())
@settings(max_examples=60, deadline=None)
def test_a_schedule_followed_gives_what_was_told_of_it(course):
    components, schedules, known = searched(course, 0.7, 0.3)
    for a in np.flatnonzero(np.isfinite(components[:, 0])):
        assert follow_schedule(schedules[a], *known) == pytest.approx(tuple(components[a]))


def raw(chance=0.7, speed=0.5, proposed=0):
    """An observation at the start of a step, every further step with one chance."""
    steps = [proposal(f"tool {i}", elapsed=0.0) for i in range(proposed)]
    out = observe(state([step("x", True)], steps, elapsed=math.nan), PlanEstimates())
    out[SURVIVAL] = np.cumprod(np.full(MAX_AHEAD, chance))
    out[PLAN_SPEED_INDEX] = speed
    return out


@given(st.floats(0.02, 0.98), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_higher_speed_is_never_slower_nor_cheaper(chance, one, other, proposed):
    seconds, dollars = [], []
    for speed in sorted((one, other)):
        seen = raw(chance, speed, proposed)
        components = foresee(seen[None]).components[0]
        best = weighed(components[None], np.array([speed]))[0].argmin()
        seconds.append(components[best, 0])
        dollars.append(components[best, 1])
    assert seconds[1] <= seconds[0] + 1e-6
    assert dollars[1] >= dollars[0] - 1e-6


@given(st.floats(0.02, 0.95), st.floats(0.0, 0.04), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_more_survival_is_never_worse_per_step(chance, more, speed):
    def loss(q):
        seen = raw(q, speed)
        return losses(seen).min() / steps_ahead(seen[None])[0]

    assert loss(chance + more) <= loss(chance) + 1e-6


def test_without_a_chance_and_at_speed_0_nothing_runs_ahead():
    assert losses(raw(chance=0.01, speed=0.5)).argmin() == 0
    for chance in (0.1, 0.5, 0.99):
        assert losses(raw(chance, speed=0.0)).argmin() == 0


def test_a_sure_proposal_is_built_upon_at_any_speed_for_nothing():
    seen = raw(chance=1.0, speed=0.01, proposed=1)
    components = foresee(seen[None]).components[0]
    assert components[1, 1] == pytest.approx(components[0, 1], rel=1e-6)
    assert components[1, 0] < components[0, 0]
    assert losses(seen).argmin() >= 1


def test_sequential_costs_one_per_step():
    seen = raw(chance=0.05, speed=0.0)
    told = foresee(seen[None]).components[0, 0] / steps_ahead(seen[None])[0]
    # The state's own step may be slower or dearer than steps are on average.
    t = seen[PLAN_SPACE.index("t_seconds")] / seen[PLAN_SPACE.index("step_seconds")]
    assert told[0] == pytest.approx(t, rel=1e-5)


def test_nothing_goes_beyond_side_effects_or_the_end():
    for last in ({"effectful": True}, {"final": True}):
        seen = observe(
            state([], [proposal("a", elapsed=1.0), proposal("b", **last)], speed=1.0),
            PlanEstimates(),
        )
        assert seen[PLAN_SPACE.index("reach")] == 1
        assert losses(seen).argmin() <= 1


def test_where_calls_are_scarce_less_runs_ahead():
    seen = raw(0.5, 1.0)
    crowded = seen.copy()
    crowded[PLAN_SPACE.index("congestion")] = 1.0
    assert losses(crowded).argmin() < losses(seen).argmin()


def test_hindsight_of_what_was_foreseen_with_certainty_is_what_was_foreseen():
    seen = raw(1.0, 0.5)
    seen[SURVIVAL] = [1, 1, 0, 0, 0, 0, 0, 0]
    told = foresee(seen[None])
    matched = np.array([[1, 1, 0] + [np.nan] * 5], np.float32)
    unknown = np.full((1, CHOICES), np.nan, np.float32)
    # Known up to the mismatch: three steps, the third settled by the target's own action.
    later = hindsight(seen[None], told.schedules, matched, unknown)[0]
    assert later == pytest.approx(told.components[0] - 3.0, abs=1e-6)


def test_hindsight_tells_choices_apart_that_were_not_taken():
    seen = raw(0.7, 0.6)
    told = foresee(seen[None])
    unknown = np.full((1, CHOICES), np.nan, np.float32)
    nan = [np.nan] * 7
    good = hindsight(seen[None], told.schedules, np.array([[1, *nan]], np.float32), unknown)[0]
    bad = hindsight(seen[None], told.schedules, np.array([[0, *nan]], np.float32), unknown)[0]
    assert good[1, 0] < good[0, 0]  # it would have saved time
    assert bad[1, 1] > bad[0, 1]  # it would have been in vain
    assert bad[1, 0] == pytest.approx(bad[0, 0])


def test_it_learns_which_tasks_to_run_ahead_in():
    policy = Survival(budget=0.0)
    for _ in range(30):
        for task, matched in (("easy task", True), ("hard task", False)):
            policy.settled(state(task=task, proposed=[proposal("a")]), 0, matched)
    easy, hard = (policy.decide(state(task=t, speed=0.7)) for t in ("easy task", "hard task"))
    assert easy.steps > hard.steps == 0


def test_exploring_calls_the_proposer_alone_and_says_its_propensity():
    policy = Survival(budget=0.05, seed=1)
    for _ in range(40):
        policy.settled(state(proposed=[proposal("a")]), 0, False)
    decisions = [policy.decide(state(speed=0.5)) for _ in range(400)]
    explored = [d for d in decisions if d.explored]
    assert {d.steps for d in explored} == {1}
    assert {d.steps for d in decisions if not d.explored} == {0}
    expected = sum(d.propensity for d in explored[:1]) * 400
    assert 0.3 * expected < len(explored) < 3.0 * expected
    assert not any(policy.decide(state(speed=0.0)).explored for _ in range(50))
