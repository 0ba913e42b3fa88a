"""Text encoders as features of the survival rule: asked beside the event loop, remembered."""

import threading

import numpy as np
import pytest
from flyball.policies.plan.catalogue import make_plan_policy
from flyball.policies.plan.encoder import RememberedEncoder
from flyball.policies.plan.features import PLACES
from flyball.policies.plan.state import MAX_AHEAD
from plans import proposal, state
from running import until
from tiny_encoder import SIZE, write_encoder


class Held:
    """An encoder that waits to be let go, and notes who asks it for what."""

    size = 4

    def __init__(self):
        self.go = threading.Event()
        self.asked = []
        self.threads = set()

    def encode(self, text):
        assert self.go.wait(30.0)
        self.threads.add(threading.get_ident())
        self.asked.append(text)
        if text == "broken":
            raise RuntimeError("on purpose")
        return np.full(4, 0.5, np.float32)


@pytest.fixture
def held():
    held = Held()
    yield held
    held.go.set()


def test_nobody_waits_for_a_vector_and_it_is_used_once_it_is_there(held):
    encoder = RememberedEncoder(held)
    for _ in range(3):
        assert not encoder.encode("a").any()
    held.go.set()
    until(lambda: encoder.encode("a").any())
    assert held.asked == ["a"]
    assert threading.get_ident() not in held.threads


def test_what_waits_and_what_is_remembered_is_bounded(held):
    encoder = RememberedEncoder(held, kept=8)
    for i in range(1000):
        encoder.encode(f"text {i}")
    held.go.set()
    until(lambda: encoder.encode("last").any())
    assert len(held.asked) < 100
    assert len(encoder._vectors) == 8


def test_a_text_that_cannot_be_encoded_tells_nothing_and_is_not_asked_for_again(held):
    held.go.set()
    encoder = RememberedEncoder(held, background=False)
    assert not encoder.encode("broken").any()
    assert not encoder.encode("broken").any()
    assert held.asked == ["broken"]


@pytest.mark.parametrize("background", ["true", "false"])
def test_survival_with_an_encoder_by_name_learns_what_its_vectors_tell(tmp_path, background):
    write_encoder(tmp_path)
    policy = make_plan_policy(f"survival:encoder={tmp_path},budget=0,background={background}")
    plans = {
        word: state(task=f"{word} task", proposed=[proposal(word)]) for word in ("good", "bad")
    }

    def learned():
        """Outcomes of both tasks, until the vectors of all texts were learned from."""
        for word, plan in plans.items():
            assert 0 <= policy.decide(plan).steps <= MAX_AHEAD
            policy.settled(plan, 0, word == "good")
        arrays = policy.estimates.arrays()
        before, added = arrays["matches/before"], arrays["matches/proposal"]
        assert before.shape[1] == PLACES + SIZE
        assert added.shape[1] == PLACES + 2 * SIZE
        return (before[0, PLACES:] != 0.0).all() and (added[0, -SIZE:] != 0.0).all()

    until(learned)
