import math

import numpy as np
import pytest
import torch
from flyball.policies.plan.learned import Learned
from flyball.policies.plan.rows import PlanRecorder, PlanRows
from flyball.policies.plan.rule import Survival, losses
from flyball.policies.plan.schedule import CHOICES
from flyball.policies.plan.snapshot import PlanMeta, PlanSnapshot, uncorrected
from flyball.policies.plan.space import PLAN_SPACE, PLAN_SPEED_INDEX, PlanEstimates, observe
from flyball.policies.plan.state import MAX_AHEAD
from flyball.policies.plan.structure import weighed
from flyball.policies.plan.vector_dqn import PlanDQN
from flyball.policies.snapshot import SnapshotError
from plans import call, finished, proposal, state, step
from stable_baselines3.common.logger import Logger

SHARE = PLAN_SPACE.index("share")


def seen(share, chance=0.8, speed=0.7):
    """A plan of which the rule thinks that it will match."""
    raw = observe(state([step("a", True)]), PlanEstimates())
    raw[PLAN_SPACE.slice("survival_1", MAX_AHEAD)] = np.cumprod(np.full(MAX_AHEAD, chance))
    raw[SHARE], raw[PLAN_SPEED_INDEX] = share, speed
    return raw


def rows(count, rng):
    """Transitions of a world where steps match only where the share is high."""
    share = rng.random(count).round().astype(np.float32)
    observations = np.stack([seen(s) for s in share])
    chance = np.where(share > 0.5, 0.9, 0.05)
    matched = np.full((count, MAX_AHEAD), np.nan, np.float32)
    alive = np.ones(count, bool)
    for j in range(MAX_AHEAD):
        hits = rng.random(count) < chance
        matched[alive, j] = hits[alive]
        alive &= hits
    return PlanRows(
        observations=observations,
        actions=rng.integers(0, 3, count),
        propensities=np.ones(count, np.float32),
        spent=np.full((count, 3), np.nan, np.float32),
        following=observations.copy(),
        ended=np.ones(count, bool),
        matched=matched,
        seconds=np.full((count, CHOICES), np.nan, np.float32),
        landing=observations.copy(),
        landed=np.ones(count, bool),
    )


def learner(**options):
    torch.set_num_threads(1)
    model = PlanDQN(**options)
    model.set_logger(Logger(None, []))
    return model


def best(snapshot, raw):
    correction = snapshot.correction(raw).astype(np.float64)
    return int(losses(raw, correction=correction).argmin())


def test_before_anything_is_learned_it_decides_as_the_rule():
    for plan in (state(speed=s, proposed=[proposal("a")] * n) for s in (0, 0.6, 1) for n in (0, 2)):
        rule, learned = Survival(budget=0.0), Learned(uncorrected(1))
        assert learned.decide(plan).values == rule.decide(plan).values


def test_it_learns_what_the_rule_is_wrong_about():
    model = learner()
    model.add(rows(400, np.random.default_rng(0)))
    assert losses(seen(0.0)).argmin() > 0  # the rule believes what it is told
    model.train(150)
    snapshot = model.snapshot(1)
    assert best(snapshot, seen(0.0)) == 0
    assert best(snapshot, seen(1.0)) > 0
    assert best(snapshot, seen(1.0, speed=0.0)) == 0  # the knob turns without learning anew
    assert model.skipped == 0


def test_a_snapshot_in_numpy_gives_what_the_network_gives():
    model = learner()
    model.add(rows(64, np.random.default_rng(1)))
    model.train(5)
    raw = np.stack([seen(s, speed=v) for s in (0, 1) for v in (0.0, 0.4, 1.0)])
    theirs = model.q_net_target.correction(raw).detach().numpy()
    assert np.abs(theirs).max() > 1e-4
    assert np.allclose(model.snapshot(1).correction(raw), theirs, atol=1e-5)
    other = learner(seed=3)
    other.q_net.adopt(model.snapshot(1).weights)
    assert np.allclose(other.q_net.correction(raw).detach().numpy(), theirs, atol=1e-6)


def test_the_choice_made_is_told_what_it_spent_and_what_follows():
    model = learner()
    drawn = rows(8, np.random.default_rng(2))
    units = drawn.observations[0, [PLAN_SPACE.index("step_seconds")]]
    drawn.spent[:, 0] = 3.0 * units
    drawn.spent[:, 1:] = 0.0, 2.0
    own = model.targets(drawn).own
    assert own[:, 0] == pytest.approx(3.0 - 2.0)
    assert own[:, 1] == pytest.approx(-2.0)
    drawn.ended[:] = False
    later = model.targets(drawn).own
    value = model.q_net(drawn.following).detach().numpy()
    chosen = weighed(value.astype(float), drawn.following[:, PLAN_SPEED_INDEX]).argmin(-1)
    assert later - own == pytest.approx(value[np.arange(8), chosen], abs=1e-5)


def test_bytes_and_files_give_the_same_snapshot_back(tmp_path):
    model = learner()
    snapshot = model.snapshot(4)
    again = PlanSnapshot.from_bytes(snapshot.to_bytes())
    assert again.meta == snapshot.meta
    snapshot.save(tmp_path / "one.safetensors")
    loaded = PlanSnapshot.load(tmp_path / "one.safetensors")
    raw = np.stack([seen(0.2), seen(0.9)])
    assert np.array_equal(loaded.correction(raw), snapshot.correction(raw))


def test_snapshots_that_do_not_fit_are_refused(tmp_path):
    good = uncorrected(1)
    nan = {name: np.full_like(w, np.nan) for name, w in good.weights.items()}
    narrow = good.weights | {"layer0.weight": good.weights["layer0.weight"][:, 1:]}
    for weights in (nan, narrow, {}, good.weights | {"more": np.zeros(1, np.float32)}):
        with pytest.raises(SnapshotError):
            PlanSnapshot(PlanMeta(1), weights)
    for meta in (PlanMeta(1, budget=2.0), PlanMeta(1, space="plan/0"), PlanMeta(1, schema=9)):
        with pytest.raises(SnapshotError):
            PlanSnapshot(meta, good.weights)
    for data in (b"", b"nonsense" * 9, good.to_bytes()[:-4]):
        with pytest.raises(SnapshotError, match="not a plan snapshot"):
            PlanSnapshot.from_bytes(data)
    with pytest.raises(SnapshotError, match="cannot read"):
        PlanSnapshot.load(tmp_path / "none")


def test_transitions_that_do_not_fit_are_refused():
    model = learner()
    good = rows(4, np.random.default_rng(3))
    for column, wrong in (
        ("actions", np.array([0, 1, 2, CHOICES])),
        ("observations", good.observations[:, 1:]),
        ("propensities", np.zeros(4, np.float32)),
        ("matched", good.matched + 0.5),
        ("spent", -np.ones((4, 3), np.float32)),
    ):
        bad = PlanRows(**{**vars(good), column: wrong})
        with pytest.raises(ValueError, match=column):
            model.add(bad)
    assert model.replay_buffer.size() == 0


def told(recorder):
    """One run: a match, a mismatch, a step without a proposal, the end."""
    calls = [
        (state(run=7, at=0.0), None),
        (state([], [proposal("a", elapsed=1.0)], run=7, at=1.0), ("A", 0, 1.0, 0.1)),
        (state([step("a", True)], run=7, at=9.0, elapsed=8.0), ("T", 0, 9.0, 1.0)),
        (state([step("a", True), step("b", False)], run=7, at=12.0), ("T", 1, 11.0, 1.0)),
        (
            state([step("a", True), step("b", False), step("c")], run=7, at=20.0),
            ("T", 2, 8.0, 1.0),
        ),
    ]
    policy = Learned()
    for plan, ended in calls:
        if ended is not None:
            recorder.ended(call(*ended), plan)
        recorder.decided(plan, observe(plan, policy.estimates), policy.decide(plan))
    recorder.ended(call("T", 3, 5.0, 1.0), calls[-1][0])


STEPS = [step("a", True), step("b", False), step("c"), step("d", True)]


def test_finished_runs_are_reported_as_transitions():
    recorder = PlanRecorder()
    told(recorder)
    found = recorder.finished(finished(STEPS, 7, seconds=25.0))
    found.check()
    assert len(found) == 5
    assert found.spent[:, 0] == pytest.approx([1, 8, 3, 8, 5])
    assert found.spent[:, 1] == pytest.approx([0.1, 1, 1, 1, 1])
    assert found.spent[:, 2] == pytest.approx([0, 1, 1, 1, 1])
    assert found.ended.tolist() == [False] * 4 + [True]
    nan = math.nan
    assert found.matched[:, :3] == pytest.approx(
        np.array([[1, 0, nan], [1, 0, nan], [0, nan, nan], [nan] * 3, [nan] * 3]), nan_ok=True
    )
    # From the second decision on T had run for 1 second; of the first steps 9 and 11 are known.
    assert found.seconds[0, :4] == pytest.approx([9, 11, 8, 5])
    assert found.seconds[1, 0] == pytest.approx(8)
    assert found.seconds[2, 0] == pytest.approx(3)
    # The first mismatch is settled at the fourth decision.
    assert np.array_equal(found.landing[0], found.observations[3])
    assert np.array_equal(found.landing[3], found.observations[4])
    assert found.landed.tolist() == [False] * 4 + [True]


def test_runs_that_were_cut_off_are_not_reported():
    recorder = PlanRecorder()
    told(recorder)
    assert recorder.finished(finished(STEPS[:2], 7, complete=False)) is None
    assert recorder.finished(finished(STEPS, 7)) is None  # nothing is left of it
