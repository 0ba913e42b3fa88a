from __future__ import annotations

import warnings

import flyball.envs  # noqa: F401 - registers the environment
import gymnasium
import numpy as np
import pytest
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.traces import Trace
from flyball.inference.simulator.workload import traced
from flyball.policies.spaces import DEPTH_SPACE


def make(**arguments: object) -> gymnasium.Env:
    return gymnasium.make("flyball/Depth-v0", engine="simulator", **arguments)


def test_it_is_the_live_environments_problem() -> None:
    env = make(speed=1.0)
    assert env.observation_space == gymnasium.spaces.Box(0, 1, (DEPTH_SPACE.size,), np.float32)
    assert env.action_space == gymnasium.spaces.Discrete(7)
    observation, info = env.reset(seed=0)
    assert info == {"engine": "cpu"}
    for depth in (0, 6, 3):
        observation, reward, terminated, truncated, info = env.step(depth)
        assert observation in env.observation_space
        assert observation[DEPTH_SPACE.index("depth")] == pytest.approx(depth / 8)
        assert observation[-1] == 1.0
        assert info["decision"]["applied"] == info["outcome"]["depth"] == info["depth"] == depth
        assert info["outcome"]["drafted"] == info["outcome"]["request_steps"] * depth
        assert reward == pytest.approx(-info["latency"])
        assert {"engine", "speed", "cost", "off_seconds"} <= {*info}
        assert not terminated
        assert not truncated


def test_the_same_seed_gives_the_same_traffic_and_another_reset_another() -> None:
    env = make()
    runs = []
    for seed in (3, 3, None):
        env.reset(seed=seed)
        runs.append([env.step(2)[1] for _ in range(20)])
    assert runs[0] == runs[1] != runs[2]


def test_an_episode_ends_after_its_intervals_or_with_its_traffic() -> None:
    env = make(episode=3)
    env.reset()
    assert [env.step(1)[3] for _ in range(3)] == [False, False, True]
    trace = Trace(np.zeros(2), np.full(2, 10), np.full(2, 40))
    env = make(simulator=preset("cpu", workload=traced(trace)))
    env.reset()
    while True:
        _, _, terminated, truncated, info = env.step(4)
        assert not terminated
        if truncated:
            break
    assert info["reason"] == "end"


def test_what_to_do_depends_on_the_knob() -> None:
    rewards = {}
    for speed in (0.0, 1.0):
        env = make(simulator="gpu-7b", speed=speed, episode=200)
        for depth in (0, 3):
            env.reset(seed=0)
            rewards[speed, depth] = np.mean([env.step(depth)[1] for _ in range(100)])
    assert rewards[1.0, 3] > rewards[1.0, 0]
    assert rewards[0.0, 0] > rewards[0.0, 3]
    assert rewards[0.0, 0] == pytest.approx(-1.0, abs=0.05)


def test_it_passes_gymnasiums_checker() -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make().unwrapped, skip_render_check=True)


def test_it_passes_stable_baselines3s_checker_and_dqn_learns_on_it() -> None:
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_checker import check_env

    env = make(speed=1.0, episode=16)
    check_env(env, warn=True)
    model = DQN("MlpPolicy", env, learning_starts=20, buffer_size=200, seed=0)
    model.learn(60)
    assert model.num_timesteps == 60
    assert model.replay_buffer.rewards[:60].std() > 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"simulator": "tpu"}, "no simulated engine 'tpu'"),
        ({"speed": 1.5}, "speed must be in"),
        ({"episode": 0}, "at least 1 interval"),
        ({"reward": "fame"}, "no reward 'fame'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make(**arguments)


def test_a_live_engine_takes_no_settings_of_a_simulator() -> None:
    with pytest.raises(ValueError, match="live engine 'e'"):
        gymnasium.make("flyball/Depth-v0", engine="e", simulator="cpu")
    env = gymnasium.make("flyball/Depth-v0", simulator="gpu-7b")
    assert env.reset()[1] == {"engine": "gpu-7b"}


@pytest.mark.parametrize("depth", [7, -1])
def test_a_depth_the_engine_cannot_run_is_refused(depth: int) -> None:
    env = make().unwrapped
    env.reset()
    with pytest.raises(ValueError, match=r"depth must be in \[0, 6\]"):
        env.step(depth)
