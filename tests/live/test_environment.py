"""`flyball/Depth-v0` around a live engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import flyball.envs  # noqa: F401 - registers the environment
import gymnasium
import numpy as np
import pytest
from stack import Stack


@pytest.fixture(scope="module")
def env(stack: Stack) -> Iterator[gymnasium.Env[np.ndarray, int]]:
    env = gymnasium.make(
        "flyball/Depth-v0",
        endpoint=stack.address,
        workload="mixed",
        url=stack.engine.url,
        episode=8,
        patience=60.0,
    )
    yield env
    env.close()


def test_passes_gymnasiums_checker(env: gymnasium.Env[np.ndarray, int]) -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)


def test_passes_stable_baselines3s_checker(env: gymnasium.Env[np.ndarray, int]) -> None:
    from stable_baselines3.common.env_checker import check_env

    check_env(env, warn=True)


def test_a_step_sets_the_depth_and_returns_what_was_measured(
    env: gymnasium.Env[np.ndarray, int],
) -> None:
    env.reset(seed=0)
    for depth in (0, 4):
        observation, reward, _, truncated, info = env.step(depth)
        assert not truncated, info
        assert observation in env.observation_space
        assert np.isfinite(reward)
        assert info["outcome"]["depth"] == depth
        assert info["outcome"]["drafted"] == pytest.approx(
            depth * info["outcome"]["request_steps"], abs=8 * 8
        )


def test_dqn_learns_on_it(env: gymnasium.Env[np.ndarray, int]) -> None:
    from stable_baselines3 import DQN

    model = DQN("MlpPolicy", env, learning_starts=8, train_freq=4, batch_size=8, device="cpu")
    before = [p.detach().clone() for p in model.q_net.parameters()]
    model.learn(32)
    after = list(model.q_net.parameters())
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
