"""Off-policy estimators on logged bandits whose values are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from flyball.policies.off_policy import bound, doubly_robust, effective, importance, ips, snips
from hypothesis import given, settings
from hypothesis import strategies as st

ACTIONS = 5


@dataclass
class Log:
    """Decisions of an epsilon-greedy policy in a world of two features."""

    rewards: np.ndarray
    actions: np.ndarray
    propensities: np.ndarray
    target: np.ndarray  # chances of every action under another policy, (n, ACTIONS)
    truth: np.ndarray  # expected rewards of every action, (n, ACTIONS)

    @property
    def chances(self) -> np.ndarray:
        return self.target[np.arange(len(self.actions)), self.actions]


def expected(states: np.ndarray) -> np.ndarray:
    return -np.abs(np.arange(ACTIONS) / (ACTIONS - 1) - states[:, :1]) - 0.3 * states[:, 1:]


def greedy(scores: np.ndarray, epsilon: float) -> np.ndarray:
    out = np.full(scores.shape, epsilon / ACTIONS)
    out[np.arange(len(scores)), scores.argmax(1)] += 1 - epsilon
    return out


def log(seed: int, n: int = 500, epsilon: float = 0.3, noise: float = 0.3) -> Log:
    rng = np.random.default_rng(seed)
    states = rng.random((n, 2))
    truth = expected(states)
    logging = greedy(expected(states[:, ::-1]), epsilon)  # looks at the wrong feature
    actions = (logging.cumsum(1) < rng.random((n, 1))).sum(1)
    return Log(
        rewards=truth[np.arange(n), actions] + rng.normal(0, noise, n),
        actions=actions,
        propensities=logging[np.arange(n), actions],
        target=greedy(truth, 0.1),
        truth=truth,
    )


def value() -> float:
    """The target's true value, from a great many states."""
    truth = expected(np.random.default_rng(99).random((400_000, 2)))
    return float((greedy(truth, 0.1) * truth).sum(1).mean())


def estimates(data: Log, model: np.ndarray, level: float = 0.9):
    return {
        "ips": ips(data.rewards, data.chances, data.propensities, level),
        "snips": snips(data.rewards, data.chances, data.propensities, level),
        "dr": doubly_robust(
            data.rewards, data.actions, data.target, data.propensities, model, level
        ),
    }


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
@pytest.mark.parametrize("right", [True, False])
def test_intervals_cover_the_truth_about_as_often_as_they_say(name: str, right: bool) -> None:
    truth, runs, covered = value(), 400, 0
    for seed in range(runs):
        data = log(seed)
        model = data.truth if right else np.zeros_like(data.truth)
        found = estimates(data, model)[name]
        covered += found.low <= truth <= found.high
    assert 0.85 <= covered / runs <= 0.95  # 90 %, give or take three standard errors


def test_doubly_robust_is_surer_than_ips_where_the_model_is_right() -> None:
    errors = {name: [] for name in ("ips", "snips", "dr")}
    truth = value()
    for seed in range(200):
        data = log(seed, noise=0.1)
        for name, found in estimates(data, data.truth).items():
            errors[name].append(found.value - truth)
    spread = {name: np.sqrt(np.mean(np.square(e))) for name, e in errors.items()}
    assert spread["dr"] < 0.5 * spread["ips"]
    assert spread["dr"] < spread["snips"]


def test_doubly_robust_is_right_with_a_model_that_is_not() -> None:
    off = []
    for seed in range(200):
        data = log(seed)
        off.append(estimates(data, data.truth[:, ::-1] + 2.0)["dr"].value)
    assert np.mean(off) == pytest.approx(value(), abs=4 * np.std(off) / np.sqrt(200))


@given(seed=st.integers(0, 10_000), shift=st.floats(-1e3, 1e3))
@settings(max_examples=30, deadline=None)
def test_a_shift_of_the_rewards_shifts_the_self_normalised_value(seed: int, shift: float) -> None:
    data = log(seed, 200)
    one = snips(data.rewards, data.chances, data.propensities)
    other = snips(data.rewards + shift, data.chances, data.propensities)
    assert other.value - one.value == pytest.approx(shift, abs=1e-8 * (1 + abs(shift)))
    assert other.high - other.low == pytest.approx(one.high - one.low, abs=1e-6)


@given(
    seed=st.integers(0, 10_000),
    least=st.floats(1e-12, 1e-3),
    n=st.integers(2, 300),
)
@settings(max_examples=60, deadline=None)
def test_extreme_propensities_do_not_explode(seed: int, least: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    data = log(seed, n)
    data.propensities = np.where(rng.random(n) < 0.2, least, data.propensities)
    data.rewards = np.clip(data.rewards, -2.0, 0.0)
    most = bound(n)
    assert importance(data.chances, data.propensities).clipped.max() <= most
    for name, found in estimates(data, data.truth).items():
        assert np.isfinite([found.value, found.low, found.high]).all(), name
        assert -2.0 * most - 2.0 <= found.value <= 2.0 * most, name
        assert 0.0 < found.ess <= n + 1e-9, name


def test_the_logging_policy_is_worth_its_mean_reward() -> None:
    data = log(0)
    found = ips(data.rewards, data.propensities, data.propensities)
    assert found.value == pytest.approx(data.rewards.mean())
    assert found.ess == pytest.approx(len(data.rewards))


def test_effective_sample_size() -> None:
    assert effective(np.array([1.0, 1.0, 0.0, 0.0])) == 2.0
    assert effective(np.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("target", "propensities", "says"),
    [
        ([], [], "0 target chances"),
        ([0.5], [0.0], "propensities"),
        ([0.5], [float("nan")], "propensities"),
        ([1.5], [0.5], "target"),
    ],
)
def test_what_is_no_chance_is_refused(target: list, propensities: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        importance(np.array(target), np.array(propensities))


def test_a_policy_that_shares_no_action_with_the_log_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the logged actions"):
        snips(np.ones(3), np.zeros(3), np.full(3, 0.5))


def test_what_the_log_never_had_a_choice_of_widens_inverse_propensities() -> None:
    data = log(0, epsilon=0.5, noise=0.0)
    rng = np.random.default_rng(1)
    held = rng.random(len(data.actions)) < 0.3  # there the first action, and no other, was open
    data.actions[held], data.propensities[held] = 0, 1.0
    data.rewards[held] = data.truth[held, 0]
    found = ips(data.rewards, data.chances, data.propensities)
    assert found.value > value() + 0.03  # nothing is worth more than a loss
    assert found.low < value() < found.high
    nothing = ips(data.rewards, np.zeros(len(data.rewards)), data.propensities)
    assert nothing.low <= data.rewards.mean()
