"""What the learner takes in and what it turns away."""

import json
import logging

import msgspec
import numpy as np
import pytest
from factories import World, engine_info
from flyball.inference.reports import EngineInfo
from flyball.policies.replay import ROW_BYTES
from flyball.policies.transition import Transition
from learners import feed


class TestIngest:
    def test_counts_and_stores(self, make_learner):
        world, learner = World(), make_learner()
        assert feed(learner, world, 50) == 50
        summary = learner.summary()
        assert summary["transitions"] == summary["replay_rows"] == 50
        assert summary["replay_bytes"] == 50 * ROW_BYTES
        assert summary["latency"] > 0
        json.dumps(summary)

    def test_invalid_transitions_are_dropped_and_the_others_kept(self, make_learner):
        world, learner = World(), make_learner()
        good = world.transitions(8)
        bad = [
            msgspec.structs.replace(good[0], following=b"short"),
            msgspec.structs.replace(good[1], following=np.full(52, np.nan, np.float32).tobytes()),
            replaced(good[2], "outcome", seconds=float("nan")),
            replaced(good[3], "outcome", seconds=-1.0),
            replaced(good[4], "outcome", request_seconds=float("inf")),
            replaced(good[5], "outcome", emitted=-4),
            replaced(good[6], "outcome", accepted=(10**6,) * 8),
            replaced(good[7], "outcome", tried=(1, 2)),
            replaced(good[7], "outcome", checked=(1, 2)),
            replaced(good[7], "outcome", checked=(0,) * 7 + (1,)),
            replaced(good[7], "outcome", verified=1 + good[7].outcome.verified),
            replaced(good[0], "decision", applied=7),
            replaced(good[0], "decision", propensity=0.0),
        ]
        assert learner.ingest(world.info(), [*bad, *good]) == 8
        assert learner.summary()["invalid"] == len(bad)
        assert learner.state.transitions == 8

    def test_intervals_that_emitted_nothing_are_left_out(self, make_learner):
        world, learner = World(), make_learner()
        empty = [replaced(t, "outcome", emitted=0) for t in world.transitions(5)]
        assert learner.ingest(world.info(), empty) == 0
        assert learner.summary()["empty"] == 5

    def test_an_engine_of_another_depth_is_refused_and_said_once(self, make_learner, caplog):
        learner = make_learner()
        feed(learner, World(), 5)
        other = World(k_max=4)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                assert learner.ingest(other.info("engine-1"), other.transitions(5)) == 0
        assert learner.summary()["refused"] == 15
        assert caplog.text.count("its k_max is 4, this run's 6") == 1

    @pytest.mark.parametrize(
        "info", [engine_info(k_max=0), engine_info(k_max=9), engine_info(parameter_ratio=np.nan)]
    )
    def test_an_engine_that_cannot_be_is_refused(self, make_learner, info: EngineInfo):
        learner = make_learner()
        assert learner.ingest(info, World().transitions(3)) == 0
        assert learner.summary()["refused"] == 3
        assert learner.model is None

    def test_too_many_names_of_engines_are_refused(self, make_learner):
        world, learner = World(), make_learner()
        stored = [learner.ingest(world.info(f"e{i}"), world.transitions(1)) for i in range(260)]
        assert sum(stored) == 256
        assert learner.summary()["refused"] == 4

    def test_a_frozen_engine_is_shown_but_not_learned_from(self, make_learner):
        world, learner = World(), make_learner()
        assert learner.ingest(world.info(), world.transitions(30), frozen=True) == 0
        assert learner.summary()["frozen"] == 30
        assert learner.summary()["replay_rows"] == 0
        assert len(learner.board.take()) == 30

    def test_two_engines_have_step_times_of_their_own(self, make_learner):
        fast, slow = World(), World(coefficients=tuple(4 * c for c in World().coefficients))
        learner = make_learner()
        for _ in range(5):
            learner.ingest(fast.info("fast"), fast.transitions(30))
            learner.ingest(slow.info("slow"), slow.transitions(30))
        latency = learner.summary()["latency"]
        assert 0.4 < latency < 1.1
        ratio = (
            learner.times.models["slow"].coefficients[0]
            / learner.times.models["fast"].coefficients[0]
        )
        assert ratio == pytest.approx(4.0, rel=0.2)


def replaced(transition: Transition, part: str, **values) -> Transition:
    """A transition with some values of its decision or outcome changed."""
    changed = msgspec.structs.replace(getattr(transition, part), **values)
    return msgspec.structs.replace(transition, **{part: changed})
