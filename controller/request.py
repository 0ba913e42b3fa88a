"""A request to the controller, from whichever door it came, and the reason when it is refused."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any


class RefusedError(Exception):
    """A request that was refused, with the reason.

    Attributes:
        status: what HTTP calls it: 400 malformed, 404 no such thing, 409 not now, 500 our fault.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Request:
    """A command with its arguments, and the way back.

    Attributes:
        name: of the command.
        arguments: as they arrived; not yet validated.
        deliver: takes the value, or the refusal; False if nobody waits for it any more.
    """

    name: str
    arguments: dict[str, Any]
    deliver: Callable[[Any, RefusedError | None], bool]

    def answer(self, value: Any) -> bool:
        """Answer with a value; False if nobody waits for it any more."""
        return self.deliver(value, None)

    def refuse(self, error: RefusedError) -> bool:
        """Answer with the reason of a refusal."""
        return self.deliver(None, error)


class Mailbox:
    """Requests from other threads to the one that owns the sockets and the learner.

    ``send`` and ``wake`` may be called from any thread or signal handler; ``take`` and the file
    descriptor belong to the owner's loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def send(self, name: str, arguments: dict[str, Any]) -> Future[Any]:
        """Hand over a command; the future holds its value or a ``RefusedError``."""
        future: Future[Any] = Future()

        def deliver(value: Any, error: RefusedError | None) -> bool:
            if not future.set_running_or_notify_cancel():
                return False
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
            return True

        self._waiting.append(Request(name, arguments, deliver))
        self.wake()
        return future

    def wake(self) -> None:
        """End the owner's wait."""
        with contextlib.suppress(OSError):  # full, so awake already; or closed: nobody waits
            self._writer.send(b"\0")

    def take(self) -> list[Request]:
        """Every request that waits."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            pass
        requests = []
        while self._waiting:
            requests.append(self._waiting.popleft())
        return requests

    def fileno(self) -> int:
        """Readable when something waits."""
        return self._reader.fileno()

    def close(self) -> None:
        """Refuse what still waits."""
        for request in self.take():
            request.refuse(RefusedError("the controller is stopping", 503))
        self._writer.close()
        self._reader.close()
