"""The plan decision as a Gymnasium environment."""

from __future__ import annotations

import threading
import warnings

import flyball.envs  # noqa: F401 - registers the environment
import gymnasium
import pytest
from flyball.envs.plan_engine import LiveAgents
from flyball.inference.agents.protocol import AgentError
from flyball.inference.agents.replay.agents import ReplayedTarget
from flyball.inference.agents.replay.generator import PlanGenerator
from flyball.inference.agents.replay.run import recorded_planner, replay
from flyball.inference.agents.trajectory import PlanError
from flyball.policies.plan.fixed import Fixed
from flyball.policies.plan.space import PLAN_SPACE
from flyball.policies.plan.state import MAX_AHEAD
from plan_traces import some_trace


def make(**arguments: object) -> gymnasium.Env:
    return gymnasium.make("flyball/Plan-v0", **arguments)


def episode(env, ahead, seed=None):
    observation, _ = env.reset(seed=seed)
    rewards, infos, over = [], [], False
    while not over:
        observation, reward, over, truncated, info = env.step(ahead)
        assert observation in env.observation_space
        assert not truncated
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


def test_checkers_pass():
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    env = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not within the observation space.*")
        check_env(env.unwrapped, skip_render_check=True)
        check_for_sb3(env.unwrapped)
    env.close()


@pytest.mark.parametrize("ahead", [0, 3, MAX_AHEAD])
def test_an_episode_is_what_the_planner_does_by_itself(ahead):
    env = make(speed=0.7)
    _, infos = episode(env, ahead, seed=4)
    trajectory = infos[-1]["trajectory"]
    (alone,) = replay([trajectory.task], Fixed(ahead))
    assert [event.seconds for event in trajectory.events] == pytest.approx(
        [event.seconds for event in alone.events]
    )
    assert sum(info["seconds"] for info in infos) == pytest.approx(alone.seconds)
    assert sum(info["dollars"] for info in infos) == pytest.approx(alone.ledger.dollars)


def test_the_reward_is_of_latency_and_cost_at_the_speed():
    for speed in (0.0, 0.3, 1.0):
        rewards, infos = episode(make(speed=speed), 2, seed=1)
        wanted = [-(speed * i["latency"] + (1 - speed) * i["cost"]) for i in infos]
        assert rewards == pytest.approx([max(w, -10.0) for w in wanted])


def test_a_reward_that_is_not_linear_judges_the_whole_plan():
    rewards, infos = episode(make(reward="cost-under-latency?bound=0.8"), 2, seed=1)
    steps = len(infos[-1]["trajectory"].steps)
    latency, cost = (sum(i[name] for i in infos) / steps for name in ("latency", "cost"))
    assert set(rewards[:-1]) == {0.0}
    assert rewards[-1] == pytest.approx(-cost - 10 * max(latency - 0.8, 0.0))


def test_sequential_costs_a_step_per_step():
    env = make()
    returns, steps = 0.0, 0
    for i in range(40):
        rewards, infos = episode(env, 0, seed=0 if i == 0 else None)
        returns += sum(rewards)
        steps += len(infos[-1]["trajectory"].steps)
    assert -returns / steps == pytest.approx(1.0, abs=0.1)


def test_seeds_repeat_and_resets_go_on():
    env = make()
    one, same, other = (episode(env, 2, seed)[0] for seed in (5, 5, None))
    assert one == same != other


def test_a_trace_is_replayed(tmp_path):
    env = make(engine="replay", trace=some_trace(tmp_path))
    observation, info = env.reset(seed=0)
    assert info["task"].startswith("task ")
    assert observation[PLAN_SPACE.index("speed")] == 0.5


def test_an_abandoned_run_leaves_nothing_behind():
    before = threading.active_count()
    env = make()
    for seed in range(3):
        env.reset(seed=seed)
        env.step(3)
    env.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="reset"):
        env.unwrapped.step(0)


class _Failing(ReplayedTarget):
    async def act(self, task, steps, call):
        raise AgentError("out of order")


def _live(planner):
    tasks = PlanGenerator().tasks(3, 0)
    return LiveAgents(planner=planner, tasks=tasks, step_seconds=9.0, step_dollars=8e-4)


def test_agents_are_handed_in():
    env = make(engine=_live(recorded_planner))
    observation, _ = env.reset()
    assert observation in env.observation_space
    env.close()  # its calls would take real seconds


def run_to_the_end(env):
    while not env.step(0)[2]:
        pass


def test_agents_that_fail_are_told():
    def planner(policy):
        found = recorded_planner(policy)
        found._terms.verifier.agent.act = _Failing("x").act
        return found

    env = make(engine=_live(planner))
    env.reset()
    with pytest.raises(PlanError, match="out of order"):
        run_to_the_end(env)
    env.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"engine": "oracle"}, "generator, replay"),
        ({"engine": "replay"}, "trace is needed"),
        ({"trace": "x.jsonl"}, "trace is needed"),
        ({"speed": 2.0}, "speed"),
    ],
)
def test_nonsense_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        make(**arguments)


def test_an_action_out_of_range_is_refused():
    env = make().unwrapped
    env.reset()
    with pytest.raises(ValueError, match="steps ahead must be"):
        env.step(MAX_AHEAD + 1)
    env.close()
