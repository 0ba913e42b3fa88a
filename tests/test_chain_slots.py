"""Slots and the beginnings that requests share."""

import itertools
import random

from flyball.inference.drafters.chain.slots import Slots
from flyball.inference.drafters.chain.tokens import common
from hypothesis import given
from hypothesis import strategies as st


def prompt(seed, length):
    rng = random.Random(seed)
    return [rng.randrange(11) for _ in range(length)]


def test_the_slot_unused_for_longest_goes_first():
    slots = Slots(3)
    for seed in range(3):
        slots.take(prompt(seed, 50), "")
    for slot, seed in ((1, 1), (0, 0), (2, 2)):
        slots.release(slot, prompt(seed, 50))
    assert slots.take(prompt(9, 50), "").slot == 1
    again = slots.take([*prompt(2, 50), 1], "")
    assert (again.slot, again.source, again.shared) == (2, 2, 50)


@given(st.lists(st.integers(0, 1), max_size=300), st.lists(st.integers(0, 1), max_size=300))
def test_common_is_the_longest_shared_prefix(left, right):
    expected = sum(
        1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(left, right, strict=False))
    )
    assert common(left, right) == expected
    both = [*right, *left]
    assert common(both, [*right, *right], len(right)) == len(right) + common(left, right)
