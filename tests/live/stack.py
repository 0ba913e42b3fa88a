"""A real engine and a real controller, as the live tests use them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from flyball.inference.client import ControllerClient
from flyball.inference.load import LoadSettings
from flyball.inference.models.family import DRAFT, TARGET, path
from flyball.inference.traffic import Traffic
from flyball.inference.vllm.server import EngineProcess
from ports import free_address, free_port

ENGINE = "engine-0"
CHAT_TEMPLATE = "{{ messages[0]['content'] }}"  # the embedded models have none
REWARDS = '''
"""Rewards that a user might write, good and bad."""
import numpy as np
from flyball.envs.rewards import Reward

class Short(Reward):
    """Prefers short drafts, whatever they bring."""
    name = "short"
    needs = ("depth",)
    low, high, on_error = -8.0, 0.0, -8.0
    def __call__(self, inputs):
        return -inputs.outcomes.depth

class Raises(Short):
    def __call__(self, inputs):
        raise RuntimeError("out of ideas")

class NotANumber(Short):
    def __call__(self, inputs):
        return inputs.outcomes.depth * np.nan

class WrongShape(Short):
    def __call__(self, inputs):
        return np.zeros(3)

not_a_reward = 7
'''


# Waits end as soon as what they wait for is there, so patience costs nothing where all is well.
PATIENCE = 4.0


def eventually(true: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
    """The first true value of ``true()``, or a failure after so many seconds of a quiet machine."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if value := true():
                return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or true}"
        time.sleep(0.05)


@dataclass
class Stack:
    """An engine with its controller."""

    folder: Path
    address: str = field(default_factory=free_address)
    http: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    controller: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.run = self.folder / "run"
        self.client = ControllerClient(f"http://{self.http}", timeout=30.0)
        self.engine = self.new_engine(
            ENGINE, log="engine.log", extra=["--chat-template", CHAT_TEMPLATE]
        )

    def new_engine(self, name: str, log: str, **options: Any) -> EngineProcess:
        """An engine of this controller, not started."""
        return EngineProcess(
            path(TARGET),
            path(DRAFT),
            free_port(),
            static_depth=2,
            controller=self.address,
            engine=name,
            # Exact arithmetic, so that outputs can be compared token for token.
            dtype="float32",
            log=self.folder / log,
            **options,
        )

    def start_controller(self) -> None:
        """Start the controller, on the run folder that it had before if there is one."""
        command = [sys.executable, "-m", "flyball.controller", "--run", str(self.run)]
        command += ["--address", self.address, "--http", self.http, "--speed", "0.5"]
        path = [str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        log = (self.folder / "controller.log").open("ab")
        self.controller = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.client.wait_ready(180)

    def stop_controller(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the controller; its exit code."""
        assert self.controller is not None
        self.controller.send_signal(how)
        return self.controller.wait(60)

    def state(self, engine: str = ENGINE) -> dict[str, Any]:
        """The engine's entry in the controller's status; empty while it has none."""
        entries = self.client.status()["engines"]
        return next((entry for entry in entries if entry["engine"] == engine), {})

    def learner(self) -> dict[str, Any]:
        """The learner's entry in the controller's status."""
        learner: dict[str, Any] = self.client.status()["learner"]
        return learner

    @contextlib.contextmanager
    def traffic(
        self, workload: str = "mixed", concurrency: int = 4, url: str | None = None, **options: Any
    ) -> Iterator[Traffic]:
        """Endless traffic on the engine; some requests must end in it, and none may fail."""
        settings = LoadSettings(
            url=url or self.engine.url, workload=workload, concurrency=concurrency, **options
        )
        with Traffic(settings) as traffic:
            yield traffic
            eventually(lambda: traffic.records, 60, "a request's end")
        assert [r.error for r in traffic.records if r.error is not None] == []
