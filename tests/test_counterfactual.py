"""What an interval tells of shallower depths."""

from __future__ import annotations

import numpy as np
import pytest
from factories import COEFFICIENTS, State, World
from flyball.controller.intake import outcome_rows, to_rows
from flyball.policies.counterfactual import deeper, foretold, full_information, shallower
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.structure import Structure
from flyball.policies.transition import COLUMN, Outcome, outcome_row
from hypothesis import given
from hypothesis import strategies as st


def played(accepted: list[int], depth: int, seconds: float = 1.0) -> Outcome:
    """One interval of verifications in which drafts would survive so far, at a depth."""
    met = [min(a, depth) for a in accepted]
    positions = range(1, MAX_DEPTH + 1)
    return Outcome(
        seconds=seconds,
        steps=4,
        request_seconds=seconds * len(met) / 4,
        request_steps=len(met),
        emitted=len(met) + sum(met),
        drafted=len(met) * depth,
        verified=len(met) * (depth + 1),
        prefill=0,
        context=100 * len(met),
        finished=0,
        tried=tuple(sum(j <= min(a + 1, depth) for a in met) for j in positions),
        accepted=tuple(sum(j <= a for a in met) for j in positions),
    )


@given(
    accepted=st.lists(st.integers(0, MAX_DEPTH), min_size=1, max_size=40),
    depth=st.integers(1, MAX_DEPTH),
    data=st.data(),
)
def test_equals_playing_the_shallower_depth_on_the_same_acceptances(accepted, depth, data) -> None:
    less = data.draw(st.integers(0, depth))
    scale = data.draw(st.floats(0.1, 1.0))
    deep = outcome_row(depth, played(accepted, depth))
    replayed = outcome_row(less, played(accepted, less, scale))
    found = shallower(deep[None], np.array([less]), np.array([scale]), np.array([less]))
    assert np.allclose(found[0], replayed)


def test_a_request_that_ended_early_emitted_no_less_than_a_token_a_step() -> None:
    outcome = played([4, 4], 4)
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


@given(
    accepted=st.lists(st.integers(0, MAX_DEPTH), min_size=1, max_size=40),
    less=st.integers(0, MAX_DEPTH - 1),
    data=st.data(),
)
def test_what_is_foretold_is_what_comes_where_survival_is_right(accepted, less, data) -> None:
    depth = data.draw(st.integers(less + 1, MAX_DEPTH))
    scale = data.draw(st.floats(1.0, 5.0))
    row = outcome_row(less, played(accepted, less))
    survival = np.array(played(accepted, MAX_DEPTH).accepted) / len(accepted)
    found = deeper(row[None], np.array([depth]), np.array([scale]), np.array([0]), survival[None])
    comes = outcome_row(depth, played(accepted, depth, scale))
    comes[COLUMN["switched"]] = 1.0
    assert np.allclose(found[0], comes)


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
