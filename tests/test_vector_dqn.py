import numpy as np
import pytest
import torch
from factories import COEFFICIENTS, State, World
from flyball.controller.intake import outcome_rows, to_rows
from flyball.policies.prices import cost, latency
from flyball.policies.relabelling import sample_speeds
from flyball.policies.snapshot import Meta, Snapshot
from flyball.policies.spaces import SPEED_INDEX
from flyball.policies.structure import Structure
from flyball.policies.transition import OutcomeBatch
from flyball.policies.vector_dqn import VectorDQN
from stable_baselines3.common.logger import Logger

STATES = [State(1, "easy"), State(8, "mixed"), State(16, "hard")]


def rows_of(transitions):
    return to_rows(transitions, outcome_rows(transitions), 0, 0.05)


def make(world, reward=None, rows=300, **options):
    """The algorithm, fed with rows that the world's truth judges."""
    structure = Structure(6, COEFFICIENTS, world.prices)

    def judge(rows, speeds):
        off = structure.decode_seconds(rows.observations)[..., 0].astype(np.float64)
        ratios = rows.ratios.astype(np.float64)
        batch = OutcomeBatch.from_rows(rows.outcomes.astype(np.float64), off, ratios)
        third = reward(batch) if reward else np.full(len(rows), np.nan)
        return np.stack([latency(batch), cost(batch, world.prices), third], axis=1)

    torch.set_num_threads(1)
    model = VectorDQN(6, judge, **options)
    model.set_logger(Logger(None, []))
    model.use_structure(structure)
    if rows:
        model.replay_buffer.append(rows_of(world.transitions(rows, STATES)))
    return model


def snapshot_of(model, world):
    meta = Meta(1, 6, world.prices, 0.0, model.gamma, model.base.linear)
    return Snapshot(meta, model.exported(), np.array(COEFFICIENTS, np.float32))


def observations(world, speed=0.5, each=8):
    return np.stack([world.observation(state, speed) for state in STATES for _ in range(each)])


def test_before_training_the_policy_is_the_analytic_one():
    world = World()
    model = make(world, rows=0, gamma=0.0)
    raw = observations(world)
    values = model.q_net(raw).detach().numpy()
    assert np.allclose(values[..., :2], model.base.structure.components(raw))


@pytest.mark.parametrize("linear", [True, False])
def test_a_snapshot_in_numpy_gives_what_the_network_gives(linear):
    world = World()
    model = make(world, reward=lambda batch: 3.0 - batch.depth)
    model.use_reward(linear)
    model.train(50)
    raw = observations(world, speed=0.3)
    ours = snapshot_of(model, world).values(raw)
    theirs = model.q_net_target(raw).detach().numpy()
    assert np.abs(theirs - model.base.values(torch.zeros(theirs.shape), raw).numpy()).max() > 0.01
    columns = slice(0, 2 if linear else 3)
    assert np.allclose(ours[..., columns], theirs[..., columns], atol=1e-5)


@pytest.mark.parametrize(("imagined", "left"), [(0.0, 0.25), (0.5, 0.4)])
def test_values_approach_the_truth_where_the_structure_is_wrong(imagined, left):
    world = World(cliff=32)
    model = make(world, rows=800, gamma=0.0, imagined=imagined)
    raw = world.observation(State(16, "hard"))
    truth = world.components(State(16, "hard"))

    def miss():
        return np.abs(snapshot_of(model, world).values(raw)[:, :2] - truth).mean()

    before = miss()
    model.train(500)
    assert miss() < left * before


def test_predicts_depths_as_any_policy_of_stable_baselines():
    world = World()
    model = make(world)
    fast, _ = model.policy.predict(observations(world, 1.0), deterministic=True)
    cheap, _ = model.policy.predict(observations(world, 0.0), deterministic=True)
    assert fast[:8].mean() > 5
    assert (cheap == 0).all()


def test_disturbed_intervals_do_not_wreck_the_fit():
    world = World()
    model = make(world, rows=600, gamma=0.0)
    spoiled = [world.transition(State(8, "mixed"), k, disturbed=100.0) for k in range(7)] * 2
    model.replay_buffer.append(rows_of(spoiled))
    model.train(400)
    state = State(8, "mixed")
    values = snapshot_of(model, world).values(world.observation(state))[:, :2]
    assert np.abs(values - world.components(state)).max() < 0.5


def test_rows_that_emitted_nothing_teach_nothing():
    world = World()
    model = make(world, rows=0)
    rows = rows_of(world.transitions(64))
    rows.outcomes[:, OutcomeBatch.SCALARS.index("emitted")] = 0.0
    model.replay_buffer.append(rows)
    model.train(5)
    assert model.skipped == 0
    raw = observations(world)
    analytic = model.base.values(torch.zeros(len(raw), 7, 3), raw).numpy()
    assert np.allclose(model.q_net(raw).detach().numpy(), analytic, atol=1e-3)


def test_short_intervals_do_not_bias_the_values():
    # The mean of seconds over tokens exceeds the ratio of their means, the more the shorter.
    world, state = World(noise=0.0), State(1, "mixed")
    model = make(world, rows=0, gamma=0.0)
    transitions = [world.transition(state, 4, steps=1) for _ in range(2000)]
    model.replay_buffer.append(rows_of(transitions))
    model.train(400)
    learned = snapshot_of(model, world).values(world.observation(state))[4, 0]
    expected = world.components(state)[4, 0]
    plain = np.mean([t.outcome.request_seconds / t.outcome.emitted for t in transitions])
    assert plain / world.seconds(state)[0] > expected * 1.15
    assert learned == pytest.approx(expected, rel=0.08)


def test_a_loss_that_is_not_finite_is_skipped_and_the_networks_restored():
    world = World()
    model = make(world)
    model.train(20)
    model.keep()
    good = {name: array.copy() for name, array in model.tensors().items()}
    with torch.no_grad():
        model.q_net.last.weight.fill_(float("nan"))
    model.train(1)
    assert model.skipped == 1
    assert all(np.array_equal(array, good[name]) for name, array in model.tensors().items())
    model.train(5)
    assert model.skipped == 1
    assert np.isfinite(model.last_loss)


def test_rewards_of_any_range_are_learned_alike():
    world = World()
    for scale in (1e-3, 1.0, 1e4):
        model = make(world, reward=lambda batch, s=scale: -s * np.abs(batch.depth - 4.0))
        model.use_reward(False)
        model.train(200)
        scores = snapshot_of(model, world).scores(observations(world))
        assert (scores.argmax(-1) == 4).mean() > 0.9


def test_a_linear_reward_leaves_the_third_value_alone():
    world = World()
    model = make(world)
    model.train(50)
    assert (snapshot_of(model, world).values(observations(world))[..., 2] == 0).all()


def test_carries_on_from_its_tensors():
    world = World()
    model, other = make(world), make(world, rows=0, seed=5)
    model.train(30)
    other.load_tensors(model.tensors())
    raw = observations(world)
    assert torch.equal(model.q_net(raw), other.q_net(raw))
    other.replay_buffer.append(model.replay_buffer.latest(300))
    other.train(5)
    assert other.skipped == 0


def test_tensors_of_other_layers_are_refused():
    world = World()
    model, other = make(world, rows=0), make(world, rows=0, hidden=(32,))
    before = other.tensors()
    with pytest.raises(ValueError, match="shape"):
        other.load_tensors(model.tensors())
    with pytest.raises(ValueError, match="layers differ"):
        other.adopt(model.exported())
    assert before.keys() == other.tensors().keys()


def test_adopts_a_snapshot_under_the_units_of_its_reward():
    world = World()
    model = make(world, reward=lambda batch: 100.0 * batch.depth)
    model.use_reward(False)
    model.train(50)
    exported = model.exported()
    model.train(50)
    model.adopt(exported)
    for name, array in model.exported().items():
        assert np.allclose(array, exported[name], rtol=1e-4, atol=1e-4)


def test_speeds_are_drawn_everywhere_and_at_the_ends_and_the_knob():
    speeds = sample_speeds(6000, 0.3, np.random.default_rng(0))
    for fixed in (0.0, 1.0, 0.3):
        assert np.mean(speeds == fixed) == pytest.approx(1 / 6, abs=0.03)
    assert np.histogram(speeds, 4, (0.0, 1.0))[0].min() > 500


def test_training_leaves_what_is_stored_as_it_was_measured():
    world = World()
    model = make(world)
    before = model.replay_buffer.latest(300)
    model.train(5)
    after = model.replay_buffer.latest(300)
    assert np.array_equal(before.observations, after.observations)
    assert (after.observations[:, SPEED_INDEX] == before.observations[:, SPEED_INDEX]).all()


def test_the_ring_keeps_the_newest_rows_in_order():
    world = World()
    model = make(world, rows=0, buffer_size=100)
    rows = rows_of(world.transitions(250))
    for part in (slice(0, 70), slice(70, 130), slice(130, 250)):
        model.replay_buffer.append(type(rows)(**{n: v[part] for n, v in vars(rows).items()}))
    assert model.replay_buffer.size() == 100
    assert np.array_equal(model.replay_buffer.latest(100).outcomes, rows.outcomes[150:])
    assert np.array_equal(model.replay_buffer.latest(5).following, rows.following[245:])
