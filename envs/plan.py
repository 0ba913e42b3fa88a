"""The plan decision as a Gymnasium environment, around a live planner or a replayed one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from ..policies.plan.rule import Survival
from ..policies.plan.space import PLAN_SPACE, PLAN_SPEED_INDEX, observe
from ..policies.plan.state import MAX_AHEAD, PlanState
from ..policies.spaces import Array, check_speed
from .plan_engine import LiveAgents, plan_engine
from .reward_inputs import RewardInputs
from .rewards import evaluate, load_reward
from .stepping import Asked, Ended, SteppedRun


class PlanEnv(gymnasium.Env[Array, np.int64]):
    """How many steps of an agent's plan run ahead, one decision per step.

    A decision is asked for when a run starts, at every proposal and at every verdict, as of any
    policy of the planner; an episode is one task. An action is how many steps run ahead, from 0
    to ``MAX_AHEAD``. The observation is ``PLAN_SPACE``, normalised; what it says of matches and
    times is learned while the environment lives, or until it is reset with a seed. ``info`` has
    ``seconds``, ``dollars``, ``latency`` and ``cost`` since the decision before, the latter two
    over what the target agent alone takes for a step on average, and at the end the
    ``trajectory``.

    A reward that is ``linear`` is of the latency and cost between two decisions: the sum over an
    episode is that of all its steps. Any other is of a plan, and comes at its end, of its latency
    and cost per step; 0.0 before.

    Args:
        engine: ``generator`` (plans like those of a planning trace), ``replay`` (of a trace), or
            live agents.
        trace: planning trace, for ``replay``.
        reward: built-in name, entry point, or ``pkg.module:Class``; one that needs more than
            latency, cost and speed gives its ``on_error``.
        speed: for the reward and the observation; None for 0.5.

    Raises:
        RewardError: if the reward cannot be used.
        ValueError: if an argument makes no sense.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        engine: str | LiveAgents = "generator",
        trace: Path | str | None = None,
        reward: str = "latency-cost",
        speed: float | None = None,
    ) -> None:
        self.reward = load_reward(reward)
        self.speed = 0.5 if speed is None else check_speed(speed)
        self._engine = plan_engine(engine, trace)
        self._tasks: Iterator[Any] | None = None
        self._run: SteppedRun | None = None
        self._raw = PLAN_SPACE.zeros()
        self._pupil = Survival()
        self._begun = self._before = 0.0
        self._spent = np.zeros(2)  # latency and cost of the plan so far
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (PLAN_SPACE.size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(MAX_AHEAD + 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start the next task; with a seed, begin anew: with its tasks, and nothing learned.

        Raises:
            PlanError: if the run failed before anything was decided.
        """
        super().reset(seed=seed, options=options)
        self.close()
        if seed is not None or self._tasks is None:
            self._tasks = self._engine.tasks(int(self.np_random.integers(2**31)))
            self._pupil = Survival()
        task = next(self._tasks)
        self._run = SteppedRun(
            lambda policy: self._engine.planner(policy).run(task), self._engine.loop, self._pupil
        )
        news = self._run.wait()
        if isinstance(news, Ended):
            raise _failed(news)
        self._begun = self._before = news.at
        self._spent = np.zeros(2)
        return self._observe(news.state), {"task": str(task)}

    def step(self, action: np.int64 | int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Let so many steps run ahead until the next decision, or the end of the task.

        Raises:
            PlanError: if the run failed.
            RuntimeError: if there is no run: ``reset`` starts one.
            ValueError: if the action is out of range.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"steps ahead must be an integer in [0, {MAX_AHEAD}], not {action!r}")
        if self._run is None:
            raise RuntimeError("no task is running: call reset first")
        news = self._run.answer(int(action))
        if isinstance(news, Asked):
            info = self._measure(news.at, news.dollars)
            return self._observe(news.state), self._reward(info), False, False, info
        self.close()
        if news.trajectory is None:
            raise _failed(news)
        info = self._measure(self._begun + news.trajectory.seconds, news.dollars)
        info["trajectory"] = news.trajectory
        reward = self._reward(info, len(news.trajectory.steps))
        return PLAN_SPACE.normalise(self._raw), reward, True, False, info

    def close(self) -> None:
        """End the run, if there is one: all its calls are cancelled."""
        run, self._run = self._run, None
        if run is not None:
            run.close()

    def _observe(self, state: PlanState) -> Array:
        self._pupil.estimates.crowd(state.free)
        self._raw = observe(state, self._pupil.estimates)
        self._raw[PLAN_SPEED_INDEX] = self.speed
        return PLAN_SPACE.normalise(self._raw)

    def _measure(self, now: float, dollars: float) -> dict[str, Any]:
        seconds, self._before = now - self._before, now
        latency = seconds / self._engine.step_seconds
        cost = dollars / self._engine.step_dollars
        self._spent += latency, cost
        return {"seconds": seconds, "dollars": dollars, "latency": latency, "cost": cost}

    def _reward(self, info: dict[str, Any], steps: int = 0) -> float:
        """What a decision is worth; ``steps`` of a plan that has ended."""
        if self.reward.linear:
            return self._worth(info["latency"], info["cost"])
        return self._worth(*self._spent / steps) if steps else 0.0

    def _worth(self, latency: float, cost: float) -> float:
        columns = (np.array([value], np.float64) for value in (latency, cost, self.speed))
        return float(evaluate(self.reward, RewardInputs.of_components(*columns))[0])


def _failed(news: Ended) -> BaseException:
    return news.error or RuntimeError("the run ended before anything was decided")
