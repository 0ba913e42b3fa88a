"""Hears what an engine reports: in the place of a controller, or on the way to one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

from ..inference.address import Address
from ..inference.reports import Beat, FromEngine, Report
from ..inference.wire import TOPIC_PIN, Pin, WireError, decode, encode
from ..policies.transition import Transition


class Listener:
    """Keeps every transition, the last beat and every change of speed; a context manager.

    Alone it can pin an engine's depth, and gives no other orders. With a controller behind it, it
    hands on every message unchanged, both ways, so that engine and controller work as if they were
    connected; only transitions that ``teaches`` refuses are withheld from it.

    Attributes:
        transitions: all that was heard, withheld or not.
        beat: the last one.
        speeds: when an engine said that its speed had changed, and to what.
        teaches: whether a transition is handed on; called in the listener's own thread. None for
            all of them.

    Args:
        address: where the engine reports to: this and the port after it are bound.
        onward: the controller's address; None for none.
    """

    def __init__(self, address: Address, onward: Address | None = None) -> None:
        self.transitions: list[Transition] = []
        self.beat: Beat | None = None
        self.speeds: list[tuple[float, float]] = []
        self.teaches: Callable[[Transition], bool] | None = None
        self._stop = threading.Event()
        self._context: zmq.Context[Any] = zmq.Context()
        self._reports = self._socket(zmq.PULL, bind=address.reports)
        self._to = self._from = self._broadcast = self._orders = None
        self._pin = int(time.time())  # no engine remembers one of an earlier listener as newer
        if onward is None:
            self._orders = self._socket(zmq.PUB, bind=address.broadcast)
        else:
            self._broadcast = self._socket(zmq.XPUB, bind=address.broadcast)
            self._to = self._socket(zmq.PUSH, connect=onward.reports)
            self._from = self._socket(zmq.XSUB, connect=onward.broadcast)
        self._thread = threading.Thread(target=self._run, name="flyball-listener", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._context.destroy(linger=0)

    def pin(self, engine: str, depth: int | None) -> Pin:
        """A new pin of an engine's depth; ``publish`` sends it.

        Decisions made under it carry its number.
        """
        self._pin += 1
        return Pin(engine, self._pin, depth)

    def publish(self, pin: Pin) -> None:
        """Send a pin; always from one and the same thread.

        An engine that has only just connected may miss it: send it again until it is followed.

        Raises:
            ValueError: with a controller behind it, whose orders are its own.
        """
        if self._orders is None:
            raise ValueError("a listener hands on a controller's orders and gives none")
        self._orders.send_multipart([TOPIC_PIN + pin.engine.encode(), encode(pin)])

    def _socket(self, kind: int, bind: str = "", connect: str = "") -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        if kind == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # the controller is told of every joiner
        if bind:
            socket.bind(bind)
        else:
            socket.connect(connect)
        return socket

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._reports, self._from, self._broadcast):
            if socket is not None:
                poller.register(socket, zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(200))
            if self._reports in ready:
                self._hear(self._reports.recv())
            if self._from is not None and self._broadcast is not None:
                if self._from in ready:
                    self._broadcast.send_multipart(self._from.recv_multipart())
                if self._broadcast in ready:
                    self._from.send_multipart(self._broadcast.recv_multipart())

    def _hear(self, data: bytes) -> None:
        try:
            message: Report | Beat = decode(data, FromEngine)
        except WireError:
            self._hand_on(data)  # the controller's to refuse
            return
        if isinstance(message, Beat):
            if self.beat is None or message.speed != self.beat.speed:
                self.speeds.append((message.at, message.speed))
            self.beat = message
            self._hand_on(data)
        else:
            self.transitions += message.transitions
            self._teach(data, message)

    def _teach(self, data: bytes, report: Report) -> None:
        """Hand on a report, without what is withheld."""
        if self.teaches is None:
            self._hand_on(data)
        elif kept := [t for t in report.transitions if self.teaches(t)]:
            self._hand_on(encode(Report(report.engine, kept)))

    def _hand_on(self, data: bytes) -> None:
        if self._to is not None:
            with suppress(zmq.Again):  # a controller that is away misses it, as without us
                self._to.send(data, zmq.NOBLOCK)
