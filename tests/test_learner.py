import logging
import shutil

import numpy as np
import pytest
from factories import State, World, greedy, serve
from flyball.controller.registry import RegistryError
from flyball.controller.settings import LearnerSettings
from flyball.envs.rewards import RewardError
from flyball.policies.snapshot import Snapshot
from learners import feed, train


class TestLearning:
    STATES = (State(1, "easy"), State(8, "mixed"), State(16, "hard"))

    def test_finds_the_best_depth_at_both_ends_of_the_knob(self, make_learner):
        world, learner = World(), make_learner()
        serve(learner, world, self.STATES, 250)
        snapshot = learner.current()
        for state in (self.STATES[0], self.STATES[2]):
            for speed in (0.0, 1.0):
                assert greedy(snapshot, world, state, speed) == world.best(state, speed)

    def test_learns_what_the_structure_gets_wrong(self, make_learner):
        # Above 32 positions a step takes far longer, which no linear step time can tell.
        world, learner = World(cliff=32), make_learner()
        states = (State(4, "easy"), State(16, "easy"))
        serve(learner, world, states, 400)
        snapshot = learner.current()
        uncorrected = Snapshot(
            snapshot.meta,
            {name: np.zeros_like(array) for name, array in snapshot.weights.items()},
            np.array(world.coefficients, np.float32),  # what is true below those
        )
        assert world.best(states[1], 1.0) == 1
        assert greedy(uncorrected, world, states[1], 1.0) != 1
        assert greedy(snapshot, world, states[1], 1.0) == 1
        assert greedy(snapshot, world, states[0], 1.0) >= 4
        assert [greedy(snapshot, world, state, 0.0) for state in states] == [0, 0]

    def test_a_turned_knob_changes_the_answer_without_training(self, make_learner):
        world, learner = World(), make_learner()
        feed(learner, world, 200, self.STATES)
        train(learner, 200)
        snapshot, updates = learner.publish(), learner.updates
        depths = [greedy(snapshot, world, State(1, "easy"), s) for s in (0.0, 0.5, 1.0)]
        assert depths == sorted(depths)
        assert depths[0] == 0
        assert depths[2] >= 5
        assert learner.updates == updates

    def test_a_swapped_reward_learns_from_the_past_alone(self, make_learner, tmp_path, monkeypatch):
        (tmp_path / "tastes.py").write_text(
            "import numpy as np\n"
            "from flyball.envs.rewards import Reward\n"
            "class LikesTwo(Reward):\n"
            "    name, needs = 'likes-two', ('drafted', 'request_steps')\n"
            "    low, high, on_error = -10.0, 0.0, -5.0\n"
            "    def __call__(self, inputs):\n"
            "        o = inputs.outcomes\n"
            "        return -np.abs(o.drafted / o.request_steps - 2.0)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        world, learner = World(), make_learner()
        feed(learner, world, 300, self.STATES)
        train(learner, 200)
        assert greedy(learner.publish(), world, State(1, "easy"), 1.0) >= 5
        learner.use_reward("tastes:LikesTwo")
        assert learner.publish() is None
        while learner.state.relabel:
            learner.step(0.5)
        snapshot = learner.publish()
        assert snapshot.meta.reward == "likes-two"
        assert not snapshot.meta.linear
        assert {greedy(snapshot, world, s, v) for s in self.STATES for v in (0.0, 1.0)} == {2}
        assert learner.state.transitions == 300

    def test_engine_time_prices_change_what_is_cheap(self, make_learner):
        world, learner = World(), make_learner(prices="engine_time")
        feed(learner, world, 200, self.STATES)
        train(learner, 200)
        # Rented by the hour, the fastest is the cheapest.
        assert greedy(learner.publish(), world, State(1, "easy"), 0.0) >= 5


class TestPace:
    def test_training_waits_for_rows_and_ends_when_paid(self, make_learner):
        world, learner = World(), make_learner(updates_per_transition=0.5)
        feed(learner, world, 60)
        learner.step(0.2)
        assert learner.updates == 0
        feed(learner, world, 20)
        train(learner)
        assert learner.updates == 40
        learner.step(0.2)
        assert learner.updates == 40

    def test_a_flood_is_not_paid_for_ever_after(self, make_learner):
        world, learner = World(), make_learner(updates_per_transition=1000.0)
        feed(learner, world, 100)
        assert learner.summary()["owed_updates"] == 2000

    def test_exploration_falls_with_what_was_learned_from(self, make_learner):
        world, learner = World(), make_learner()
        start, floor = learner.settings.explore_start, learner.settings.explore_floor
        assert learner.budget == start
        learner.ingest(world.info(), [world.transition(State(), 2) for _ in range(60)])
        assert floor < learner.budget < start
        before = learner.budget
        learner.ingest(world.info(), [world.transition(State(), 2) for _ in range(400)])
        assert learner.budget == floor < before


class TestSnapshots:
    def test_the_first_comes_early_and_is_the_analytic_one(self, make_learner):
        world, learner = World(), make_learner()
        feed(learner, world, 23)
        assert learner.publish() is None
        feed(learner, world, 1)
        snapshot = learner.publish()
        assert snapshot.meta.number == 1
        assert snapshot.meta.budget > learner.settings.explore_floor
        assert learner.current() is snapshot
        assert learner.updates == 0

    def test_none_is_due_until_something_is_new_and_time_has_passed(self, make_learner):
        world, learner = World(), make_learner()
        feed(learner, world, 30)
        assert learner.publish() is not None
        assert learner.publish() is None
        feed(learner, world, 1)
        assert learner.publish().meta.number == 2
        patient = make_learner("patient", publish_seconds=100.0)
        feed(patient, world, 30)
        assert patient.publish() is not None
        feed(patient, world, 30)
        assert patient.publish() is None

    def test_the_gate_refuses_says_why_and_learning_goes_on(self, make_learner, caplog):
        world, learner = World(), make_learner()
        feed(learner, world, 100)
        train(learner, 50)
        learner.publish()
        learner.model.q_net_target.last.bias.data.add_(1000.0)
        learner.model.trust.sums[:] = 1.0
        feed(learner, world, 1)
        with caplog.at_level(logging.WARNING):
            assert learner.publish() is None
        summary = learner.summary()
        assert summary["gate_refused"] == 1
        assert "components from" in summary["last_gate_reason"]
        assert "snapshot 2 not promoted: components from" in caplog.text
        feed(learner, world, 1)
        assert learner.publish().meta.number == 2

    def test_weights_that_are_not_finite_are_not_published(self, make_learner):
        world, learner = World(), make_learner()
        feed(learner, world, 100)
        learner.model.q_net_target.last.bias.data.fill_(float("nan"))
        assert learner.publish() is None
        assert "finite" in learner.summary()["last_gate_reason"]

    def test_a_full_disk_loses_a_snapshot_but_not_the_learner(self, make_learner):
        world, learner = World(), make_learner()
        feed(learner, world, 50)
        shutil.rmtree(learner.registry.folder)
        assert learner.publish() is None
        assert learner.summary()["gate_refused"] == 1
        learner.registry.folder.mkdir()
        feed(learner, world, 1)
        assert learner.publish() is not None

    def test_rollback_holds_and_then_goes_on_from_there(self, make_learner):
        world, learner = World(cliff=16), make_learner(hold_seconds=0.0)
        feed(learner, world, 100)
        first = learner.publish()
        train(learner)
        assert learner.publish().meta.number == 2
        back = learner.rollback(1)
        assert back.meta.number == learner.current().meta.number == 1
        for name, array in learner.model.exported().items():
            assert np.array_equal(array, first.weights[name])
        feed(learner, world, 1)
        assert learner.publish().meta.number == 3
        held = make_learner("held")
        feed(held, world, 50)
        held.publish()
        held.rollback(1)
        feed(held, world, 50)
        assert held.publish() is None

    def test_rollback_to_none_says_which_there_are(self, make_learner):
        learner = make_learner()
        feed(learner, World(), 50)
        learner.publish()
        with pytest.raises(RegistryError, match="no snapshot 8; there are 1"):
            learner.rollback(8)
        assert learner.snapshots() == [1]


class TestRewards:
    @pytest.mark.parametrize("spec", ["no-such", "json:JSONDecoder", "nowhere.at.all:Reward"])
    def test_a_bad_reward_leaves_the_old_one_in_force(self, make_learner, spec):
        learner = make_learner()
        feed(learner, World(), 100)
        with pytest.raises(RewardError):
            learner.use_reward(spec)
        assert learner.reward.name == "latency-cost"
        assert learner.summary()["reward_spec"] == "latency-cost"
        assert learner.publish() is not None

    def test_a_bad_reward_at_start_is_refused(self, make_learner):
        with pytest.raises(RewardError):
            make_learner(reward="no-such")

    @pytest.mark.parametrize("when", ["at start", "later", "much later"])
    def test_a_reward_that_must_be_learned_decides_nothing_before(self, make_learner, when):
        learner = make_learner(reward="goodput" if when == "at start" else None)
        feed(learner, World(), 30 if when != "much later" else 100)
        if when != "at start":
            learner.use_reward("goodput")
        assert learner.publish() is None
        feed(learner, World(), 100)
        train(learner)
        assert learner.publish().meta.reward == "goodput"

    def test_back_to_the_linear_reward_needs_no_training(self, make_learner):
        learner = make_learner(reward="goodput")
        feed(learner, World(), 100)
        learner.use_reward("latency-cost")
        assert learner.publish().meta.linear

    def test_a_new_one_finds_the_depth_that_was_never_tried(self, make_learner):
        world, learner = World(), make_learner(updates_per_transition=0.0)
        easy, hard = State(1, "easy"), State(16, "hard")
        shallow = [
            world.transition(state, number % 2, following=state, number=number)
            for number, state in enumerate([easy, hard] * 150, 1)
        ]
        assert learner.ingest(world.info(), shallow) == len(shallow)
        learner.use_reward("goodput")
        train(learner)
        snapshot = learner.publish()
        seen = np.stack([world.observation(state, 0.5) for state in (easy, hard)])
        best = snapshot.scores(seen).argmax(-1)
        latency = [world.components(state)[:, 0] for state in (easy, hard)]
        assert all(found[k] < 1.1 * found.min() for found, k in zip(latency, best, strict=True))
        assert best[0] > 2

    def test_the_knob_is_checked(self, make_learner):
        learner = make_learner()
        learner.speed(0.8)
        with pytest.raises(ValueError, match="speed must be"):
            learner.speed(1.2)
        assert learner.summary()["speed"] == 0.8


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 2.0},
        {"prices": "free"},
        {"hidden": ()},
        {"gamma": 1.0},
        {"learning_rate": float("nan")},
        {"explore_floor": 0.9},
        {"replay_size": 1},
        {"seed": -1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_that_make_no_sense_are_refused(options):
    name = next(iter(options)).replace("prices", "cost model")
    with pytest.raises(ValueError, match=name):
        LearnerSettings(**options)
