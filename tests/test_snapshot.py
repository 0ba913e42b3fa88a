import json
from itertools import pairwise
from random import Random

import msgspec
import numpy as np
import pytest
from factories import COEFFICIENTS, CONTENTS, State, World
from flyball.policies.runner import Runner
from flyball.policies.snapshot import VALUES, Meta, Snapshot, SnapshotError, analytic
from flyball.policies.spaces import DEPTH_SPACE
from flyball.policies.transition import Reason
from safetensors.numpy import save as save_tensors


def learned(k_max=6, linear=True, gamma=0.25, epsilon=0.1, seed=0):
    """A snapshot with weights as training might leave them."""
    rng = np.random.default_rng(seed)
    sizes = [DEPTH_SPACE.size, 64, 64, (k_max + 1) * VALUES]
    weights = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        weights[f"layer{i}.weight"] = rng.normal(0, 0.1, (outputs, inputs)).astype(np.float32)
        weights[f"layer{i}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    meta = Meta(7, k_max, World().prices, epsilon, gamma, linear)
    return Snapshot(meta, weights, np.array(COEFFICIENTS, np.float32))


def observations(count=20):
    world = World()
    return np.stack(
        [
            world.observation(State(1 + i, list(CONTENTS)[i % 3]), speed=i / count, depth=i % 7)
            for i in range(count)
        ]
    )


def test_bytes_give_the_same_policy_back():
    snapshot = learned()
    again = Snapshot.from_bytes(snapshot.to_bytes())
    assert again.meta == snapshot.meta
    raw = observations()
    assert np.array_equal(again.values(raw), snapshot.values(raw))


def test_a_file_gives_the_same_policy_back(tmp_path):
    snapshot = learned()
    snapshot.save(tmp_path / "one.safetensors")
    assert Snapshot.load(tmp_path / "one.safetensors").meta == snapshot.meta
    assert [p.name for p in tmp_path.iterdir()] == ["one.safetensors"]


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(SnapshotError, match=r"none\.safetensors"):
        Snapshot.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("linear", [True, False])
def test_the_runner_gives_the_same_scores_as_the_batch(linear):
    snapshot = learned(linear=linear)
    runner = Runner(snapshot)
    for row in observations():
        assert np.allclose(runner.scores(row.tolist()), snapshot.scores(row), atol=1e-5)


def test_an_analytic_snapshot_takes_the_best_depth_at_any_speed():
    world = World()
    snapshot = analytic(1, 6, world.prices, np.array(COEFFICIENTS, np.float32), 0.0)
    for speed in (0.0, 1.0):
        for state in (State(1, "easy"), State(16, "hard")):
            raw = world.observation(state, speed)
            assert snapshot.scores(raw).argmax() == world.best(state, speed)


def test_exploration_has_the_share_and_the_propensities_it_says():
    runner, rng = Runner(learned(epsilon=0.35)), Random(0)
    raw = observations()[3].tolist()
    best = int(np.argmax(runner.scores(raw)))
    drawn = [runner.act(raw, rng) for _ in range(4000)]
    for depth in range(7):
        share = np.mean([action == depth for action, _, _ in drawn])
        expected = 0.05 + (0.65 if depth == best else 0.0)
        assert share == pytest.approx(expected, abs=0.03)
        assert all(p == pytest.approx(expected) for a, p, _ in drawn if a == depth)
    assert {reason for _, _, reason in drawn} == {Reason.POLICY, Reason.EXPLORE}
    assert runner.act(raw, rng, explore=False) == (best, 1.0, Reason.POLICY)


def header(metadata, **tensors):
    tensors = tensors or {"step_time": np.zeros(6, np.float32)}
    return save_tensors(tensors, metadata)


def raw_header(text):
    return len(text).to_bytes(8, "little") + text


HOSTILE = {
    "nothing": b"",
    "short": b"\x01\x02",
    "noise": bytes(range(256)) * 4,
    "length beyond the end": (1 << 62).to_bytes(8, "little") + b"{}",
    "length of all ones": b"\xff" * 64,
    "header is a list": raw_header(b"[]"),
    "header is null": raw_header(b"null"),
    "metadata is a number": raw_header(b'{"__metadata__": 1}'),
    "meta is a number": raw_header(b'{"__metadata__": {"flyball": 1}}'),
    "no metadata": header(None),
    "foreign metadata": header({"format": "pt"}),
    "meta is not JSON": header({"flyball": "nonsense"}),
    "meta of unknown fields": header({"flyball": '{"evil": 1}'}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_bytes_that_are_no_snapshot_are_refused(data):
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(data)


def test_any_truncation_is_refused():
    data = learned().to_bytes()
    for length in range(0, len(data) - 1, 997):
        with pytest.raises(SnapshotError):
            Snapshot.from_bytes(data[:length])


def test_too_many_bytes_are_refused():
    with pytest.raises(SnapshotError, match="at most"):
        Snapshot.from_bytes(learned().to_bytes() + b"\0" * (17 << 20))


@pytest.mark.parametrize(
    "change",
    [
        {"k_max": 0},
        {"k_max": 99},
        {"k_max": 5},
        {"epsilon": 1.5},
        {"gamma": 1.0},
        {"schema": 2},
        {"space": "depth/2"},
        {"prices": {"verified": -1.0}},
    ],
)
def test_meta_data_that_do_not_fit_are_refused(change):
    snapshot = learned()
    meta = json.loads(msgspec.json.encode(snapshot.meta)) | change
    tensors = {**snapshot.weights, "step_time": snapshot.step_time}
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(save_tensors(tensors, {"flyball": json.dumps(meta)}))


@pytest.mark.parametrize(
    "change",
    [
        {"step_time": np.zeros(5, np.float32)},
        {"step_time": np.full(6, np.inf, np.float32)},
        {"step_time": np.zeros(6, np.float64)},
        {"layer0.weight": np.zeros((64, 3), np.float32)},
        {"layer1.bias": np.full(64, np.nan, np.float32)},
        {"layer1.weight": np.full((64, 64), 1e300)},
        {"layer2.weight": np.zeros((21, 64), np.int64)},
        {"layer2.bias": np.zeros(3, np.float32)},
        {"layer9.bias": np.zeros(3, np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_tensors_that_do_not_fit_are_refused(change):
    snapshot = learned()
    tensors = {**snapshot.weights, "step_time": snapshot.step_time} | change
    meta = msgspec.json.encode(snapshot.meta).decode()
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(save_tensors(tensors, {"flyball": meta}))


def test_no_step_time_is_refused():
    snapshot = learned()
    meta = msgspec.json.encode(snapshot.meta).decode()
    with pytest.raises(SnapshotError, match="step_time"):
        Snapshot.from_bytes(save_tensors(snapshot.weights, {"flyball": meta}))
