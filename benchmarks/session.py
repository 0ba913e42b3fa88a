"""A governed engine and its controller as child processes, with everything they say heard."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..inference.address import Address, parse_address
from ..inference.client import ControllerClient, ControllerError
from ..inference.vllm.server import EngineProcess
from .engines import BenchError, Models, ended_by_signals, free_ports
from .listener import Listener

ENGINE = "engine-0"

SMALL_SHARE = 0.05
"""Of a core, for the learner where all cores are the engine's: whatever it took more, the arm that
it serves would lack."""


@dataclass(frozen=True)
class Session:
    """What is running.

    Attributes:
        engine: the governed engine.
        client: of the controller's HTTP API.
        listener: hears every transition.
        http: where that API is.
        run: folder of the controller's run.
    """

    engine: EngineProcess
    client: ControllerClient
    listener: Listener
    http: str
    run: Path


@contextmanager
def session(
    models: Models,
    run: Path,
    seed: int = 0,
    k_max: int = 6,
    cores: frozenset[int] | None = None,
    seconds: float = 600.0,
    env: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
    drafters: tuple[str, ...] = (),
    learner_share: float = 0.25,
) -> Iterator[Session]:
    """Start everything at the same time, wait for it, and stop it whatever happens.

    Args:
        models: target and draft.
        run: folder for the controller's run and the logs.
        seed: of the learner and of the exploration.
        k_max: greatest depth, tokens.
        cores: processors for the model's threads; None for vLLM's choice.
        seconds: to wait for each.
        env: further environment variables of the engine.
        extra: further arguments to vLLM.
        drafters: that the engine offers, the default first; empty for vLLM's own alone.
        learner_share: of a core, that the learner may take.

    Raises:
        EngineError, BenchError: if one of them does not start.
    """
    run.mkdir(parents=True, exist_ok=True)
    first = free_ports(6)
    tap, address = (parse_address(f"tcp://127.0.0.1:{port}") for port in (first, first + 2))
    http = f"127.0.0.1:{first + 5}"
    engine = EngineProcess(
        models.target,
        models.draft,
        free_ports(),
        k_max=k_max,
        static_depth=min(2, k_max),
        controller=str(tap),
        engine=ENGINE,
        cores=cores,
        drafters=drafters,
        extra=list(extra),
        env={"FLYBALL_SEED": str(seed), **(env or {})},
        log=run / "engine.log",
    )
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        controller = stack.enter_context(
            controller_process(address, http, run, seed, learner_share)
        )
        listener = stack.enter_context(Listener(tap, onward=address))
        stack.enter_context(engine)
        client = stack.enter_context(ControllerClient(f"http://{http}"))
        await_controller(client, controller, run, seconds)
        engine.wait_ready(seconds)
        _await_engine(client, seconds=60.0)
        yield Session(engine, client, listener, f"http://{http}", run)


@contextmanager
def controller_process(
    address: Address, http: str, run: Path, seed: int, learner_share: float = 0.25
) -> Iterator[subprocess.Popen[bytes]]:
    """A controller as a child process, stopped whatever happens.

    Args:
        address: where it listens.
        http: HOST:PORT of its HTTP API.
        run: folder of its run and of its log.
        seed: of its learner.
        learner_share: of a core, that the learner may take.
    """
    command = [sys.executable, "-m", "flyball.controller", "--address", str(address)]
    command += ["--http", http, "--run", str(run), "--seed", str(seed)]
    command += ["--learner-share", str(learner_share)]
    with (run / "controller.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()  # it writes a last checkpoint
            try:
                process.wait(timeout=20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_controller(
    client: ControllerClient, process: subprocess.Popen[bytes], run: Path, seconds: float
) -> None:
    """Wait until a controller answers.

    Raises:
        BenchError: it ended, or did not within so many seconds; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(ControllerError):
            client.wait_ready(1.0)
            return
    log = (run / "controller.log").read_text(errors="replace").splitlines()
    raise BenchError("the controller did not start\n" + "\n".join(log[-20:]))


def _await_engine(client: ControllerClient, seconds: float) -> None:
    """Wait for the engine's first beat at the controller."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(e["engine"] == ENGINE for e in client.status()["engines"]):
            return
        time.sleep(0.1)
    raise BenchError(f"the engine's governor was not heard of at {client.url}")
