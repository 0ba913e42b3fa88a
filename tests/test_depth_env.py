from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import flyball.envs  # noqa: F401 - registers the environment
import gymnasium
import numpy as np
import pytest
from flyball.envs.commands import CommandError, Commands, NoAnswerError
from flyball.envs.rewards import RewardError
from flyball.inference.asking import LoadError
from flyball.policies.spaces import DEPTH_SPACE
from openai_api import Api
from ports import free_ports
from wire_engine import WireEngine


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real controller in its own process."""
    run: Path = tmp_path_factory.mktemp("run")
    port = free_ports(4)
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flyball.controller", "--address", address]
    command += ["--http", f"127.0.0.1:{port + 3}", "--run", str(run), "--learner-share", "0.05"]
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    commands = Commands(address)
    try:
        for _ in range(60):
            assert process.poll() is None, (run / "log").read_text()
            try:
                commands.call("status", seconds=1.0)
                break
            except NoAnswerError:
                continue
        else:
            raise AssertionError((run / "log").read_text())
        yield address
    finally:
        commands.close()
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def engine(endpoint: str, request: pytest.FixtureRequest) -> Iterator[WireEngine]:
    name = "e-" + str(abs(hash(request.node.name)))
    with WireEngine(endpoint, name) as engine:
        yield engine


@pytest.fixture
def make(endpoint: str, engine: WireEngine) -> Iterator:
    made = []

    def make(**arguments: object) -> gymnasium.Env:
        arguments = {"endpoint": endpoint, "engine": engine.name, **arguments}
        env = gymnasium.make("flyball/Depth-v0", **arguments)
        made.append(env)
        return env

    yield make
    for env in made:
        env.close()


def test_the_spaces_are_the_engines(make) -> None:
    env = make()
    assert env.observation_space == gymnasium.spaces.Box(0, 1, (DEPTH_SPACE.size,), np.float32)
    assert env.action_space == gymnasium.spaces.Discrete(7)


def test_a_step_holds_the_depth_and_tells_what_was_measured(make, engine: WireEngine) -> None:
    env = make(speed=1.0)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    for depth in (0, 6, 3):
        observation, reward, terminated, truncated, info = env.step(depth)
        assert observation in env.observation_space
        assert observation[DEPTH_SPACE.index("depth")] == pytest.approx(depth / 8)
        assert info["decision"]["applied"] == info["outcome"]["depth"] == depth
        assert info["outcome"]["drafted"] == 32 * depth
        assert reward == pytest.approx(-info["latency"])
        assert not terminated
        assert not truncated


def test_the_reward_is_the_environments_own_at_its_own_speed(make) -> None:
    latencies = []
    for speed in (0.0, 0.25):
        env = make(speed=speed)
        env.reset()
        observation, reward, _, _, info = env.step(2)
        wanted = -(speed * info["latency"] + (1 - speed) * info["cost"])
        assert reward == pytest.approx(wanted)
        assert observation[-1] == pytest.approx(speed)
        latencies.append(info["latency"])
        env.close()
    env = make(reward="cost-under-latency?bound=5.0")
    env.reset()
    _, reward, _, _, info = env.step(2)
    assert reward == pytest.approx(-info["cost"])


def test_without_a_speed_it_follows_the_knob(make, engine: WireEngine) -> None:
    env = make()
    env.reset()
    _, _, _, _, info = env.step(1)
    assert info["speed"] == engine.speed


def test_an_episode_ends_after_its_intervals(make) -> None:
    env = make(episode=3)
    env.reset()
    assert [env.step(1)[3] for _ in range(3)] == [False, False, True]
    env.reset()
    assert env.step(1)[3] is False


def test_an_idle_engine_truncates_the_episode_and_the_next_step_goes_on(
    make, engine: WireEngine
) -> None:
    env = make(patience=2.0)
    env.reset()
    engine.busy = False
    time.sleep(0.1)
    _, reward, _, truncated, info = env.step(2)
    assert truncated
    assert info["reason"] == "idle"
    assert reward == -1.0
    engine.busy = True
    _, _, _, truncated, info = env.step(5)
    assert not truncated
    assert info["decision"]["applied"] == 5


def test_closing_lets_the_depth_go(make, engine: WireEngine) -> None:
    env = make()
    env.reset()
    env.step(6)
    env.close()
    deadline = time.monotonic() + 5
    while engine.pins[-1] is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.pins[-1] is None
    env.close()


@pytest.mark.parametrize("depth", [7, -1])
def test_a_depth_the_engine_cannot_run_is_refused(make, depth: int) -> None:
    env = make().unwrapped
    env.reset()
    with pytest.raises(ValueError, match=r"depth must be in \[0, 6\]"):
        env.step(depth)


def test_it_passes_gymnasiums_checker(make) -> None:
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make().unwrapped, skip_render_check=True)


def test_it_passes_stable_baselines3s_checker_and_dqn_learns_on_it(make) -> None:
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_checker import check_env

    env = make(speed=1.0, episode=16)
    check_env(env, warn=True)
    model = DQN("MlpPolicy", env, learning_starts=20, buffer_size=200, seed=0)
    model.learn(60)
    assert model.num_timesteps == 60
    assert model.replay_buffer.rewards[:60].std() > 0


def test_an_engine_that_measured_nothing_is_named_with_the_remedy(
    endpoint: str,
) -> None:
    with WireEngine(endpoint, "idle-one", seconds=0.01) as engine:
        engine.busy = False
        time.sleep(0.3)
        commands = Commands(endpoint)
        try:
            commands.call("observe", {"engine": "idle-one"})
            pytest.skip("it had measured something before it was told to rest")
        except CommandError:
            pass
        finally:
            commands.close()
        env = gymnasium.make("flyball/Depth-v0", endpoint=endpoint, engine="idle-one", patience=2.0)
        with pytest.raises(NoAnswerError, match="workload"):
            env.reset()
        env.close()


def test_an_engine_that_a_workload_does_not_reach_is_named_with_the_remedy(endpoint: str) -> None:
    engine, api = WireEngine(endpoint, "not-reached"), Api().start()
    engine.busy = False
    with engine:
        env = gymnasium.make(
            "flyball/Depth-v0",
            endpoint=endpoint,
            engine=engine.name,
            patience=2.0,
            workload="tool_calls",
            url=api.url,
        )
        with pytest.raises(NoAnswerError, match=f"the workload goes to {api.url}: is that engine"):
            env.reset()
        assert api.bodies
        env.close()
    api.stop()


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"engine": "nobody", "patience": 2.0}, CommandError, "no engine 'nobody'"),
        ({"reward": "fame"}, RewardError, "no reward 'fame'"),
        ({"speed": 1.5}, ValueError, "speed must be in"),
        ({"episode": 0}, ValueError, "episode must be at least 1"),
        ({"patience": 0.0}, ValueError, "patience above 0"),
        ({"workload": "mixed"}, ValueError, "needs the url"),
        ({"workload": "poems", "url": "http://127.0.0.1:1"}, LoadError, "there are code"),
        ({"endpoint": "127.0.0.1:5757"}, ValueError, "tcp://HOST:PORT"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    make, arguments: dict, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        make(**arguments)


def test_a_workload_nobody_serves_is_named(make) -> None:
    env = make(workload="tool_calls", url="http://127.0.0.1:9", patience=2.0)
    env.reset()
    while env.unwrapped._traffic.alive:
        env.step(1)
    with pytest.raises(LoadError, match="no OpenAI API"):
        env.step(1)
    env.unwrapped._traffic = None
    env.close()


def test_a_controller_that_is_not_there_is_named() -> None:
    with pytest.raises(NoAnswerError, match=r"tcp://127\.0\.0\.1:9 did not answer .* FLYBALL_KEYS"):
        gymnasium.make("flyball/Depth-v0", endpoint="tcp://127.0.0.1:9", patience=0.2)
