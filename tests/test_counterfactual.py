"""What an interval tells of other depths."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from factories import COEFFICIENTS, State, World
from flyball.controller.intake import outcome_rows, to_rows
from flyball.policies.counterfactual import deeper, foretold, full_information, shallower
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.structure import Structure
from flyball.policies.transition import (
    ACCEPTED,
    CHECKED,
    COLUMN,
    ROW_SIZE,
    TRIED,
    Outcome,
    outcome_row,
)
from hypothesis import given
from hypothesis import strategies as st

Requests = list[tuple[int, int]]
"""How far the drafts of each would survive, and how many are verified at most."""

REQUESTS = st.lists(
    st.tuples(st.integers(0, MAX_DEPTH), st.integers(0, MAX_DEPTH)), min_size=1, max_size=40
)


def played(requests: Requests, depth: int, seconds: float = 1.0) -> Outcome:
    """One interval of verifications at a depth."""
    lengths = [min(most, depth) for _, most in requests]
    met = [min(a, length) for (a, _), length in zip(requests, lengths, strict=True)]
    tried = [min(a + 1, length) for a, length in zip(met, lengths, strict=True)]

    def reached(counts: list[int]) -> tuple[int, ...]:
        return tuple(sum(j <= n for n in counts) for j in range(1, MAX_DEPTH + 1))

    return Outcome(
        seconds=seconds,
        steps=4,
        request_seconds=seconds * len(met) / 4,
        request_steps=len(met),
        emitted=len(met) + sum(met),
        drafted=len(met) * depth,
        verified=len(met) + sum(lengths),
        prefill=0,
        context=100 * len(met),
        finished=0,
        checked=reached(lengths),
        tried=reached(tried),
        accepted=reached(met),
    )


def uncut(*survives: int) -> Requests:
    """Requests that verify all that is drafted."""
    return [(a, MAX_DEPTH) for a in survives]


@given(requests=REQUESTS, depth=st.integers(1, MAX_DEPTH), data=st.data())
def test_equals_playing_the_shallower_depth_on_the_same_acceptances(requests, depth, data) -> None:
    less = data.draw(st.integers(0, depth))
    scale = data.draw(st.floats(0.1, 1.0))
    deep = outcome_row(depth, played(requests, depth))
    replayed = outcome_row(less, played(requests, less, scale))
    found = shallower(deep[None], np.array([less]), np.array([scale]), np.array([less]))
    assert np.allclose(found[0], replayed)


def test_a_request_that_ended_early_emitted_no_less_than_a_token_a_step() -> None:
    outcome = played(uncut(4, 4), 4)
    row = outcome_row(4, outcome)
    row[COLUMN["emitted"]] = 3  # of ten, as both requests were nearly done
    found = shallower(row[None], np.array([1]), np.ones(1), np.zeros(1))
    assert found[0, COLUMN["emitted"]] == 2


@pytest.mark.parametrize("cliff", [0, 32])
def test_every_row_tells_of_all_depths_up_to_its_own(cliff: int) -> None:
    world = World(noise=0.0, cliff=cliff)
    transitions = world.transitions(50, [State(1, "easy"), State(16, "hard")])
    rows = to_rows(transitions, outcome_rows(transitions), 0, 0.05)
    structure = Structure(6, COEFFICIENTS, world.prices)
    which, depths, every = full_information(rows, structure)
    assert len(which) == len(every) == sum(t.decision.applied + 1 for t in transitions)
    own = depths == rows.actions[which]
    assert np.array_equal(every.outcomes[own], rows.outcomes)
    if cliff:
        return  # then step times are not what the structure says
    for row, depth, outcome in zip(which, depths, every.outcomes, strict=True):
        state = State(int(rows.observations[row, 0]), "any")
        expected = world.seconds(state)[depth] * outcome[COLUMN["steps"]]
        assert outcome[COLUMN["seconds"]] == pytest.approx(expected, rel=1e-3)


@given(survives=st.lists(st.integers(0, MAX_DEPTH), min_size=1, max_size=40), data=st.data())
def test_what_is_foretold_is_what_comes_where_survival_is_right(survives, data) -> None:
    less = data.draw(st.integers(0, MAX_DEPTH - 1))
    depth = data.draw(st.integers(less + 1, MAX_DEPTH))
    scale = data.draw(st.floats(1.0, 5.0))
    # What is cut short above the depth that was applied stays so; all others go on.
    shorter = st.tuples(st.integers(0, MAX_DEPTH), st.integers(0, less - 1))
    requests = uncut(*survives) + (data.draw(st.lists(shorter)) if less else [])
    row = outcome_row(less, played(requests, less))
    survival = np.array(played(uncut(*survives), MAX_DEPTH).accepted) / len(survives)
    kept = np.ones((1, MAX_DEPTH))
    found = deeper(
        row[None], np.array([depth]), np.array([scale]), np.array([0]), survival[None], kept
    )
    comes = outcome_row(depth, played(requests, depth, scale))
    comes[COLUMN["switched"]] = 1.0
    assert np.allclose(found[0], comes)


@given(requests=REQUESTS, data=st.data())
def test_what_is_foretold_is_cut_short_as_requests_would_be(requests, data) -> None:
    less = data.draw(st.integers(0, MAX_DEPTH - 1))
    depth = data.draw(st.integers(less + 1, MAX_DEPTH))
    full = played(requests, MAX_DEPTH)
    survival, kept = (np.array([n]) / len(requests) for n in (full.accepted, full.checked))
    row = outcome_row(less, played(requests, less))
    found = deeper(row[None], np.array([depth]), np.ones(1), np.array([0]), survival, kept)
    comes = outcome_row(depth, played(requests, depth))
    comes[COLUMN["switched"]] = 1.0
    same = np.ones(ROW_SIZE, bool)
    same[TRIED] = False  # how many of those accepted before verify a position is not told
    assert np.allclose(found[0, same], comes[same])
    assert (found[0, TRIED] >= comes[TRIED] - 1e-9).all()
    assert (found[0, ACCEPTED] <= found[0, TRIED] + 1e-9).all()
    assert (found[0, TRIED] <= found[0, CHECKED] + 1e-9).all()


def test_seconds_at_other_depths_are_of_what_would_be_verified() -> None:
    requests = [(8, 1), (8, 2), (8, MAX_DEPTH)] * 8
    world = World(noise=0.0)
    transition = world.transition(State(3), 4)
    transition = msgspec.structs.replace(transition, outcome=played(requests, 4, 0.1))
    rows = to_rows([transition], outcome_rows([transition]), 0, 0.05)
    structure = Structure(6, COEFFICIENTS, world.prices)

    def seconds(depth: int) -> float:
        """Of a step, by the law behind the world."""
        drafts = sum(min(most, depth) for _, most in requests) / 4
        features = np.array([1.0, 6.0, depth, drafts, 0.0, 600.0, 6.0 * depth])
        return float(features @ np.array(COEFFICIENTS))

    for found in (full_information(rows, structure), foretold(rows, structure)):
        _, depths, every = found
        for depth, outcome in zip(depths, every.outcomes, strict=True):
            expected = 0.1 * seconds(depth) / seconds(4)
            assert outcome[COLUMN["seconds"]] == pytest.approx(expected, rel=1e-5)
            verified = outcome[COLUMN["request_steps"]] + outcome[CHECKED].sum()
            assert outcome[COLUMN["verified"]] == verified


def test_every_row_foretells_all_depths_beyond_its_own() -> None:
    world = World(noise=0.0)
    transitions = world.transitions(50, [State(1, "easy"), State(16, "hard")])
    rows = to_rows(transitions, outcome_rows(transitions), 0, 0.05)
    structure = Structure(6, COEFFICIENTS, world.prices)
    which, depths, every = foretold(rows, structure)
    assert (depths > rows.actions[which]).all()
    assert len(which) == len(every) == sum(6 - t.decision.applied for t in transitions)
    assert np.array_equal(every.actions, depths)
    assert np.isfinite(every.outcomes).all()
    # Deeper takes longer and emits no less.
    assert (every.outcomes[:, COLUMN["seconds"]] > rows.outcomes[which, COLUMN["seconds"]]).all()
    emitted = rows.outcomes[which, COLUMN["emitted"]]
    assert (every.outcomes[:, COLUMN["emitted"]] >= emitted).all()
