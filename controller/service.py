"""The controller's process: one loop that listens, learns, publishes and keeps."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..envs.rewards import load_reward
from ..inference.address import DEFAULT_ADDRESS, parse_address
from ..inference.profile import load_profile
from ..inference.wire import Reply
from ..policies.prices import price_list
from ..policies.spaces import check_speed
from .control import Control
from .duty import Duty
from .http import DEFAULT_HTTP, HttpServer, parse_http
from .hub import Hub, Peer
from .request import Mailbox, RefusedError, Request
from .runs import RunLock
from .security import ServerKeys, check_exposure, load_token
from .warm_start import check_start

if TYPE_CHECKING:
    from types import FrameType

    from .learner import Learner
    from .plan.learner import PlanLearner

log = logging.getLogger("flyball")

_SLICE: Final = 0.05  # seconds of training between two looks at the sockets
_TICK: Final = 0.25  # seconds between two rounds of housekeeping
_SLOW: Final = 0.5  # seconds that everything else waited for one piece of work: worth a word


@dataclass(frozen=True)
class ServiceOptions:
    """Every option of the controller, checked when made.

    Raises:
        ValueError: naming the option, what it was and what it may be.
    """

    run: Path
    """folder of the run; one with a checkpoint is resumed"""
    address: str = DEFAULT_ADDRESS
    """first of three ports for engines and environments"""
    http: str = DEFAULT_HTTP
    """where commands are answered over HTTP"""
    reward: str | None = None
    """name or place of the reward; None for the checkpoint's, or latency-cost"""
    speed: float | None = None
    """the knob at start, in [0, 1]; None for the run's, or 0.5"""
    prices: str = "compute"
    """the cost model: compute or engine_time"""
    profile: Path | None = None
    """file of `flyball profile` from which the step times of its engine start"""
    start: Path | None = None
    """file of `flyball warm` that a new run begins with"""
    seed: int = 0
    """of everything random"""
    learner_share: float = 0.25
    """of one core, for training"""
    keys: Path | None = None
    """folder of CURVE keys; needed beyond loopback"""
    token_file: Path | None = None
    """file with the HTTP bearer token; needed beyond loopback"""
    nice: int = 0
    """added to the process's niceness; above 0, commands wait where other work fills the cores"""

    def __post_init__(self) -> None:
        parse_address(self.address)
        parse_http(self.http)
        Duty(self.learner_share)
        if self.speed is not None:
            check_speed(self.speed)
        if not 0 <= self.nice <= 19:
            raise ValueError(f"--nice must be in [0, 19], not {self.nice}")
        price_list(self.prices, parameter_ratio=0.1)
        if self.reward is not None:
            load_reward(self.reward)
        if self.profile is not None:
            load_profile(self.profile)
        check_start(self.start, self.profile, self.prices)


class Service:
    """Everything of a controller, in one thread but for HTTP.

    Raises:
        ValueError: if something cannot be used or listened on; nothing is left open then.
    """

    def __init__(self, options: ServiceOptions) -> None:
        wire, http = parse_address(options.address), parse_http(options.http)
        keys = ServerKeys.load(options.keys) if options.keys else None
        token = load_token(options.token_file)
        check_exposure(wire, http, keys, token)
        self._closing: list[Any] = []
        self._stopping = False
        self._last_failure = ""
        try:
            self._hub = Hub(wire, keys)
            self._closing.append(self._hub.close)
            self._mailbox = Mailbox()
            self._closing.append(self._mailbox.close)
            self._http = HttpServer(http, self._mailbox, token)
            self._closing.append(self._http.close)
            lock = RunLock(options.run)
            self._closing.insert(0, lock.release)
            self._learner, self._plans = _learners(options)
            self._closing.insert(1, self._keep)
            self._control = Control(
                self._hub, self._learner, self._plans, options.run, options.speed
            )
        except BaseException:
            self._close()
            raise
        self._hub.watch(self._mailbox)
        self._duty = Duty(options.learner_share)
        self._tick_due = 0.0
        os.nice(options.nice)
        log.info("controller: engines at %s, http://%s, run %s", wire, options.http, options.run)

    def run(self) -> None:
        """Serve until ``stop``; ends with a last checkpoint and everything closed."""
        self._http.start()
        try:
            while not self._stopping:
                self._turn()
            self._control.fleet.close()
        finally:
            self._close()
            log.info("controller: stopped")

    def stop(self) -> None:
        """End ``run`` soon; may be called from any thread or signal handler."""
        self._stopping = True
        self._mailbox.wake()

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the service; for the main thread."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)

    def _turn(self) -> None:
        """Once around the loop."""
        wait = min(self._duty.wait(), max(self._tick_due - time.monotonic(), 0.0))
        inbox = self._hub.poll(wait)
        for message in inbox.messages:
            self._guarded("listening", partial(self._control.hear, message, len(inbox.messages)))
        for peer, command in inbox.commands:
            deliver = partial(self._reply, peer, command.call)
            self._execute(Request(command.name, command.arguments, deliver))
        for request in self._mailbox.take():
            self._execute(request)
        if self._duty.wait() == 0.0:
            with self._duty.work(urgent=self._learner.relearning > 0):
                self._guarded("learning", self._learn)
        if time.monotonic() >= self._tick_due:
            self._tick_due = time.monotonic() + _TICK
            self._guarded("housekeeping", self._control.tick)

    def _execute(self, request: Request) -> None:
        with _timed(f"the command {request.name[:16]}"):
            self._control.execute(request)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Do some of the work; a defect or a full disk must not end what others depend on."""
        try:
            with _timed(name):
                work()
        except Exception as e:
            self._hub.refused["failed"] += 1
            if str(e) != self._last_failure:
                log.exception("controller: something failed, going on without it")
            self._last_failure = str(e)

    def _learn(self) -> None:
        self._learner.step(_SLICE)
        snapshot = self._learner.publish()
        if snapshot is not None:
            self._control.publish(snapshot)
        self._learner.keep()
        self._learn_plans()

    def _learn_plans(self) -> None:
        self._plans.step(_SLICE)
        snapshot = self._plans.publish()
        if snapshot is not None:
            self._control.publish_plan(snapshot)
        self._plans.keep()

    def _reply(self, peer: Peer, call: int, value: Any, error: RefusedError | None) -> bool:
        reply = Reply(call, value) if error is None else Reply(call, error=str(error))
        return self._hub.reply(peer, reply)

    def _keep(self) -> None:
        """Write the last checkpoint and the last point in TensorBoard."""
        for learner in (self._learner, self._plans):
            self._guarded("the checkpoint", learner.checkpoint)
            self._guarded("TensorBoard", learner.close)

    def _close(self) -> None:
        while self._closing:
            self._closing.pop()()


@contextmanager
def _timed(name: str) -> Iterator[None]:
    """Say so when one piece of the loop's work kept all others waiting."""
    started, worked = time.monotonic(), time.process_time()
    yield
    took = time.monotonic() - started
    if took > _SLOW:
        worked = time.process_time() - worked
        busy = ": the machine is busy" if worked < 0.5 * took else ""
        log.warning(
            "the controller's loop stood still for %.1f s in %s (%.1f s of CPU)%s",
            *(took, name, worked, busy),
        )


def _learners(options: ServiceOptions) -> tuple[Learner, PlanLearner]:
    """Engines' and planners'; torch comes with them, so after what may be refused quickly."""
    import torch

    from .learner import Learner
    from .plan.learner import PlanLearner
    from .settings import LearnerSettings

    torch.set_num_threads(1)
    # The first optimiser imports much of torch, for seconds in which the knob would not turn.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    settings = LearnerSettings(
        reward=options.reward,
        speed=options.speed,
        prices=options.prices,
        profile=options.profile,
        start=options.start,
        seed=options.seed,
    )
    return Learner(settings, options.run), PlanLearner(settings, options.run)
