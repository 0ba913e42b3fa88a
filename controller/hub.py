"""The service's side of the wire: reports and commands in, snapshots and settings out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import zmq

from ..inference.address import Address
from ..inference.reports import FromEngine
from ..inference.wire import (
    MAX_MESSAGE,
    Command,
    FromController,
    Reply,
    UnknownSchemaError,
    WireError,
    decode,
    encode,
)
from .security import ServerKeys

log = logging.getLogger("flyball")

HIGH_WATER_MARK: Final = 4096
"""Messages that may wait in each queue; engines keep and drop what exceeds it."""

_AT_ONCE: Final = 512  # messages taken from one socket before the others get their turn

Peer = tuple[bytes, ...]
"""Where a reply goes: the frames that came before a command."""


class HubError(ValueError):
    """A hub that cannot listen, with the reason."""


class Pollable(Protocol):
    """Anything with a file descriptor that ends a ``poll`` when it becomes readable."""

    def fileno(self) -> int:
        """The descriptor."""


@dataclass(slots=True)
class Inbox:
    """What arrived since the last poll, in the order of arrival."""

    messages: list[FromEngine] = field(default_factory=list)
    commands: list[tuple[Peer, Command]] = field(default_factory=list)


class Hub:
    """The three sockets of a controller; belongs to one thread.

    Attributes:
        refused: messages dropped, by kind: ``schema``, ``malformed`` or ``command``.
        last_refusal: the latest reason, for people.

    Args:
        address: where to listen: three ports from its own.
        keys: with which clients must connect; None lets anyone on this machine.

    Raises:
        HubError: if a port is in use or the host is not this machine's; nothing is left open.
    """

    def __init__(self, address: Address, keys: ServerKeys | None = None) -> None:
        self.address = address
        self.refused: Counter[str] = Counter()
        self.last_refusal = ""
        self._last: dict[bytes, bytes] = {}
        self._context: zmq.Context[Any] = zmq.Context()
        self._guard = keys.authenticator(self._context) if keys else None
        self._poller = zmq.Poller()
        try:
            self._reports = self._bind(zmq.PULL, address.reports, keys)
            self._broadcast = self._bind(zmq.XPUB, address.broadcast, keys)
            self._commands = self._bind(zmq.ROUTER, address.commands, keys)
        except HubError:
            self.close()
            raise

    def watch(self, other: Pollable) -> None:
        """Let something else end a ``poll``, too."""
        self._poller.register(other.fileno(), zmq.POLLIN)

    def poll(self, seconds: float) -> Inbox:
        """Wait until something arrives, at most so long, and take what is there."""
        self._poller.poll(int(1000 * seconds))
        self._resend()
        inbox = Inbox()
        for frames in self._take(self._reports):
            message = self._decode(frames, FromEngine)
            if message is not None:
                inbox.messages.append(message)
        for peer, *frames in self._take(self._commands):
            self._command(inbox, peer, frames)
        return inbox

    def publish(self, topic: bytes, payload: bytes) -> None:
        """Send a topic's new value to every engine that subscribed, and to late joiners."""
        self._last[topic] = payload
        self._broadcast.send_multipart([topic, payload])

    def order(self, topic: bytes, order: FromController) -> None:
        """Publish a setting."""
        self.publish(topic, encode(order))

    def forget(self, topic: bytes) -> None:
        """Resend a topic no longer."""
        self._last.pop(topic, None)

    def reply(self, peer: Peer, reply: Reply) -> bool:
        """Answer a command; False if the client is gone."""
        try:
            self._commands.send_multipart([*peer, encode(reply)], zmq.NOBLOCK)
        except (zmq.Again, zmq.ZMQError):
            return False
        return True

    def close(self) -> None:
        """Close everything; what was not sent is lost."""
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        self._context.destroy(linger=0)

    def _bind(self, kind: int, endpoint: str, keys: ServerKeys | None) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        if kind == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # every joiner is told of, not the first alone
        if kind == zmq.ROUTER:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a client that is gone is an error
        if ":" in self.address.host:
            socket.setsockopt(zmq.IPV6, 1)
        if keys is not None:
            keys.guard(socket)
        try:
            # ZeroMQ binds to addresses and interfaces, not to names.
            socket.bind(endpoint.replace("//localhost:", "//127.0.0.1:"))
        except zmq.ZMQError as e:
            raise HubError(_cannot_bind(endpoint, e)) from None
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _take(self, socket: zmq.Socket[bytes]) -> Iterator[list[bytes]]:
        for _ in range(_AT_ONCE):
            try:
                yield socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _resend(self) -> None:
        """Give the last values to those who have just subscribed."""
        joined = {f[0][1:] for f in self._take(self._broadcast) if f[0][:1] == b"\x01"}
        for topic, payload in self._last.items():
            if any(topic.startswith(prefix) for prefix in joined):
                self._broadcast.send_multipart([topic, payload])

    def _decode(self, frames: list[bytes], kinds: Any) -> Any:
        """A message, or None if it had to be refused."""
        try:
            if len(frames) != 1:
                raise WireError(f"malformed message: {len(frames)} frames instead of one")
            return decode(frames[0], kinds)
        except WireError as e:
            self.refuse("schema" if isinstance(e, UnknownSchemaError) else "malformed", str(e))
            return None

    def _command(self, inbox: Inbox, peer: bytes, frames: list[bytes]) -> None:
        envelope: Peer = (peer, b"") if len(frames) == 2 and not frames[0] else (peer,)
        body = frames[len(envelope) - 1 :]
        command = self._decode(body, Command)
        if command is not None:
            inbox.commands.append((envelope, command))
        else:
            # Without its number the call is not known; 0 is never a client's.
            self.reply(envelope, Reply(0, error=self.last_refusal))

    def refuse(self, kind: str, reason: str) -> None:
        """Count something that was dropped."""
        self.refused[kind] += 1
        self.last_refusal = reason
        if self.refused[kind] <= 3:
            log.warning("dropped a message: %s", reason)


def _cannot_bind(endpoint: str, error: zmq.ZMQError) -> str:
    where = endpoint.removeprefix("tcp://")
    if error.errno == zmq.EADDRINUSE:
        return f"port in use: {where}; stop what listens there or give another --address"
    return f"cannot listen on {where}: {error.strerror}; give an address of this machine"
