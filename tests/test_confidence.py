from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from flyball.inference.simulator.compiling import uniform
from flyball.inference.simulator.confidence import confidence
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.state import make_world
from flyball.inference.simulator.workload import Phase, RequestClass, Workload
from hypothesis import given
from hypothesis import strategies as st

KEY = np.uint64(20_250_305)
PLACES = 40_000


def drafts(p: np.ndarray, sensitivity: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and acceptance of the drafts of one request's places, as the simulator draws."""
    accepted = np.array([uniform(KEY, place) < at for place, at in enumerate(p)])
    asked = enumerate(zip(p, accepted, strict=True))
    q = [confidence(KEY, place, at, bool(one), sensitivity) for place, (at, one) in asked]
    return np.array(q), accepted


def concordance(q: np.ndarray, accepted: np.ndarray) -> float:
    """How often an accepted draft has more confidence than a rejected one (no ties)."""
    places = np.argsort(np.argsort(q)) + 1.0
    n, m = accepted.sum(), (~accepted).sum()
    return float((places[accepted].sum() - n * (n + 1) / 2) / (n * m))


@pytest.mark.parametrize("sensitivity", [0.0, 0.8, 1.5, 3.0])
def test_of_drafts_with_some_confidence_that_share_is_accepted(sensitivity: float) -> None:
    p = np.random.default_rng(0).uniform(0.02, 0.98, PLACES)
    q, accepted = drafts(p, sensitivity)
    for low, high in pairwise(np.linspace(0.0, 1.0, 11)):
        there = (low <= q) & (q < high)
        noise = math.sqrt(0.25 / there.sum())
        assert abs(accepted[there].mean() - q[there].mean()) < 4 * noise
    # The signal says something of its own, as much as it should.
    assert np.mean((q - accepted) ** 2) == pytest.approx(np.mean(q * (1 - q)), abs=0.01)


@pytest.mark.parametrize("sensitivity", [0.5, 1.2, 2.5])
@pytest.mark.parametrize("p", [0.3, 0.6, 0.95])
def test_confidence_tells_drafts_of_equal_rate_apart_as_its_sensitivity_says(
    p: float, sensitivity: float
) -> None:
    q, accepted = drafts(np.full(PLACES, p), sensitivity)
    theirs = 0.5 * (1.0 + math.erf(sensitivity / 2.0))  # Phi(d / sqrt(2))
    fewer = min(accepted.sum(), (~accepted).sum())
    assert concordance(q, accepted) == pytest.approx(theirs, abs=4 * 0.5 / math.sqrt(fewer))


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000), st.floats(0, 1), st.booleans())
def test_without_sensitivity_only_the_rate_is_known(
    key: int, place: int, p: float, accepted: bool
) -> None:
    assert confidence(np.uint64(key), place, p, accepted, 0.0) == pytest.approx(p, abs=1e-12)


@given(st.integers(0, 2**64 - 1), st.floats(0, 1), st.floats(0, 10))
def test_it_is_a_probability_and_higher_where_the_draft_is_accepted(
    key: int, p: float, sensitivity: float
) -> None:
    rejected, accepted = (
        confidence(np.uint64(key), 3, p, one, sensitivity) for one in (False, True)
    )
    assert 0.0 <= rejected <= accepted <= 1.0


def test_the_draw_is_none_of_those_of_acceptance() -> None:
    # The same place, and places apart: what is left of the signal must not follow the luck.
    p = np.full(PLACES, 0.5)
    q, accepted = drafts(p, 1.0)
    rest = np.log(q / (1 - q)) - np.where(accepted, 0.5, -0.5)
    luck = np.array([uniform(KEY, place) for place in range(PLACES)])
    assert rest.mean() == pytest.approx(0.0, abs=4 / math.sqrt(PLACES))
    assert rest.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * PLACES))
    for lag in range(4):
        apart = np.corrcoef(rest[lag:], luck[: PLACES - lag])[0, 1]
        assert abs(apart) < 4 / math.sqrt(PLACES)
    assert abs(np.corrcoef(rest[1:], rest[:-1])[0, 1]) < 4 / math.sqrt(PLACES)


def test_every_class_has_its_own_sensitivity() -> None:
    classes = (RequestClass("sure", (0.9,), sensitivity=2.5), RequestClass("blind", (0.9,)))
    world = make_world(preset("cpu", workload=Workload(classes, (Phase(concurrency=1),))))
    assert world.kinds["sensitivity"].tolist() == [2.5, classes[1].sensitivity]


@pytest.mark.parametrize("sensitivity", [-0.1, 11.0, math.nan])
def test_a_sensitivity_that_makes_no_sense_is_refused(sensitivity: float) -> None:
    with pytest.raises(ValueError, match=r"sensitivity must be in \[0, 10\]"):
        RequestClass("x", (0.5,), sensitivity=sensitivity)
