"""What the learner publishes, what it refuses, and what it keeps of a refusal."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from factories import State, World
from flyball.controller.checkpoint import read, write
from flyball.controller.learner_state import LearnerState
from flyball.controller.offending import FOLDER, KEPT, keep_batch
from flyball.policies.snapshot import VALUES
from learners import feed, train
from safetensors.numpy import load_file

STATES = (State(1, "easy"), State(8, "mixed"), State(16, "hard"))


class TestOffPolicyGate:
    def test_a_much_worse_candidate_is_refused_with_numbers(self, make_learner, caplog):
        world, learner = World(), make_learner(speed=0.0)
        feed(learner, world, 600, STATES)
        assert learner.publish().meta.number == 1
        # All depths but the deepest look worse than they are, within all bounds.
        learner.model.q_net_target.last.bias.data[: 6 * VALUES] += 6.0
        learner.model.trust.sums[:] = 1.0
        feed(learner, world, 50, STATES)
        with caplog.at_level(logging.WARNING):
            learner.publish()
        reason = learner.summary()["last_gate_reason"]
        assert "worse than the current snapshot by" in reason
        assert "effective" in reason
        assert reason in caplog.text
        assert learner.current().meta.number == 1
        assert learner.comparison.difference.high < 0.0

    def test_learning_goes_on_past_it(self, make_learner):
        world, learner = World(), make_learner()
        for _ in range(5):
            feed(learner, world, 200, STATES)
            train(learner, learner.updates + 20)
            learner.publish()
        assert learner.current().meta.number == 5
        assert learner.comparison.difference.ess > 50

    def test_an_older_checkpoint_is_learned_from_but_not_evaluated_on(self, make_learner):
        first = make_learner()
        feed(first, World(), 200)
        first.checkpoint()
        folder = first.run / "checkpoint"
        state, groups = read(folder, LearnerState)
        for name in ("chosen", "propensities", "reasons"):
            del groups["replay"][name]
        write(folder, state, groups)
        second = make_learner()
        assert second.summary()["replay_rows"] == 200
        assert np.isnan(second.model.replay_buffer.latest(200).propensities).all()
        assert second.publish() is not None
        feed(second, World(), 1)
        assert second.publish() is not None
        assert second.comparison is None or second.comparison.difference.n == 1

    def test_a_checkpoint_keeps_what_was_logged(self, make_learner):
        first = make_learner()
        feed(first, World(), 100)
        first.checkpoint()
        ours = make_learner().model.replay_buffer.latest(100)
        theirs = first.model.replay_buffer.latest(100)
        assert np.array_equal(ours.propensities, theirs.propensities)
        assert np.array_equal(ours.reasons, theirs.reasons)
        assert ours.propensities == pytest.approx(1 / 7)


class TestOffending:
    def test_a_loss_that_is_not_finite_is_skipped_and_its_batch_kept(self, make_learner, caplog):
        world, learner = World(), make_learner()
        feed(learner, world, 100)
        learner.publish()
        learner.model.replay_buffer.observations[3] = np.nan  # as a fault of memory would
        with caplog.at_level(logging.WARNING):
            train(learner)
        files = list((learner.run / FOLDER).iterdir())
        assert 1 <= len(files) <= KEPT
        assert learner.summary()["skipped_updates"] > 0
        assert "loss not finite at update" in caplog.text
        newest = max(files, key=lambda file: file.stat().st_mtime_ns)
        assert str(newest) in caplog.text
        columns = load_file(newest)
        assert np.isnan(columns["observations"]).any()
        assert columns["outcomes"].shape[0] == len(columns["actions"]) == 128
        for array in learner.model.exported().values():
            assert np.isfinite(array).all()

    def test_a_candidate_that_is_not_finite_is_refused_and_its_batch_kept(
        self, make_learner, caplog
    ):
        world, learner = World(), make_learner()
        feed(learner, world, 100)
        train(learner, 20)
        learner.model.q_net_target.last.bias.data.fill_(float("nan"))
        with caplog.at_level(logging.WARNING):
            assert learner.publish() is None
        [file] = (learner.run / FOLDER).iterdir()
        assert file.name.startswith("candidate-")
        assert f"the batch is in {file}" in caplog.text

    def test_only_the_last_are_kept_and_a_full_disk_is_survived(self, make_learner, tmp_path):
        learner = make_learner()
        feed(learner, World(), 100)
        batch = learner.model.replay_buffer.latest(10)
        for update in range(2 * KEPT):
            keep_batch(tmp_path, batch, "loss", update)
        kept = sorted(int(f.stem.split("-")[1]) for f in (tmp_path / FOLDER).iterdir())
        assert kept == list(range(KEPT, 2 * KEPT))
        (tmp_path / "file").write_text("")
        assert "could not be kept" in keep_batch(tmp_path / "file", batch, "loss", 1)
