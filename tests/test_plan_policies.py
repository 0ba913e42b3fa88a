import asyncio

import numpy as np
import pytest
from flyball.policies.plan.catalogue import make_plan_policy, plan_policies
from flyball.policies.plan.dsp import Dsp, Episode, learn, state_text, td_targets
from flyball.policies.plan.oracle import Oracle
from flyball.policies.plan.run_length import RunLengthModel
from flyball.policies.plan.state import MAX_AHEAD
from plans import call, finished, proposal, state, step
from tiny_encoder import write_encoder


@pytest.mark.parametrize(
    ("spec", "name", "barrier"),
    [
        ("fixed:3", "fixed", False),
        ("fixed:k=3,barrier=true", "fixed", True),
        ("isp", "isp", True),
        ("dsp:tau=.9,beta=1", "dsp", True),
        ("survival", "survival", False),
        ("survival:budget=0", "survival", False),
        ("learned", "learned", False),
    ],
)
def test_policies_are_made_by_name(spec, name, barrier):
    policy = make_plan_policy(spec)
    assert (policy.name, policy.barrier) == (name, barrier)
    assert 0 <= policy.decide(state()).steps <= MAX_AHEAD


def test_names_say_what_is_made():
    assert make_plan_policy("fixed:3").decide(state()).steps == 3
    assert make_plan_policy("isp").decide(state()).steps == 4
    assert make_plan_policy("isp:6").decide(state()).steps == 6
    assert make_plan_policy("dsp:tau=.9,beta=3").beta == 3
    assert {e.name for e in plan_policies()} >= {"fixed", "isp", "dsp", "survival", "oracle"}
    assert all(entry.about for entry in plan_policies())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fast", "no plan policy 'fast'; there are fixed, isp, dsp"),
        ("fixed:9", r"option k='9' must be an integer in \[0, 8\]"),
        ("fixed:many", "option k='many' must be"),
        ("dsp:tau=0.2", "option tau='0.2' must be a number in"),
        ("dsp:tau=.9,tau=.8", "option 'tau' is given twice"),
        ("dsp:gamma=1", "has no option 'gamma=1'; there are tau"),
        ("oracle:3", "has no option '3'; it has none"),
        ("oracle", "needs the future"),
        ("dsp:encoder=no/such-encoder", "no text encoder 'no/such-encoder'"),
        ("survival:encoder=no/such-encoder", "no text encoder 'no/such-encoder'"),
    ],
)
def test_nonsense_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        make_plan_policy(spec)


def test_the_oracle_runs_ahead_exactly_as_far_as_steps_match():
    future = [True, True, False, True]
    oracle = Oracle(lambda plan: future[len(plan.committed) :])
    assert oracle.decide(state(speed=0.9)).steps == 2
    assert oracle.decide(state([step("a", True)], speed=0.9)).steps == 1
    assert oracle.decide(state([step("a", True), step("b", True)], speed=0.9)).steps == 0
    assert oracle.decide(state(speed=0.0)).steps == 0
    last = state([step(t, True) for t in "abc"], speed=1.0)
    assert oracle.decide(last).steps == 0  # the last step has nothing after it


def test_the_oracle_learns_what_calls_take():
    oracle = Oracle(lambda _: [True] * 4)
    assert oracle.decide(state(speed=0.5)).steps > 0
    for _ in range(200):
        oracle.ended(call("A", 0, 30.0, 1e-3), state())
        oracle.ended(call("T", 0, 1.0, 1e-3), state())
    assert oracle.decide(state(speed=0.5)).steps == 0


def test_targets_of_a_whole_episode_are_its_run_lengths():
    # With values that are right, TD(lambda) targets are the run lengths themselves.
    episode = Episode(["a", "b", "c"], [True, True, False], ended=True)
    assert td_targets(episode, np.array([2.0, 1.0, 0.0])) == pytest.approx([2, 1, 0])
    right = Episode(["a", "b"], [True, True], ended=True)
    assert td_targets(right, np.array([2.0, 1.0])) == pytest.approx([2, 1])


def test_targets_mix_what_happened_with_what_was_predicted():
    episode = Episode(["a", "b"], [True, False], ended=True)
    # 1 + .95 x 0 (what happened after) + .05 x 5 (what was predicted)
    assert td_targets(episode, np.array([9.0, 5.0])) == pytest.approx([1.25, 0.0])
    cut = Episode(["a"], [True], ended=False)
    assert td_targets(cut, np.array([4.0])) == pytest.approx([4.0])


def test_expectiles_are_above_the_mean_by_as_much_as_they_say():
    rng = np.random.default_rng(0)
    targets = rng.choice([0.0, 1.0, 2.0, 6.0], 320)
    told = {}
    for tau in (0.5, 0.9):
        model = RunLengthModel(tau)
        for _ in range(30):
            model.learn(["one state"] * 320, targets)
        told[tau] = float(model.predict(["one state"])[0])

    def balance(value, tau):
        """0 where a value is the expectile."""
        above = np.clip(targets - value, 0, None).mean()
        below = np.clip(value - targets, 0, None).mean()
        return tau * above - (1 - tau) * below

    assert told[0.5] == pytest.approx(targets.mean(), abs=0.25)
    assert abs(balance(told[0.9], 0.9)) < 0.12
    assert told[0.9] > told[0.5] + 0.8


def run(policy, number, matches, task):
    """Tell a policy of one run with such verdicts."""
    steps = []
    for i, matched in enumerate(matches):
        plan = state(steps, [proposal(f"tool {i}")], run=number, task=task)
        policy.settled(plan, i, matched)
        steps.append(step(f"tool {i}", matched))
    policy.finished(finished(steps, number, task=task))


def test_it_learns_in_which_tasks_runs_are_long():
    policy = Dsp(every=16)
    for i in range(64):
        run(policy, i, [True] * 5, "restore this photograph")
        run(policy, 1000 + i, [False] * 4, "book a flight")
    long, short = (
        policy.decide(state(task=task)).values[0]
        for task in ("restore this photograph", "book a flight")
    )
    assert long > 3.0
    assert short < 1.0
    assert policy.decide(state(task="book a flight")).steps == 1  # a round has one step at least
    policy.beta = 2
    assert policy.decide(state(task="book a flight")).steps >= 2


def test_live_it_learns_in_the_background_unless_told_otherwise():
    assert make_plan_policy("dsp", live=True).slow
    assert not make_plan_policy("dsp:background=false", live=True).slow
    assert not make_plan_policy("dsp").slow  # a replay is the same every time


def test_learning_in_the_background_gives_a_decision_in_time():
    policy = make_plan_policy("dsp:every=1,background=true")
    assert policy.slow
    run(policy, 1, [True, False, True], "a task")
    ahead = asyncio.run(policy.consider(state()))
    assert 1 <= ahead.steps <= MAX_AHEAD


def test_texts_of_states_have_the_task_and_its_steps():
    assert state_text("do it", [step("a"), step("b")]) == "do it\n1. a\n2. b"


def test_learning_lessens_the_error():
    episodes = [Episode([f"task {i % 3}"], [i % 3 == 0], True) for i in range(90)]
    model = RunLengthModel(0.5)
    for _ in range(15):
        learn(model, episodes)
    told = model.predict(["task 0", "task 1", "task 2"])
    assert told == pytest.approx([1.0, 0.0, 0.0], abs=0.2)


def test_any_encoder_of_hugging_face_can_stand_in(tmp_path):
    write_encoder(tmp_path)
    model = RunLengthModel(0.5, str(tmp_path))
    before = model.predict(["good task"])
    for _ in range(20):
        model.learn(["good task"] * 16, np.full(16, 5.0))
    assert np.isfinite(before).all()
    assert model.predict(["good task"])[0] > before[0]
    policy = make_plan_policy(f"dsp:encoder={tmp_path}")
    assert policy.decide(state()).steps >= 1
