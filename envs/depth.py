"""The depth decision of a live engine as a Gymnasium environment."""

from __future__ import annotations

import time
from typing import Any, Final

import gymnasium
import msgspec
import numpy as np

from ..inference.address import DEFAULT_ADDRESS
from ..inference.load import LoadSettings
from ..inference.traffic import Traffic
from ..policies.prices import Prices
from ..policies.spaces import DEPTH_SPACE, SPEED_INDEX, Array, check_depth, check_speed
from ..policies.transition import STATE_SECONDS, Transition, check_transition
from .commands import CommandError, Commands, NoAnswerError
from .measuring import measure
from .rewards import load_reward

_RETRY: Final = 0.05  # seconds between two looks at an engine that has measured nothing yet


class DepthEnv(gymnasium.Env[Array, np.int64]):
    """One engine's depth, set for one interval per step, through its controller.

    The observation is ``DEPTH_SPACE`` normalised to [0, 1]; the action is the draft depth. The
    engine has to be serving: either its own clients keep it busy, or the environment does, with
    a ``workload`` sent to ``url``. What was measured is in ``info``: ``latency`` and ``cost``
    (off = 1.0), ``outcome``, ``decision``, ``off_seconds``, ``engine``. An episode is truncated
    after ``episode`` intervals, or with ``info["reason"] == "idle"`` when none was completed
    within ``patience``. Closing lets the engine's depth go.

    Args:
        endpoint: the controller's address.
        engine: its name; None for the only one there is.
        reward: built-in name, entry point, or ``pkg.module:Class``.
        speed: for the reward and the observation; None follows the knob.
        episode: intervals per episode.
        patience: seconds to wait for an interval.
        workload: ``mixed``, ``code``, ``tool_calls`` or ``prose``: traffic to make.
        url: of the engine's OpenAI API, needed with a workload.
        concurrency: requests under way, with a workload.

    Raises:
        RewardError: if the reward cannot be used.
        ValueError: if an argument makes no sense.
        NoAnswerError: if no controller answers.
        CommandError: if it knows no such engine.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        endpoint: str = DEFAULT_ADDRESS,
        engine: str | None = None,
        reward: str = "latency-cost",
        speed: float | None = None,
        episode: int = 64,
        patience: float = 10.0,
        workload: str | None = None,
        url: str | None = None,
        concurrency: int = 4,
    ) -> None:
        if episode < 1 or not patience > 0:
            raise ValueError("episode must be at least 1 interval and patience above 0 seconds")
        if (workload is None) != (url is None):
            raise ValueError("a workload needs the url of the engine's API, and a url a workload")
        self.reward = load_reward(reward)
        self.speed = None if speed is None else check_speed(speed)
        self.episode = episode
        self.patience = patience
        self._settings = (
            LoadSettings(url=url, workload=workload, concurrency=concurrency)
            if url is not None and workload is not None
            else None
        )
        self._traffic: Traffic | None = None
        self._commands: Commands | None = Commands(endpoint)
        try:
            found = _find(self._commands, engine, patience)
        except (CommandError, NoAnswerError):
            self.close()
            raise
        self.engine: str = found["engine"]
        self.k_max: int = found["k_max"]
        self._ratio = float(found["parameter_ratio"])
        self._steps = 0
        self._last = DEPTH_SPACE.zeros()
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (DEPTH_SPACE.size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(self.k_max + 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode where the engine stands; nothing of it is changed.

        Raises:
            NoAnswerError: if the engine measured nothing within ``patience``.
        """
        super().reset(seed=seed, options=options)
        self._keep_busy()
        self._steps = 0
        value = self._observe()
        return self._observation(value["observation"]), {"engine": self.engine}

    def step(self, action: np.int64 | int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold a depth for one interval and return what was measured.

        Raises:
            CommandError: if something else set the engine's depth meanwhile.
        """
        depth = check_depth(action, self.k_max)
        self._keep_busy()
        self._steps += 1
        info: dict[str, Any] = {"engine": self.engine, "depth": depth}
        try:
            value = self._client.call("step", self._named(depth=depth), self.patience)
        except NoAnswerError:
            info["reason"] = "idle"
            return self._observation(None), float(self.reward.on_error), False, True, info
        reward = self._measure(value, info)
        over = self._steps >= self.episode
        return self._observation(value["observation"]), reward, False, over, info

    def close(self) -> None:
        """Let the engine's depth go, stop the traffic, close the connection."""
        commands, self._commands = self._commands, None
        if commands is not None:
            try:
                if hasattr(self, "engine"):
                    commands.call("pin", self._named(depth=None), seconds=2.0)
            except (CommandError, NoAnswerError):
                pass  # without a controller or the engine there is no pin to let go
            finally:
                commands.close()
        traffic, self._traffic = self._traffic, None
        if traffic is not None:
            traffic.stop()

    @property
    def _client(self) -> Commands:
        if self._commands is None:
            raise ValueError("the environment is closed")
        return self._commands

    def _named(self, **arguments: Any) -> dict[str, Any]:
        return {"engine": self.engine, **arguments}

    def _keep_busy(self) -> None:
        """Start the traffic, or raise the reason for which it could not be made."""
        if self._settings is None:
            return
        if self._traffic is None:
            self._traffic = Traffic(self._settings).start()
        elif not self._traffic.alive:
            self._traffic.stop()

    def _observe(self) -> dict[str, Any]:
        """The engine's latest observation, waited for if there is none yet."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                value: dict[str, Any] = self._client.call("observe", self._named(), self.patience)
                return value
            except CommandError as e:
                self._keep_busy()
                if time.monotonic() > deadline:
                    raise NoAnswerError(
                        f"{e} (waited {self.patience:g} s); {self._remedy()}"
                    ) from None
            time.sleep(_RETRY)

    def _remedy(self) -> str:
        """What to do about an engine that measures nothing."""
        if self._settings is None:
            return (
                'give the environment workload="mixed" and the url of the engine\'s API, and it '
                "sends them itself"
            )
        return (
            f"the workload goes to {self._settings.url}: is that engine {self.engine!r}, and in "
            "another mode than off? If it is only slow, give more patience"
        )

    def _observation(self, raw: bytes | None) -> Array:
        """Normalised, at the environment's own speed; None repeats the last one."""
        if raw is not None:
            self._last = np.frombuffer(raw, np.float32).copy()
            if self.speed is not None:
                self._last[SPEED_INDEX] = self.speed
        return DEPTH_SPACE.normalise(self._last)

    def _measure(self, value: dict[str, Any], info: dict[str, Any]) -> float:
        """The reward of what a step measured; fills in the info."""
        transition = msgspec.convert(value["transition"], Transition)
        check_transition(transition)
        decision = transition.decision
        reward, measured = measure(
            self.reward,
            decision,
            transition.outcome,
            **{name: float(value[name]) for name in STATE_SECONDS},
            parameter_ratio=self._ratio,
            prices=msgspec.convert(value["prices"], Prices),
            speed=decision.speed if self.speed is None else self.speed,
        )
        info |= measured
        return reward


def _find(commands: Commands, engine: str | None, patience: float) -> dict[str, Any]:
    """An engine's entry in the controller's status, waited for if it is not there yet."""
    deadline = time.monotonic() + patience
    while True:
        engines: list[dict[str, Any]] = commands.call("status", seconds=patience)["engines"]
        live = [e for e in engines if e["live"]]
        found = live if engine is None else [e for e in live if e["engine"] == engine]
        if len(found) == 1:
            return found[0]
        names = ", ".join(sorted(e["engine"] for e in live)) or "none"
        if len(found) > 1:
            raise CommandError(f"there are several engines ({names}): say which one")
        if time.monotonic() > deadline:
            wanted = "no engine" if engine is None else f"no engine {engine!r}"
            raise CommandError(f"{wanted} at the controller within {patience:g} s; there: {names}")
        time.sleep(_RETRY)
