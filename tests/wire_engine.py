"""A peer on the wire that behaves as an engine does: beats, reports, and pins that it follows."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import zmq
from factories import beat
from flyball.inference.address import parse_address
from flyball.inference.reports import Beat, EngineInfo, Report
from flyball.inference.wire import (
    TOPIC_KNOB,
    TOPIC_PIN,
    TOPIC_POLICY,
    FromController,
    Knob,
    UsePolicy,
    decode,
    encode,
)
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.transition import Decision, Outcome, Reason, Transition


class WireEngine:
    """Reports one interval every ``seconds`` while it is ``busy``; depth k emits 1 + k / 2."""

    def __init__(self, address: str, name: str = "peer", seconds: float = 0.01) -> None:
        self.name = name
        self.seconds = seconds
        self.busy = True
        self.depth, self.pin, self.speed = 4, 0, 0.5
        self.pins: list[int | None] = []
        self.policies = ["learned"]
        self.info = EngineInfo(
            engine=name,
            target="t",
            draft="d",
            k_max=6,
            static_depth=4,
            parameter_ratio=0.05,
        )
        self._address = parse_address(address)
        self._stop = threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> WireEngine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        context: zmq.Context[Any] = zmq.Context()
        push, sub = context.socket(zmq.PUSH), context.socket(zmq.SUB)
        push.connect(self._address.reports)
        own = self.name.encode()
        for topic in (TOPIC_KNOB, TOPIC_PIN + own, TOPIC_POLICY + own):
            sub.setsockopt(zmq.SUBSCRIBE, topic)
        sub.connect(self._address.broadcast)
        beat_due = 0.0
        while not self._stop.is_set():
            if time.monotonic() >= beat_due:
                push.send(encode(self._beat()))
                beat_due = time.monotonic() + 0.1
            while sub.poll(int(1000 * self.seconds)):
                self._order(decode(sub.recv_multipart()[1], FromController))
            if self.busy:
                push.send(encode(Report(self.name, [self._interval()])))
        context.destroy(linger=0)

    def _order(self, order: Any) -> None:
        if isinstance(order, Knob):
            self.speed = order.speed
        elif isinstance(order, UsePolicy):
            self.policies.append(order.policy)
        else:
            self.pins.append(order.depth)
            self.depth = 4 if order.depth is None else order.depth
            self.pin = 0 if order.depth is None else order.number

    def _observation(self) -> bytes:
        raw = DEPTH_SPACE.zeros()
        raw[DEPTH_SPACE.index("batch")] = 4.0
        raw[DEPTH_SPACE.index("depth")] = self.depth
        raw[DEPTH_SPACE.slice("survival_1", MAX_DEPTH)] = 0.5
        raw[DEPTH_SPACE.slice("kept_1", MAX_DEPTH)] = 1.0
        raw[-1] = self.speed
        return raw.tobytes()

    def _interval(self) -> Transition:
        self._number += 1
        depth, requests = self.depth, 4 * 8
        decision = Decision(
            number=self._number,
            at=time.time(),
            observation=self._observation(),
            action=depth,
            applied=depth,
            propensity=1.0,
            version=0,
            speed=self.speed,
            reason=Reason.PINNED if self.pin else Reason.STATIC,
            pin=self.pin,
        )
        seconds = 8 * (0.012 + 0.001 * depth)
        tried = [requests if j < depth else 0 for j in range(MAX_DEPTH)]
        outcome = Outcome(
            seconds=seconds,
            steps=8,
            request_seconds=4 * seconds,
            request_steps=requests,
            emitted=requests + requests * depth // 2,
            drafted=requests * depth,
            verified=requests * (depth + 1),
            prefill=0,
            context=requests * 100,
            finished=0,
            checked=(requests,) * depth + (0,) * (MAX_DEPTH - depth),
            tried=tuple(tried),
            accepted=tuple(n // 2 for n in tried),
        )
        return Transition(decision, outcome, self._observation())

    def _beat(self) -> Beat:
        return msgspec.structs.replace(
            beat(self.info, time.time(), self.speed, self._number),
            depth=self.depth,
            version=0,
            pin=self.pin,
            policy=self.policies[-1],
            running=4 if self.busy else 0,
            waiting=0,
        )
