"""The governed side of the wire: reports out, orders in, a beat twice a second."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import zmq

from ..policies.snapshot import Snapshot, SnapshotError
from .address import Address
from .curve import ENGINE, SERVER, load_pair, load_public, secure_client
from .reports import FromEngine
from .wire import (
    TOPIC_DRAFTER,
    TOPIC_KNOB,
    TOPIC_MODE,
    TOPIC_PIN,
    TOPIC_POLICY,
    TOPIC_SNAPSHOT,
    FromController,
    WireError,
    decode,
    encode,
)

log = logging.getLogger("flyball")

QUEUE: Final = 2000
"""Reports held while the controller is away or slow; further ones are dropped and counted."""

_BEAT_MS: Final = 500


class Book(Protocol):
    """Takes orders, in the link's thread."""

    def receive(self, order: Any) -> None:
        """Take an order; one that cannot be followed is refused and counted."""
        ...

    def refuse(self, reason: str) -> None:
        """Count something that was refused."""
        ...


class Link:
    """Sockets to one controller.

    ``send`` belongs to the thread of what is governed and never blocks; everything else happens
    in a thread of the link's own. A controller that is absent, late, slow or restarted changes
    nothing for the engine: ZeroMQ reconnects, and the controller resends its last values.

    Args:
        address: where the controller listens.
        name: of this engine or planner.
        keys: folder of CURVE keys; needed beyond loopback.
        topic: of the snapshots that it runs.
        load: makes such a snapshot of what was published.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        keys: Path | None = None,
        topic: bytes = TOPIC_SNAPSHOT,
        load: Callable[[bytes], Any] = Snapshot.from_bytes,
    ) -> None:
        check_keys(address, keys)
        self.address = address
        self.name = name
        self._keys = keys
        self._topic, self._load = topic, load
        self._context = zmq.Context()
        self._reports = self._push(QUEUE)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, report: FromEngine) -> bool:
        """Hand over a report; False if the queue is full."""
        try:
            self._reports.send(encode(report), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def start(self, book: Book, beat: Callable[[], FromEngine]) -> None:
        """Begin to receive orders into the book, and to send beats."""
        self._thread = threading.Thread(
            target=self._run, args=(book, beat), name="flyball-link", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and close the sockets; what is still queued is lost."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._reports.close(linger=0)
        self._context.destroy(linger=0)

    def _push(self, high_water_mark: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.PUSH)
        socket.setsockopt(zmq.SNDHWM, high_water_mark)
        socket.setsockopt(zmq.LINGER, 0)
        secure_client(socket, self._keys)
        socket.connect(self.address.reports)
        return socket

    def _subscribe(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.SUB)
        secure_client(socket, self._keys)
        own = self.name.encode()
        topics = (TOPIC_MODE, TOPIC_PIN, TOPIC_POLICY, TOPIC_DRAFTER)
        mine = tuple(topic + own for topic in topics)
        for topic in (self._topic, TOPIC_KNOB, *mine):
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(self.address.broadcast)
        return socket

    def _run(self, book: Book, beat: Callable[[], FromEngine]) -> None:
        orders, beats = self._subscribe(), self._push(4)
        try:
            while not self._stop.is_set():
                self._beat(beats, beat)
                if orders.poll(_BEAT_MS):
                    self._drain(orders, book)
        finally:
            orders.close(linger=0)
            beats.close(linger=0)

    def _beat(self, beats: zmq.Socket[bytes], beat: Callable[[], FromEngine]) -> None:
        try:
            beats.send(encode(beat()), zmq.NOBLOCK)
        except zmq.Again:
            return  # nobody listens; the next beat says it all again

    def _drain(self, orders: zmq.Socket[bytes], book: Book) -> None:
        """Take every order that is there."""
        while not self._stop.is_set():
            try:
                frames = orders.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                book.receive(self._read(frames))
            except (WireError, SnapshotError) as e:
                book.refuse(str(e))

    def _read(self, frames: list[bytes]) -> Any:
        """An order from the frames it was published in: topic and payload."""
        if len(frames) != 2:
            raise WireError(f"an order has a topic and a payload, not {len(frames)} frames")
        topic, payload = frames
        return self._load(payload) if topic == self._topic else decode(payload, FromController)


def check_keys(address: Address, keys: Path | None) -> None:
    """Refuse to reach a controller without the keys that it takes.

    Args:
        address: where it listens.
        keys: folder of CURVE keys; None for none.

    Raises:
        ValueError: saying what is missing.
    """
    if keys is not None:
        load_public(keys, SERVER)
        load_pair(keys, ENGINE)
    elif not address.is_loopback:
        raise ValueError(
            f"{address} is beyond loopback: give the engine its keys in FLYBALL_KEYS "
            "(made by `flyball keys DIR`)"
        )


def default_engine_name() -> str:
    """A name for an engine that was given none: unique on this machine."""
    return f"engine-{os.getpid()}"
