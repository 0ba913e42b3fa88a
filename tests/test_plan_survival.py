import os
import subprocess
import sys

import numpy as np
import pytest
from flyball.policies.calibration import Calibration
from flyball.policies.plan.features import (
    PLACES,
    StepContext,
    context_features,
    contexts,
    text_features,
)
from flyball.policies.plan.survival import MatchModel, sigmoid
from plans import TASK, proposal, state, step


def stream(rng, count):
    """Steps whose chances depend on task and tool, with what came of them."""
    for _ in range(count):
        task, tool = rng.integers(4), rng.integers(3)
        chance = sigmoid(1.5 * task - 2.5 + 1.2 * (tool == 1))
        plan = state(task=f"task number {task}", proposed=[proposal(f"tool {tool}")])
        yield plan, chance, bool(rng.random() < chance)


def test_chances_come_true():
    rng, model, judged = np.random.default_rng(1), MatchModel(), Calibration()
    known = []
    for i, (plan, chance, matched) in enumerate(stream(rng, 3000)):
        told = float(model.chances(plan)[0])
        if i > 1000:
            judged.add([told], int(matched))
            known.append(abs(told - chance))
        model.settled(plan, matched)
    _, error = judged.overall()
    assert error < 0.05
    assert np.mean(known) < 0.1


def test_a_proposal_tells_more_than_its_context():
    rng, model = np.random.default_rng(2), MatchModel()
    before = model.told
    for _ in range(500):
        right = rng.random() < 0.5
        plan = state(proposed=[proposal("good" if right else "bad")])
        model.settled(plan, right)
    assert model.chances(state(proposed=[proposal("good")]))[0] > 0.9
    assert model.chances(state(proposed=[proposal("bad")]))[0] < 0.1
    assert model.chances(state())[0] == pytest.approx(0.5, abs=0.15)
    assert model.told > 0.6 > before


def test_an_answer_of_no_use_tells_of_the_step():
    model = MatchModel()
    for _ in range(8):
        model.settled(state(), False)
    assert model.chances(state())[0] < MatchModel().chances(state())[0] / 2


def test_what_is_censored_teaches_nothing():
    model = MatchModel()
    plan = state(proposed=[proposal("a"), proposal("b")])
    before = {name: array.copy() for name, array in model.arrays().items()}
    model.settled(plan, None)
    model.settled(state(), True)  # nothing was proposed that it could be about
    after = model.arrays()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_a_run_that_is_cut_off_teaches_its_matches_in_full():
    cut, whole = MatchModel(), MatchModel()
    steps = [step(f"tool {i}", True) for i in range(4)]
    for i in range(4):
        plan = state(steps[:i], [proposal(s.tool) for s in steps[i:]])
        whole.settled(plan, i < 3)
        if i < 3:
            cut.settled(plan, True)
    for i in range(3):
        plan = state(steps[:i], [proposal(steps[i].tool)])
        assert cut.chances(plan)[0] > MatchModel().chances(plan)[0]
    last = state(steps[:3], [proposal(steps[3].tool)])
    assert whole.chances(last)[0] < cut.chances(last)[0]


def test_a_step_is_told_by_what_was_done_there_before():
    model, rng = MatchModel(), np.random.default_rng(3)
    for i in range(200):
        task, right = f"task {i % 20}", rng.random() < 0.5
        done = f"tool {i % 20}"
        model.settled(state(task=task, proposed=[proposal(done if right else "other")]), right)
        model.finished(task, [step(done)])
    # Never proposed for a task of which only the outcome is known.
    model.finished("another", [step("only done")])
    same, different = (
        model.chances(state(task="another", proposed=[proposal(tool)]))[0]
        for tool in ("only done", "not done")
    )
    assert same > different + 0.3


def test_a_settled_verdict_is_certain():
    plan = state(proposed=[proposal("a", judged=True), proposal("b")])
    chances = MatchModel().chances(plan)
    assert chances[0] == 1.0
    assert 0.0 < chances[1] < 1.0


def test_what_was_learned_is_kept_and_nonsense_is_refused():
    rng, model = np.random.default_rng(4), MatchModel()
    for plan, _, matched in stream(rng, 200):
        model.settled(plan, matched)
    model.finished(TASK, [step("a"), step("b")])
    again = MatchModel()
    again.load(model.arrays())
    plan = state([step("a", False)], [proposal("tool 1", logprob=-0.3)])
    assert np.array_equal(again.chances(plan), model.chances(plan))
    for wrong in ({}, model.arrays() | {"before": np.full((2, PLACES), np.nan)}):
        with pytest.raises(ValueError, match="must be finite numbers of shape"):
            again.load(wrong)
    assert np.array_equal(again.chances(plan), model.chances(plan))


def test_hashing_is_the_same_in_every_process():
    code = (
        "from flyball.policies.plan.features import *;"
        "c = StepContext('a task with words', 2, (True, None, False), 'tool');"
        "print(context_features(c)[0].tolist())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = context_features(StepContext("a task with words", 2, (True, None, False), "tool"))
    assert told == {f"{here[0].tolist()}\n"}


def test_further_steps_are_seen_as_if_those_before_matched():
    plan = state([step("a", False)], [proposal("b"), proposal("c")])
    found = contexts(plan, 4)
    assert [c.index for c in found] == [1, 2, 3, 4]
    assert [c.before for c in found] == ["a", "b", "c", None]
    assert found[2].verdicts == (False, True, True)


def test_text_features_tell_texts_apart_and_have_length_1():
    one, other = (text_features(task, ("a",), 32) for task in (TASK, "Book a flight to Oslo"))
    assert not np.array_equal(one[:16], other[:16])
    assert np.array_equal(one[16:], other[16:])
    for half in (one[:16], one[16:]):
        assert np.linalg.norm(half) == pytest.approx(1.0)
    assert not text_features("", (), 32).any()


class Letters:
    """A tiny encoder: shares of some letters."""

    size = 3

    def encode(self, text):
        return np.array([text.count(c) / max(len(text), 1) for c in "aeo"], np.float32)


def test_an_encoder_adds_dense_features():
    rng, plain, dense = np.random.default_rng(5), MatchModel(), MatchModel(Letters())
    for _ in range(400):
        right = rng.random() < 0.5
        text = f"{rng.integers(10**9)} " + ("aaaaaaaa" if right else "oooooooo")
        plan = state(task=text, proposed=[proposal("same")])
        for model in (plain, dense):
            model.settled(plan, right)
    good, bad = (state(task="new " + c * 8, proposed=[proposal("same")]) for c in "ao")
    # Words are hashed whole; letters are what the encoder alone sees.
    gap = dense.chances(good.__class__("x aaaa", proposed=good.proposed))[0]
    gap -= dense.chances(bad.__class__("x oooo", proposed=bad.proposed))[0]
    assert gap > 0.2
    assert plain.chances(state(task="x aaaa"))[0] == pytest.approx(
        plain.chances(state(task="x oooo"))[0], abs=0.05
    )
