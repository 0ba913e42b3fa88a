"""What tests of the controller share: free ports, a controller as a process, a wire peer."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import zmq
from factories import beat, engine_info
from flyball.inference.address import Address
from flyball.inference.client import ControllerClient
from flyball.inference.reports import Beat, Report
from flyball.inference.wire import FromController, decode, encode
from flyball.policies.transition import Transition
from ports import free_ports

Value = TypeVar("Value")


def until(look: Callable[[], Value], seconds: float = 10.0) -> Value:
    """Look until there is something; fails after a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {look}")


class ControllerUnderTest:
    """A controller in its own process."""

    def __init__(self, run: Path, *arguments: str, ports: int | None = None) -> None:
        self.run = run
        first = ports or free_ports(4)
        self.ports = first
        self.address = Address("127.0.0.1", first)
        self.url = f"http://127.0.0.1:{first + 3}"
        self.log = run.with_suffix(".log")
        command = [sys.executable, "-m", "flyball.controller", "--address", str(self.address)]
        command += ["--http", f"127.0.0.1:{first + 3}", "--run", str(run), *arguments]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=run.parent)

    def __enter__(self) -> ControllerUnderTest:
        try:
            self.client = ControllerClient(self.url)
            self.client.wait_ready(30)
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log.read_text())
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                assert self.process.wait(15) == 0, self.log.read_text()
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def kill(self) -> None:
        """SIGKILL: nothing is written any more."""
        self.process.kill()
        self.process.wait()


class Peer:
    """The sockets that an engine has, in the test's own hands."""

    def __init__(self, address: Address, engine: str = "engine-0", topics: tuple = ()) -> None:
        self.info = engine_info(engine)
        self.context: zmq.Context[Any] = zmq.Context()
        self.push = self.context.socket(zmq.PUSH)
        self.push.connect(address.reports)
        self.orders = self.context.socket(zmq.SUB)
        own = (f"{kind}/{engine}" for kind in ("mode", "policy", "drafter", "pin"))
        for topic in topics or (b"snapshot", b"knob", *own):
            self.orders.subscribe(topic)
        self.orders.connect(address.broadcast)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.destroy(linger=0)

    def beat(self, **changes: Any) -> Beat:
        """Send a beat."""
        sent = beat(self.info, **changes)
        self.push.send(encode(sent))
        return sent

    def report(self, transitions: list[Transition]) -> None:
        """Send transitions."""
        self.push.send(encode(Report(self.info.engine, transitions)))

    def order(self, seconds: float = 5.0) -> tuple[bytes, Any]:
        """The next topic and order; a snapshot as it is."""
        assert self.orders.poll(int(1000 * seconds)), "no order arrived"
        topic, payload = self.orders.recv_multipart()
        return topic, payload if topic == b"snapshot" else decode(payload, FromController)

    def order_on(self, topic: bytes, seconds: float = 5.0) -> Any:
        """The next order on a topic, others passed over."""
        deadline = time.monotonic() + seconds
        while True:
            found, order = self.order(max(deadline - time.monotonic(), 0.001))
            if found == topic:
                return order
