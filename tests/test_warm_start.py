"""A learner that begins with what was learned in the simulator of a profile."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from factories import World
from flyball.controller.settings import LearnerSettings
from flyball.controller.warm_start import StartError, WarmStart, check_start, load_start
from flyball.controller.warming import ENGINES, WarmingError, WarmingOptions, warm_up
from flyball.inference.profile import Profile
from flyball.policies.snapshot import Snapshot
from flyball.policies.spaces import DEPTH_SPACE
from learners import feed, train
from profiles import IDENTITY, profile


@functools.cache
def known() -> Profile:
    """The profile of the engine that ``World`` is; made once, as it tells when it was made."""
    identity = msgspec.structs.replace(IDENTITY, target="t", draft="d", dtype=None, version=None)
    return msgspec.structs.replace(profile(identity), parameter_ratio=0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a profile and of a start that was made from it."""
    folder = tmp_path_factory.mktemp("warm")
    path, start = folder / "profile.json", folder / "deep" / "start.safetensors"
    known().save(path)
    told: list[float] = []
    options = WarmingOptions(profile=path, episodes=2)
    found = warm_up(known(), options, folder / "run", lambda share, _: told.append(share))
    found.save(start)
    assert told == [0.0, 0.5]
    assert ENGINES * 100 < found.origin.transitions <= ENGINES * 2 * 96
    return path, start


def observations(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    high = np.array([f.high for f in DEPTH_SPACE.fields])
    return (rng.uniform(0.0, 0.3, (n, DEPTH_SPACE.size)) * high).astype(np.float32)


def correction(snapshot: Snapshot, raw: np.ndarray) -> np.ndarray:
    """What was learned, without the structure."""
    nought = {name: 0.0 * array for name, array in snapshot.weights.items()}
    alone = Snapshot(snapshot.meta, nought, snapshot.step_time, snapshot.grid, snapshot.seen)
    return snapshot.values(raw) - alone.values(raw)


def test_it_comes_back_from_its_file_which_is_a_snapshot_too(made) -> None:
    start = load_start(made[1])
    plain = Snapshot.load(made[1])
    raw = observations(50)
    assert np.array_equal(plain.scores(raw), start.snapshot.scores(raw))
    assert start.origin.identity == known().identity
    assert start.hidden == LearnerSettings().hidden
    assert np.abs(correction(plain, raw)).max() > 1e-4, "something was learned"


def test_a_learner_publishes_it_before_anything_is_measured(made, make_learner) -> None:
    cold = make_learner("cold", profile=made[0])
    assert cold.publish() is None
    warm = make_learner("warm", profile=made[0], start=made[1])
    snapshot = warm.publish()
    assert snapshot is not None
    assert warm.summary()["replay_rows"] == 0
    raw = observations(50)
    start = correction(load_start(made[1]).snapshot, raw)
    assert np.abs(correction(snapshot, raw) - start).max() < 0.2 * np.abs(start).max()
    assert warm.budget == warm.settings.explore_floor < cold.budget
    assert np.allclose(snapshot.step_time, known().vector, rtol=1e-5)
    assert np.allclose(snapshot.grid, known().table)


def test_what_is_learned_is_held_to_the_start_and_not_to_nought(made, make_learner) -> None:
    world, raw = World(), observations(200)
    warm = make_learner("warm", profile=made[0], start=made[1], anchor=1e6, tau=1.0)
    first = warm.model.q_net_target.correction(raw).detach().numpy()[..., :2]
    feed(warm, world, 100)
    train(warm, 60)
    after = warm.model.q_net_target.correction(raw).detach().numpy()[..., :2]
    assert np.abs(after - first).mean() < 0.5 * np.abs(first).mean()


def test_a_run_goes_on_from_its_checkpoint_and_does_not_begin_again(
    made, make_learner, caplog
) -> None:
    first = make_learner("again", profile=made[0], start=made[1])
    feed(first, World(), 100)
    train(first, 30)
    first.publish()
    first.checkpoint()
    with caplog.at_level(logging.INFO):
        second = make_learner("again", profile=made[0], start=made[1])
    assert "goes on from its checkpoint" in caplog.text
    assert second.summary()["transitions"] == 100
    assert second.budget == first.budget
    raw = observations(20)
    for network in ("q_net", "prior"):
        ours = getattr(second.model, network).correction(raw).detach()
        assert np.allclose(ours, getattr(first.model, network).correction(raw).detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({"prices": "engine_time"}, {}, "prices 'compute', here 'engine_time'"),
        ({"hidden": (8,)}, {}, "hidden layers"),
        ({"gamma": 0.5}, {}, "discount 0.25, here 0.5"),
        ({}, {"at": "another day"}, "profile's time"),
        ({}, {"identity": IDENTITY}, "target 't', here 'target'"),
        ({}, {"coefficients": {**known().coefficients, "step": 1.0}}, "coefficients"),
        ({}, {"identity": msgspec.structs.replace(known().identity, k_max=4)}, "k_max 6, here 4"),
    ],
)
def test_what_was_made_from_something_else_is_refused(made, settings, changes, said) -> None:
    other = msgspec.structs.replace(known(), **changes)
    with pytest.raises(StartError, match=said):
        load_start(made[1]).check(other, LearnerSettings(**settings))


def test_it_needs_its_profile(made) -> None:
    with pytest.raises(StartError, match="--start needs --profile"):
        check_start(made[1], None, "compute")
    with pytest.raises(ValueError, match="the profile that it was made from"):
        LearnerSettings(start=made[1])
    check_start(made[1], made[0], "compute")


def test_what_is_damaged_or_no_start_is_refused(made, tmp_path: Path) -> None:
    path, data = tmp_path / "start.safetensors", made[1].read_bytes()
    for share in np.linspace(0.0, 0.99, 12):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(StartError, match="damaged or no warm start"):
            load_start(path)
    load_start(made[1]).snapshot.save(path)  # a snapshot of an engine's learner
    with pytest.raises(StartError, match="no warm start"):
        load_start(path)
    with pytest.raises(StartError, match="`flyball warm` makes one"):
        load_start(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trust": [0.5]}, "trust must be"),
        ({"trust": [2.0] * 9}, "trust must be"),
        ({"parameter_ratio": -1.0}, "parameter_ratio"),
        ({"prices": "free"}, "no cost model"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_an_origin_that_makes_no_sense_is_refused(made, tmp_path: Path, changes, said) -> None:
    start = load_start(made[1])
    origin = msgspec.structs.replace(start.origin, **changes)
    WarmStart(start.snapshot, origin).save(tmp_path / "start")
    with pytest.raises(StartError, match=said):
        load_start(tmp_path / "start")


def test_a_profile_that_says_too_little_is_refused(tmp_path: Path) -> None:
    options = WarmingOptions(profile=tmp_path / "profile.json")
    with pytest.raises(WarmingError, match="`flyball profile` measures anew"):
        warm_up(profile(), options, tmp_path / "run", lambda *_: None)
    with pytest.raises(ValueError, match="episodes must be"):
        replace(options, episodes=0)
