import numpy as np
import pytest
from factories import COEFFICIENTS, State, World, depth_features, outcome_features
from flyball.controller.step_times import features as step_features
from flyball.policies.prices import compute_prices
from flyball.policies.spaces import DEPTH_SPACE
from flyball.policies.step_time import FEATURES, PRIOR, StepTimeModel
from flyball.policies.structure import Structure
from flyball.policies.transition import COLUMN, outcome_row


def rows(rng, count, coefficients=COEFFICIENTS, noise=0.05):
    """Features of intervals as loads vary, and noisy seconds per step."""
    batch = rng.integers(1, 32, count)
    depth = rng.integers(0, 7, count)
    context = rng.uniform(50, 2000, count)
    prefill = rng.choice([0.0, 0.0, 100.0, 400.0], count)
    drafts = depth * batch
    columns = [np.ones(count), batch, depth, drafts, prefill, batch * context, drafts]
    features = np.stack(columns, axis=1)
    seconds = features @ np.array(coefficients) * rng.lognormal(0.0, noise, count)
    return features, seconds


def fed(features, seconds):
    model = StepTimeModel()
    for x, y in zip(features, seconds, strict=True):
        model.update(x, y)
    return model


def test_recovers_known_coefficients_from_noisy_intervals():
    features, seconds = rows(np.random.default_rng(0), 1500)
    model = fed(features, seconds)
    assert np.allclose(model.coefficients[:5], COEFFICIENTS[:5], rtol=0.15)
    assert model.error < 0.06


def test_making_a_draft_and_verifying_it_are_told_apart_where_some_are_cut():
    rng = np.random.default_rng(0)
    truth = np.array([15e-3, 0.6e-3, 1.0e-3, 0.15e-3, 0.04e-3, 2e-7, 0.15e-3])
    features, _ = rows(rng, 3000)
    features[:, FEATURES.index("verified")] *= rng.uniform(0.2, 1.0, 3000)
    model = fed(features, features @ truth * rng.lognormal(0.0, 0.05, 3000))
    assert np.allclose(model.coefficients[[3, 6]], truth[[3, 6]], rtol=0.15)


def test_predictions_are_not_biased_by_noise():
    features, seconds = rows(np.random.default_rng(1), 3000, noise=0.3)
    model = fed(features, seconds)
    truth = features @ np.array(COEFFICIENTS) * np.exp(0.3**2 / 2)
    assert (features @ model.coefficients / truth).mean() == pytest.approx(1.0, abs=0.05)


def test_intervals_in_one_block_count_as_much_as_one_by_one():
    features, seconds = rows(np.random.default_rng(2), 400)
    block = StepTimeModel()
    block.update_many(features[:200], seconds[:200])
    block.update_many(features[200:], seconds[200:])
    single = fed(features, seconds)
    assert np.allclose(features @ block.coefficients, features @ single.coefficients, rtol=0.05)


def test_scale_of_the_machine_is_known_after_one_interval():
    truth = PRIOR * 40.0
    x = depth_features(4, 300, 0.0, 6)[3].astype(float)
    model = fed(x[None], np.array([x @ truth]))
    off = depth_features(4, 300, 0.0, 6)[0]
    assert off @ model.coefficients == pytest.approx(off @ truth, rel=0.05)


def test_one_depth_alone_leaves_coefficients_in_proportion():
    # Nothing tells drafting from the rest, so no coefficient may run off.
    x = depth_features(4, 300, 0.0, 6)[3].astype(float)
    rng = np.random.default_rng(3)
    model = fed(np.repeat(x[None], 3000, axis=0), x @ PRIOR * rng.lognormal(0, 0.1, 3000))
    assert (model.coefficients >= 0).all()
    off = depth_features(4, 300, 0.0, 6)[0]
    assert off @ model.coefficients == pytest.approx(off @ PRIOR, rel=0.1)


def test_coefficients_are_never_below_zero():
    features, seconds = rows(np.random.default_rng(4), 300, (20e-3, 0, 0, 0.5e-3, 0, 0, 0), 0.2)
    model = StepTimeModel()
    for x, y in zip(features, seconds, strict=True):
        model.update(x, y)
        assert (model.coefficients >= 0).all()


def test_disturbed_intervals_hardly_move_the_model():
    rng = np.random.default_rng(5)
    features, seconds = rows(rng, 1000)
    seconds[rng.random(1000) < 0.03] *= 50.0
    model = fed(features, seconds)
    predicted = features @ model.coefficients / (features @ np.array(COEFFICIENTS))
    assert np.median(predicted) == pytest.approx(1.0, abs=0.15)


def test_a_machine_that_stays_slower_is_followed():
    rng = np.random.default_rng(6)
    model = fed(*rows(rng, 1000))
    features, seconds = rows(rng, 200)
    for x, y in zip(features, seconds * 5, strict=True):
        model.update(x, y)
    truth = features @ np.array(COEFFICIENTS) * 5
    assert np.median(features @ model.coefficients / truth) == pytest.approx(1.0, abs=0.15)


def test_off_is_right_where_the_truth_is_not_linear():
    world = World(cliff=32)
    model, state = StepTimeModel(), State(16, "easy")
    for i in range(400):
        depth = i % 7
        outcome = world.outcome(state, depth)
        model.update(outcome_features(outcome, depth), outcome.seconds / outcome.steps)
    off = depth_features(16, 300, 0.0, 6)[0] @ model.coefficients
    assert off == pytest.approx(world.seconds(state)[0], rel=0.2)


def test_carries_on_from_its_state():
    features, seconds = rows(np.random.default_rng(7), 200)
    model, other = fed(features[:100], seconds[:100]), StepTimeModel()
    other.restore({k: v.copy() for k, v in model.state().items()})
    for x, y in zip(features[100:], seconds[100:], strict=True):
        model.update(x, y)
        other.update(x, y)
    assert np.array_equal(model.coefficients, other.coefficients)
    assert other.count == 200


def test_a_prior_is_what_a_model_starts_from_and_rests_at():
    rng = np.random.default_rng(8)
    model = StepTimeModel(prior=COEFFICIENTS)
    assert np.allclose(model.coefficients, COEFFICIENTS)
    # One depth alone: the rest is as the prior says, on a machine half as fast.
    x = depth_features(4, 300, 0.0, 6)[3].astype(float)
    seconds = 2.0 * x @ np.array(COEFFICIENTS) * rng.lognormal(0, 0.05, 300)
    model.update_many(np.repeat(x[None], 300, axis=0), seconds)
    others = depth_features(4, 300, 0.0, 6)
    assert np.allclose(others @ model.coefficients, 2.0 * others @ COEFFICIENTS, rtol=0.05)


def test_a_coefficient_that_the_prior_has_at_zero_is_found_all_the_same():
    features, seconds = rows(np.random.default_rng(9), 1500)
    model = StepTimeModel(prior=np.array(COEFFICIENTS) * (1, 0, 1, 0, 1, 1, 1))
    assert model.coefficients[1] == model.coefficients[3] == 0.0
    for x, y in zip(features, seconds, strict=True):
        model.update(x, y)
    # What was drafted was verified: which of the two a draft's time is, nothing tells.
    found = [*model.coefficients[[0, 1, 2, 4]], model.coefficients[[3, 6]].sum()]
    known = np.array(COEFFICIENTS)
    assert np.allclose(found, [*known[[0, 1, 2, 4]], known[[3, 6]].sum()], rtol=0.2)


@pytest.mark.parametrize("prior", [(1.0,), (-1.0, 1, 1, 1, 1, 1, 1), (np.nan, 1, 1, 1, 1, 1, 1)])
def test_a_prior_that_is_none_is_refused(prior):
    with pytest.raises(ValueError, match="a prior is 7 numbers"):
        StepTimeModel(prior=prior)


def test_a_state_brings_its_prior_and_an_old_one_had_the_default():
    features, seconds = rows(np.random.default_rng(10), 100)
    model = StepTimeModel(prior=np.array(COEFFICIENTS) * 3.0)
    model.update_many(features, seconds)
    state, other = model.state(), StepTimeModel()
    other.restore(state)
    assert np.array_equal(other.coefficients, model.coefficients)
    old, again = fed(features, seconds), StepTimeModel(prior=COEFFICIENTS)
    again.restore({k: v for k, v in old.state().items() if k != "prior"})
    assert np.array_equal(again.coefficients, old.coefficients)


@pytest.mark.parametrize(
    "damage", [{}, {"moment": np.full((6, 6), np.nan)}, {"target": np.ones(5)}]
)
def test_a_state_that_is_none_is_refused(damage):
    state = StepTimeModel().state() | damage if damage else {}
    with pytest.raises(ValueError, match="step-time model"):
        StepTimeModel().restore(state)


def test_outcomes_have_the_features_that_depths_predict():
    world, state = World(), State(4, "easy", context=200.0)
    outcome = world.outcome(state, 3)
    assert len(FEATURES) == 7
    assert np.allclose(outcome_features(outcome, 3), depth_features(4, 200.0, 0.0, 6)[3])


def test_what_a_step_verified_and_what_it_drafted_are_features_apart():
    world, state = World(), State(4, "easy", context=200.0)
    outcome = world.outcome(state, 3)
    row = outcome_row(3, outcome)
    assert np.allclose(step_features(row[None])[0], outcome_features(outcome, 3))
    verified = np.eye(7)[FEATURES.index("verified")]
    row[COLUMN["verified"]] -= 2 * outcome.steps  # two drafts fewer in every step
    assert np.allclose(step_features(row[None])[0], outcome_features(outcome, 3) - 2 * verified)


def test_a_table_of_corrections_follows_what_is_not_linear():
    rng = np.random.default_rng(0)
    model = StepTimeModel()
    batch = rng.choice([1.0, 4.0, 16.0], 4000)
    depth = rng.integers(0, 7, 4000).astype(float)
    ones, drafts = np.ones(4000), batch * depth
    rows = np.stack([ones, batch, depth, drafts, 0 * batch, 300 * batch, drafts], 1)
    truth = rows @ np.array(COEFFICIENTS)
    truth = np.where(batch * (depth + 1) > 32, 1.8 * truth, truth)  # a cliff
    for part in np.array_split(np.arange(4000), 200):
        model.update_many(rows[part], truth[part] * rng.normal(1, 0.03, len(part)))
    assert model.error < 0.06
    structure = Structure(6, model.coefficients, compute_prices(0.05), model.grid)
    raw = np.stack([DEPTH_SPACE.zeros() for _ in range(3)])
    raw[:, DEPTH_SPACE.index("batch")] = [1, 4, 16]
    raw[:, DEPTH_SPACE.index("context")] = 300
    raw[:, DEPTH_SPACE.slice("kept_1", 8)] = 1.0
    seconds = structure.seconds(raw)
    for i, b in enumerate((1.0, 4.0, 16.0)):
        for k in range(7):
            expected = truth[(batch == b) & (depth == k)][0]
            assert seconds[i, k] == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("cost", [0.0, 0.03])
def test_what_a_change_of_depth_costs_is_learned(cost):
    rng = np.random.default_rng(0)
    model = StepTimeModel()
    depth = rng.integers(0, 7, 3000).astype(float)
    switched = (np.diff(depth, prepend=0) != 0).astype(float)
    ones = np.ones(3000)
    drafts = 4 * depth
    rows = np.stack([ones, 4 * ones, depth, drafts, 0 * ones, 1200 * ones, drafts], 1)
    seconds = rows @ np.array(COEFFICIENTS)
    seconds = seconds * rng.normal(1, 0.03, 3000) + switched * cost / 8
    for part in np.array_split(np.arange(3000), 300):
        model.update_many(rows[part], seconds[part], 8 * ones[part], switched[part])
    assert model.switch_seconds == pytest.approx(cost, abs=0.008)


def test_what_a_profile_measured_counts_as_seen_until_the_machine_changes() -> None:
    model = StepTimeModel(prior=COEFFICIENTS, seen=20.0)
    assert (model.seen == 20.0).all()
    other = StepTimeModel()
    assert (other.seen == 0.0).all()
    other.restore(model.state())
    assert (other.seen == 20.0).all()
