"""Prompt look-up."""

from __future__ import annotations

import numpy as np
import pytest
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.drafters.ngram import NgramDrafter, look_up
from hypothesis import given
from hypothesis import strategies as st


def plainly(tokens: list[int], depth: int, shortest: int, longest: int) -> list[int]:
    """The same, by looking everywhere."""
    for length in range(longest, shortest - 1, -1):
        tail = tokens[len(tokens) - length :]
        for begin in range(len(tokens) - length):
            if length and tokens[begin : begin + length] == tail:
                return tokens[begin + length : begin + length + depth]
    return []


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6), st.integers(1, 4))
def test_drafts_what_followed_the_longest_earliest_match(
    tokens: list[int], depth: int, shortest: int
) -> None:
    expected = plainly(tokens, depth, shortest, 5)
    assert look_up(np.array(tokens, np.int32), depth, shortest, 5) == expected


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.lists(st.integers(1, 9)))
def test_the_context_is_the_prompt_and_all_that_was_emitted(
    tokens: list[int], cuts: list[int]
) -> None:
    drafter = NgramDrafter()
    drafter.begin("r", tokens[:1], Owner())
    rest = tokens[1:]
    for cut in cuts:
        drafter.extend("r", rest[:cut])
        rest = rest[cut:]
    drafter.extend("r", rest)
    assert drafter.propose([Ask("r", 4)]) == [plainly(tokens, 4, 2, 5)]
    drafter.end("r")
    drafter.end("r")
    with pytest.raises(KeyError):
        drafter.propose([Ask("r", 4)])


@pytest.mark.parametrize("lengths", [(0, 3), (3, 2)])
def test_lengths_that_make_no_sense_are_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="n-grams"):
        NgramDrafter(*lengths)
