from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from factories import COEFFICIENTS, State, World
from flyball.inference.conditions import collect, meant
from flyball.inference.fit import features, fit, held_out
from flyball.inference.profile import Condition
from flyball.policies.transition import Transition
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import BATCHES, conditions, linear, tiled


def errors(found: list[Condition], truth, batches, seed: int = 9) -> np.ndarray:
    """Of a fit, on states that it was not shown, relative."""
    model, fresh = fit(found, 6), conditions(truth, 0.0, batches, seed)
    return np.abs(model.seconds(fresh) / [c.seconds for c in fresh] - 1.0)


def test_known_coefficients_are_recovered_from_noisy_conditions():
    model = fit(conditions(linear, noise=0.05), 6)
    assert np.allclose(model.coefficients[:5], COEFFICIENTS[:5], rtol=0.2)
    assert np.abs(model.grid - 1.0).max() < 0.06
    assert model.batches.tolist() == list(BATCHES)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.1, 10.0), min_size=7, max_size=7),
    st.floats(0.05, 20.0),
    st.integers(0, 1000),
)
def test_any_linear_machine_is_predicted_where_nothing_was_measured(multiples, scale, seed):
    coefficients = np.array(COEFFICIENTS) * multiples * scale

    def machine(c: Condition) -> float:
        return float(coefficients @ features([c])[0])

    found = conditions(machine, noise=0.02, seed=seed)
    assert (fit(found, 6).coefficients >= 0).all()
    assert np.median(errors(found, machine, (3.0, 6.0, 12.0))) < 0.03


def test_the_correction_makes_up_for_what_is_not_linear():
    found = conditions(tiled, noise=0.01)
    model = fit(found, 6)
    without = replace(model, grid=np.ones_like(model.grid))
    seconds = np.array([c.seconds for c in found])
    off = [np.median(np.abs(m.seconds(found) / seconds - 1.0)) for m in (model, without)]
    assert off[0] < 0.8 * off[1]


@pytest.mark.parametrize("truth", [linear, tiled])
def test_the_error_said_is_that_of_states_that_were_not_shown(truth):
    found = conditions(truth)
    median, p90 = held_out(found, 6)
    assert median < p90
    seen = np.abs(fit(found, 6).seconds(found) / [c.seconds for c in found] - 1.0)
    assert median >= 0.9 * np.median(seen)
    # Half of the batch sizes and depths are kept from the fit; the other half tells the truth.
    rng, fresh = np.random.default_rng(3), []
    for _ in range(8):
        out = {(b, d) for b in BATCHES for d in range(7) if rng.random() < 0.15}
        model = fit([c for c in found if (c.batch, c.depth) not in out], 6)
        mine = [c for c in found if (c.batch, c.depth) in out]
        fresh += (model.seconds(mine) / [truth(c) for c in mine] - 1.0).tolist()
    true = float(np.median(np.abs(fresh)))
    assert true / 2 < median < 2 * true + 0.03


def test_a_machine_that_is_not_linear_is_known_to_be_predicted_worse():
    assert held_out(conditions(tiled), 6)[0] > 1.5 * held_out(conditions(linear), 6)[0]


def test_noise_is_that_of_intervals():
    assert fit(conditions(linear, noise=0.1), 6).noise == pytest.approx(0.1, rel=0.3)


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="no conditions"):
        fit([], 6)
    with pytest.raises(ValueError, match="nothing can be held out"):
        held_out(conditions(linear, batches=(4,))[:4], 6)


def intervals(world: World, batch: int, depth: int, count: int, pin: int = 7) -> list[Transition]:
    """Pinned intervals as an engine reports them."""
    found = [world.transition(State(batch, "easy"), depth, number=i + 1) for i in range(count)]
    return [
        msgspec.structs.replace(t, decision=msgspec.structs.replace(t.decision, pin=pin))
        for t in found
    ]


def test_conditions_are_the_medians_of_like_intervals():
    world = World()
    heard = [t for batch in (4, 16) for depth in (0, 3) for t in intervals(world, batch, depth, 9)]
    found = collect(heard, (4, 16))
    assert {(c.batch, c.depth) for c in found} == {(4.0, 0), (4.0, 3), (16.0, 0), (16.0, 3)}
    for c in found:
        mine = [t.outcome for t in heard if (t.decision.applied, c.depth) == (c.depth, c.depth)]
        own = [o.seconds / o.steps for o in mine if o.request_steps / o.steps == c.batch]
        assert c.seconds == pytest.approx(np.median(own))
        assert c.low <= c.seconds <= c.high
        assert c.intervals == 9
        assert c.steps == sum(o.steps for o in mine if o.request_steps / o.steps == c.batch)


def test_intervals_that_tell_nothing_of_a_batch_size_are_passed_over():
    (pinned,) = intervals(World(), 4, 3, 1)
    assert meant(pinned, (4,)) == 4
    assert meant(pinned, (5, 16)) is None
    assert meant(intervals(World(), 4, 3, 1, pin=0)[0], (4,)) is None
    switched = msgspec.structs.replace(pinned.outcome, switched=True)
    assert meant(msgspec.structs.replace(pinned, outcome=switched), (4,)) is None
    cut = msgspec.structs.replace(pinned.outcome, checked=(32, 16, 16) + (0,) * 5, verified=96)
    assert meant(msgspec.structs.replace(pinned, outcome=cut), (4,)) is None
    assert collect(intervals(World(), 4, 3, 2), (4,)) == []
