"""The engines that a benchmark starts, side by side, and always stops."""

from __future__ import annotations

import random
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..inference.models.family import DRAFT, TARGET, check_pair, path
from ..inference.vllm.server import EngineProcess

_PORTS: Final = range(15_000, 32_000)


class BenchError(RuntimeError):
    """A benchmark that could not measure what it is for, with the reason."""


@dataclass(frozen=True)
class Models:
    """Target and draft, as folders."""

    target: Path
    draft: Path


def models(target: Path | None = None, draft: Path | None = None) -> Models:
    """The given folders, or the embedded models.

    Raises:
        ValueError: if they do not belong together.
        FileNotFoundError: if an embedded model is not there.
    """
    found = Models(target or path(TARGET), draft or path(DRAFT))
    check_pair(found.target, found.draft)
    return found


def free_ports(n: int = 1) -> int:
    """The first of n consecutive ports that nobody listens on, drawn at random.

    They lie below those that systems give to outgoing connections, none of which takes one before
    it is listened on.

    Raises:
        OSError: if there are none.
    """
    draw = random.SystemRandom()  # seeds are for what is measured
    for _ in range(64):
        first = draw.randrange(_PORTS.start, _PORTS.stop - n)
        with ExitStack() as stack, suppress(OSError):
            for i in range(n):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", first + i))
            return first
    raise OSError(f"no {n} consecutive free ports")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does, so that no child outlives it."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def running(engines: Sequence[EngineProcess], seconds: float = 600.0) -> Iterator[None]:
    """Start engines at the same time, wait for all, and stop all whatever happens.

    Raises:
        EngineError: if one of them does not start.
    """
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        for engine in engines:
            stack.enter_context(engine)
        for engine in engines:
            engine.wait_ready(seconds)
        yield
