"""What the learner keeps, and how it goes on from it."""

import logging
import time

import numpy as np
import pytest
from factories import World
from flyball.controller.checkpoint import read, write
from flyball.controller.learner_state import LearnerState
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.step_time import PRIOR
from flyball.policies.transition import CHECKED
from learners import feed, train


class TestResuming:
    def test_carries_on_with_everything(self, make_learner):
        world, first = World(), make_learner()
        feed(first, world, 200)
        first.speed(0.9)
        train(first, 100)
        first.publish()
        first.checkpoint()
        second = make_learner()
        ours, theirs = second.summary(), first.summary()
        for name in (
            "transitions",
            "updates",
            "snapshot",
            "replay_rows",
            "speed",
            "explore_budget",
        ):
            assert ours[name] == theirs[name], name
        assert np.array_equal(second.times.coefficients, first.times.coefficients)
        weights = second.model.exported()
        assert all(np.array_equal(a, weights[n]) for n, a in first.model.exported().items())
        feed(second, world, 20)
        train(second)
        assert second.publish().meta.number == first.current().meta.number + 1

    def test_keeps_a_checkpoint_by_itself_when_one_is_due(self, make_learner):
        world, learner = World(), make_learner(checkpoint_seconds=0.0)
        folder = learner.run / "checkpoint"
        learner.keep()
        assert not folder.exists(), "nothing is new"
        feed(learner, world, 10)
        time.sleep(0.01)
        learner.keep()
        assert folder.exists()
        assert make_learner().summary()["transitions"] == 10

    def test_a_checkpoint_that_is_not_due_waits(self, make_learner):
        learner = make_learner(checkpoint_seconds=3600.0)
        feed(learner, World(), 10)
        learner.keep()
        assert not (learner.run / "checkpoint").exists()

    def test_the_reward_comes_back_with_its_units(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        first.use_reward("cost-under-latency?bound=0.7")
        train(first)
        first.checkpoint()
        second = make_learner()
        assert second.reward.name == "cost-under-latency"
        assert second.model.base.scale == first.model.base.scale != 1.0
        assert second.publish().meta.reward == "cost-under-latency"

    def test_settings_win_over_the_checkpoint(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        first.checkpoint()
        second = make_learner(reward="goodput", speed=0.1)
        assert second.reward.name == "goodput"
        assert second.summary()["speed"] == 0.1
        assert second.state.relabel > 0

    def test_other_layers_start_anew_on_the_old_buffer(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        train(first, 50)
        first.checkpoint()
        second = make_learner(hidden=(32,))
        assert second.summary()["replay_rows"] == 100
        assert second.state.owed() >= 500
        train(second, second.updates + 20)
        assert second.publish() is not None

    def test_a_checkpoint_from_when_all_drafts_were_verified_says_so(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        first.checkpoint()
        state, groups = read(first.run / "checkpoint", LearnerState)
        groups["replay"]["outcomes"] = np.delete(groups["replay"]["outcomes"], CHECKED, axis=1)
        write(first.run / "checkpoint", state, groups)
        ours = make_learner().model.replay_buffer.latest(100)
        theirs = first.model.replay_buffer.latest(100)
        assert np.array_equal(ours.outcomes, theirs.outcomes)

    def test_step_times_of_a_checkpoint_with_fewer_features_are_learned_anew(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        first.checkpoint()
        state, groups = read(first.run / "checkpoint", LearnerState)
        for name in ("target", "multiples", "prior"):
            groups["step_times"][f"0/{name}"] = groups["step_times"][f"0/{name}"][:-1]
        groups["step_times"]["0/moment"] = groups["step_times"]["0/moment"][:-1, :-1]
        write(first.run / "checkpoint", state, groups)
        second = make_learner()
        assert np.allclose(second.times.coefficients, PRIOR)
        assert second.model.replay_buffer.size() == 100

    def test_a_checkpoint_of_other_observations_is_learned_from_anew(self, make_learner, caplog):
        first = make_learner()
        feed(first, World(), 100)
        train(first, 50)
        first.checkpoint()
        state, groups = read(first.run / "checkpoint", LearnerState)
        kept = DEPTH_SPACE.slice("kept_1", MAX_DEPTH)
        for name in ("observations", "following"):
            groups["replay"][name] = np.delete(groups["replay"][name], kept, axis=1)
        groups["networks"] = {"policy/of another shape": np.zeros(3, np.float32)}
        write(first.run / "checkpoint", state, groups)
        second = make_learner()
        ours, theirs = (x.model.replay_buffer.latest(100) for x in (second, first))
        assert np.array_equal(ours.observations, theirs.observations)
        assert np.array_equal(ours.following, theirs.following)
        assert "the networks start anew" in caplog.text
        assert second.state.owed() >= 500

    def test_a_reward_that_is_gone_gives_way_to_the_default(self, make_learner, caplog):
        first = make_learner()
        feed(first, World(), 100)
        first.checkpoint()
        state = first.run / "checkpoint" / "state.json"
        state.write_text(state.read_text().replace('"latency-cost"', '"gone.away:Reward"'))
        with caplog.at_level(logging.ERROR):
            second = make_learner()
        assert second.reward.name == "latency-cost"
        assert second.summary()["transitions"] == 100
        assert "gone.away:Reward" in caplog.text

    @pytest.mark.parametrize("name", ["state.json", "networks.safetensors", "replay.safetensors"])
    def test_a_damaged_checkpoint_is_set_aside(self, make_learner, caplog, name):
        first = make_learner()
        feed(first, World(), 100)
        first.publish()
        first.checkpoint()
        path = first.run / "checkpoint" / name
        path.write_bytes(path.read_bytes()[:100])
        with caplog.at_level(logging.WARNING):
            second = make_learner()
        assert second.summary()["transitions"] == 0
        assert second.summary()["step_time_error"] == 1.0
        assert len(list(first.run.glob("checkpoint.damaged-*"))) == 1
        assert "starting fresh" in caplog.text
        assert "snapshot 1 stays in force" in caplog.text
        feed(second, World(), 50)
        assert second.publish().meta.number == 2

    def test_the_one_before_a_damaged_checkpoint_is_resumed_from_and_lost_never(
        self, make_learner, caplog
    ):
        world, first = World(), make_learner()
        for _ in range(2):
            feed(first, world, 100)
            first.checkpoint()
        (first.run / "checkpoint" / "replay.safetensors").write_bytes(b"damaged")
        with caplog.at_level(logging.INFO):
            second = make_learner()
        assert second.summary()["transitions"] == 100
        assert "checkpoint.previous: 100 transitions" in caplog.text
        assert "starting fresh" not in caplog.text
        assert "no snapshot is in force" in caplog.text
        for _ in range(2):
            feed(second, world, 10)
            second.checkpoint()
        assert make_learner().summary()["transitions"] == 120
        (aside,) = first.run.glob("checkpoint.damaged-*")
        assert (aside / "state.json").exists()

    def test_where_both_are_damaged_both_are_set_aside(self, make_learner):
        first = make_learner()
        for _ in range(2):
            feed(first, World(), 100)
            first.checkpoint()
        for name in ("checkpoint", "checkpoint.previous"):
            (first.run / name / "state.json").write_text("{")
        second = make_learner()
        assert second.summary()["transitions"] == 0
        assert len(list(first.run.glob("checkpoint*.damaged-*"))) == 2

    def test_before_any_engine_there_is_a_checkpoint_too(self, make_learner):
        first = make_learner()
        first.speed(0.7)
        first.checkpoint()
        assert make_learner().summary()["speed"] == 0.7

    def test_nothing_in_a_checkpoint_is_a_pickle(self, make_learner):
        learner = make_learner()
        feed(learner, World(), 100)
        learner.checkpoint()
        names = {path.suffix for path in (learner.run / "checkpoint").iterdir()}
        assert names == {".json", ".safetensors"}
