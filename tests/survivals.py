"""Histories of verified drafts, at random, for the tests of survival."""

from __future__ import annotations

import numpy as np
from flyball.policies.spaces import CLASSES, MAX_DEPTH
from flyball.policies.survival import SurvivalEstimator
from flyball.policies.verified import Verified
from hypothesis import settings
from hypothesis import strategies as st

untimed = settings(max_examples=60, deadline=None)

SLOTS = st.integers(0, CLASSES - 1)


def accepts(rng: np.random.Generator, rates: list[float], drafts: int) -> int:
    """How many of a request's drafts are accepted, position j with rates[j]."""
    accepted = 0
    while accepted < drafts and rng.random() < rates[accepted]:
        accepted += 1
    return accepted


@st.composite
def verifications(draw: st.DrawFn) -> tuple[int, int, int]:
    """A class, positions tried and positions accepted, as an engine has them."""
    tried = draw(st.integers(1, MAX_DEPTH))
    return draw(SLOTS), tried, tried - draw(st.integers(0, 1))


HISTORIES = st.lists(st.lists(verifications(), max_size=12), max_size=12)


def taught(history: list[list[tuple[int, int, int]]]) -> SurvivalEstimator:
    estimator = SurvivalEstimator()
    for interval in history:
        counts = Verified()
        for one in interval:
            counts.add(*one)
        estimator.add(counts)
    estimator.refresh()
    return estimator
