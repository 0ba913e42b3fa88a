"""Commands to a controller over the wire, each awaited for its answer."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import zmq

from ..inference.address import parse_address
from ..inference.curve import keys_from_environment, secure_client
from ..inference.wire import Command, Reply, WireError, decode, encode


class CommandError(RuntimeError):
    """A command that the controller refused, with its reason."""


class NoAnswerError(TimeoutError):
    """A command that nobody answered in time."""


class Commands:
    """A client of one controller; belongs to one thread.

    Args:
        endpoint: the controller's address, ``tcp://HOST:PORT``.
        keys: folder of CURVE keys, needed beyond loopback; by default what FLYBALL_KEYS names.

    Raises:
        ValueError: if the address or the keys make no sense.
    """

    def __init__(self, endpoint: str, keys: Path | None = None) -> None:
        self.address = parse_address(endpoint)
        self._numbers = itertools.count(1)
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        keys = keys or keys_from_environment()
        self._secured = keys is not None
        try:
            secure_client(self._socket, keys)
        except ValueError:
            self.close()
            raise
        self._socket.connect(self.address.commands)

    def call(self, name: str, arguments: dict[str, Any] | None = None, seconds: float = 5.0) -> Any:
        """Send a command and wait for its value.

        Args:
            name: of the command.
            arguments: of the command.
            seconds: how long to wait; an answer that comes later is dropped.

        Raises:
            CommandError: with the controller's reason.
            NoAnswerError: if there is no answer in time.
        """
        number = next(self._numbers)
        self._socket.send(encode(Command(number, name, arguments or {})))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self._socket.poll(max(int(1000 * left), 1)):
                break
            reply = self._receive()
            if reply is not None and reply.call == number:
                if reply.error is not None:
                    raise CommandError(reply.error)
                return reply.value
        keys = "" if self._secured else "; if it has keys, FLYBALL_KEYS must name their folder"
        raise NoAnswerError(
            f"the controller at {self.address} did not answer within {seconds:g} s{keys}"
        )

    def _receive(self) -> Reply | None:
        """The next reply; None for what is none."""
        *_, data = self._socket.recv_multipart()
        try:
            reply: Reply = decode(data, Reply)
        except WireError:
            return None
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)
