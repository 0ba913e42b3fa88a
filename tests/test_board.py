import re
from itertools import chain

import msgspec
import numpy as np
import pytest
from factories import State, World, beat
from flyball.controller.board import Board, layout
from flyball.controller.learner import Learner
from flyball.controller.settings import LearnerSettings
from flyball.inference.attainment import Attained
from flyball.inference.drafter_records import DrafterBeat
from flyball.inference.guard_state import GuardState
from flyball.inference.reports import Totals
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FALLEN = GuardState("fallen back", "it was worse", 2, 12.0, 1.3, 1.1, 1.5, 140.0, 0.1)
SETTINGS = LearnerSettings(publish_seconds=0.0, board_seconds=0.0)


def read(run):
    events = EventAccumulator(str(run), {"scalars": 0, "histograms": 0, "tensors": 0})
    return events.Reload()


def last(events, tag):
    return events.Scalars(tag)[-1].value


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run, world = tmp_path_factory.mktemp("run"), World()
    learner = Learner(SETTINGS, run)
    learner.speed(0.25)
    for i in range(4):
        learner.ingest(world.info(), world.transitions(50, [State(4, "easy")]))
        drafters = {
            "suffix": DrafterBeat(steps=10 * i, accepted=20 * i, assigned=30 * i),
            "mine:draft/x": DrafterBeat(scored=10 * i, scored_accepted=5 * i, assigned=10 * i),
        }
        learner.beat(beat(world.info(), guard=FALLEN, drafters=drafters), queue=7)
        learner.step(0.05)
        learner.publish()
    learner.close()
    return run


@pytest.mark.parametrize(
    ("tag", "low", "high"),
    [
        ("rollout/latency", 0.3, 0.7),
        ("rollout/cost", 1.05, 1.35),
        ("rollout/reward", -1.3, -0.4),
        ("rollout/explore_budget", 0.001, 0.005),
        ("serve/seconds_per_token", 0.005, 0.03),
        ("serve/dollars_per_token", 1e-7, 1e-6),
        ("serve/acceptance_1", 0.85, 1.0),
        ("serve/acceptance_6", 0.8, 1.0),
        ("serve/survival_brier", 0.15, 0.15),
        ("serve/survival_ece", 0.02, 0.02),
        ("serve/depth_mean", 2.0, 4.0),
        ("serve/speed", 0.25, 0.25),
        ("serve/version", 1.0, 4.0),
        ("train/step_time_error", 0.0, 0.2),
        ("train/q_latency", 0.2, 1.2),
        ("train/q_cost", 0.8, 1.5),
        ("train/loss", 0.0, 1.0),
        ("wire/queue", 7, 7),
        ("guard/fallen_back", 1, 1),
        ("guard/falls", 2, 2),
        ("guard/ratio", 1.3, 1.3),
        ("guard/evidence", 140, 140),
        ("gate/dr_candidate", -1.3, -0.4),
        ("gate/dr_current", -1.3, -0.4),
        ("gate/ess", 5, 200),
        ("wire/decide_us_p50", 30, 30),
        ("drafters/share_suffix", 0.75, 0.75),
        ("drafters/accepted_suffix", 2, 2),
        ("drafters/accepted_mine.draft.x", 0.5, 0.5),
    ],
)
def test_a_point_says_what_was_measured(run, tag, low, high):
    events = read(run)
    values = [event.value for event in events.Scalars(tag)]
    assert low - 1e-6 <= np.mean(values[-3:]) <= high + 1e-6


def test_shares_of_depths_sum_to_one(run):
    events = read(run)
    shares = [last(events, f"serve/depth_share_{k}") for k in range(9)]
    tags = set(events.Tags()["scalars"])
    assert "serve/tokens_per_second" in tags
    assert sum(shares) == pytest.approx(1.0)
    assert "serve/depth" in events.Tags()["histograms"]


def test_hyperparameters_and_the_layout_are_there(run):
    events = read(run)
    assert any("hparams" in tag for tag in events.summary_metadata)
    assert any("custom_scalars" in tag for tag in events.Tags()["tensors"])


def test_every_chart_of_the_layout_has_a_tag_that_is_written(run):
    tags = set(read(run).Tags()["scalars"]) | {"train/q_reward"}
    charts = chain.from_iterable(category.values() for category in layout(6).values())
    for pattern in chain.from_iterable(patterns for _, patterns in charts):
        assert any(re.search(pattern, tag) for tag in tags), pattern


def test_why_a_guard_fell_back_is_told_once(run):
    texts = read(run).Tensors("guard/reason/text_summary")
    assert [text.tensor_proto.string_val for text in texts] == [[b"engine-0: it was worse"]]


def test_what_was_attained_is_by_class_since_the_point_before(tmp_path):
    info, board = World().info(), Board(tmp_path, {})
    engines = info, msgspec.structs.replace(info, engine="other")
    board.beat(beat(info, slo={"loose": Attained(9, 0, 0, 0, 0, 9)}))  # before this controller
    board.beat(beat(engines[1]))
    for step, counts in enumerate(
        (
            (Attained(4, 4, 2, 4, 2, 2), Attained()),
            (Attained(8, 8, 4, 8, 4, 2), Attained(4, 0, 0, 0, 0, 4)),
            (Attained(8, 8, 4, 8, 4, 2), Attained(4, 0, 0, 0, 0, 4)),  # none ended
            (Attained(2, 2, 2, 2, 2, 0), Attained(4, 0, 0, 0, 0, 4)),  # started again
        )
    ):
        for engine, each in zip(engines, counts, strict=True):
            board.beat(beat(engine, slo={"tight": each, "": Attained(1, 1, 1, 1, 1, 0)}))
        board.write(step, 0, {})
    board.close()
    events = read(tmp_path)
    values = {
        name: [event.value for event in events.Scalars(f"slo/tight_{name}")]
        for name in ("ttft", "tpot", "attained", "best_effort")
    }
    assert values == {
        "ttft": [1.0, 0.5, 1.0],
        "tpot": [0.5, 0.25, 1.0],
        "attained": [0.5, 0.25, 1.0],
        "best_effort": [0.5, 0.5, 0.0],
    }
    assert last(events, "slo/without_a_class_attained") == 1.0
    assert not any("loose" in tag for tag in events.Tags()["scalars"])


def test_steps_continue_after_a_restart(tmp_path):
    world = World()
    first = Learner(SETTINGS, tmp_path)
    first.ingest(world.info(), world.transitions(40))
    first.checkpoint()
    first.close()
    second = Learner(SETTINGS, tmp_path)
    second.ingest(world.info(), world.transitions(10))
    second.close()
    steps = [event.step for event in read(tmp_path).Scalars("rollout/transitions")]
    assert steps == [40, 50]


def test_a_point_without_any_traffic_is_written_too(tmp_path):
    learner = Learner(SETTINGS, tmp_path)
    learner.step(0.0)
    learner.close()
    assert last(read(tmp_path), "rollout/transitions") == 0


def test_tokens_per_second_are_by_the_engines_clocks(tmp_path):
    info, board = World().info(), Board(tmp_path, {})
    for second in range(31):  # beats that waited for a controller: all arrive at once
        board.beat(beat(info, 1e9 + second, totals=Totals(emitted=300 * second)))
    board.write(1, 0, {})
    board.write(2, 0, {})
    board.close()
    points = [p.value for p in read(tmp_path).Scalars("serve/tokens_per_second")]
    assert points == [300.0, 0.0]
