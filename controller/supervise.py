"""A controller and an engine as children of one process, started and stopped in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..inference.client import ControllerClient, ControllerError

if TYPE_CHECKING:
    from ..inference.vllm.server import EngineProcess

log = logging.getLogger("flyball")

_LOOK: Final = 0.2  # seconds between two looks at the children
_PATIENCE: Final = 10.0  # seconds for an orderly end, a last checkpoint included
_BACKOFF: Final = (0.5, 30.0)  # seconds before a restart: after the first death, at most


class Stopped(BaseException):
    """The process was told to stop, by Ctrl-C or SIGTERM."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``Stopped`` at the first SIGTERM or SIGINT; later ones find the stop under way."""

    def handle(_number: int, _frame: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def check_ports(ports: Iterable[tuple[str, str, int]]) -> None:
    """Refuse ports that are in use or named twice.

    Args:
        ports: what for, host and port of each.

    Raises:
        ValueError: naming the first of them.
    """
    with contextlib.ExitStack() as held:
        for what, host, port in ports:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            probe = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("" if host == "*" else host, port))
                probe.listen(1)  # two sockets may share a port until one of them listens
            except OSError as e:
                raise ValueError(
                    f"port in use: {host}:{port}, wanted for {what} ({e.strerror}); stop what "
                    "listens there or give another"
                ) from None


@dataclass
class ControllerProcess:
    """``flyball controller`` as a child, restarted when it dies.

    Attributes:
        arguments: of every start; the run's folder is among them, so it resumes.
        first: further arguments of the first start: settings that may have changed since.
        url: of its HTTP API.
        log: file for its output.
    """

    arguments: list[str]
    first: list[str]
    url: str
    log: Path
    restarts: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _started: float = field(default=0.0, init=False)

    @property
    def pid(self) -> int | None:
        """Its process id; None before the start."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and return at once."""
        extra = self.first if self._process is None else []
        command = [sys.executable, "-m", "flyball.controller", *self.arguments, *extra]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C reaches the parent alone, which stops it in order
            )
        self._started = time.monotonic()

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Wait until it answers.

        Raises:
            ControllerError: if it ends, or does not answer in time.
        """
        deadline = time.monotonic() + seconds
        with ControllerClient(self.url) as client:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    raise ControllerError(f"the controller ended at its start: {self._last_line()}")
                with contextlib.suppress(ControllerError):
                    client.wait_ready(_LOOK)
                    return
        raise ControllerError(f"the controller was not ready within {seconds:g} s; see {self.log}")

    def tend(self) -> None:
        """Start it again if it died, later after every death."""
        if self._process is None or self._process.poll() is None:
            return
        wait = min(_BACKOFF[0] * 2.0 ** min(self.restarts, 16), _BACKOFF[1])
        if time.monotonic() - self._started < wait:
            return
        self.restarts += 1
        log.warning(
            "the controller ended with code %s: starting it again; serving goes on",
            self._process.returncode,
        )
        self.start()

    def stop(self) -> None:
        """Stop it: politely, so that it writes a checkpoint, then for good."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else "it said nothing"


def tend(engine: EngineProcess, controller: ControllerProcess | None) -> int:
    """Keep serving until the engine ends; its exit code as a shell gives it."""
    while (code := engine.poll()) is None:
        if controller is not None:
            controller.tend()
        time.sleep(_LOOK)
    return code if code >= 0 else 128 - code
