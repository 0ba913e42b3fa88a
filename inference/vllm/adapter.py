"""Between vLLM's scheduler and the governor: what to look at, and what was decided.

Where vLLM does not schedule asynchronously, the model stands still for as long as it takes to tell
the governor of a step. So what can wait is put off until it runs again: a step's flight, and what
came of it. What came of it cannot where some request has objectives: its outputs tell of them. Nor
can the flight where drafters are chosen: vLLM's workers are told of them with the step.

Every entry point swallows and counts faults of ours: no request may fail because of us.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...policies.slo import NO_SLO
from ...policies.spaces import check_depth
from ...policies.transition import Transition
from ..choosing import DrafterChooser
from ..flight import Flight
from ..governor import Governor
from ..link import Link
from ..moment import Load
from ..objectives import with_verdict
from ..reports import Report
from ..requests import RequestState
from ..settings import GovernorSettings, from_environment
from .assigner import Assigner
from .flights import Landing, flight_of
from .identity import identify
from .proposer import PROPOSER
from .step import SchedulerStep

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request

log = logging.getLogger("flyball")

_FIXED: Final = ("suffix", "custom_class")
"""Methods whose drafters are never told of another depth, or fail at one."""

_BROKEN_OFF: Final = ("abort", "error")
"""Ends of requests that say nothing of their objectives."""

_LONGEST_WAY: Final = 10.0  # seconds from the API server to the engine
_MOST_FLIGHTS: Final = 64  # far beyond any pipeline; more means that outcomes got lost


class Adapter:
    """One scheduler's governor and link.

    Args:
        governor: decides.
        link: to the controller, or None without one.
        max_requests: most requests that vLLM schedules at once.
    """

    def __init__(self, governor: Governor, link: Link | None, max_requests: int) -> None:
        self.governor = governor
        self._link = link
        # One table from batch size to depth for every depth: vLLM looks up, we swap the table.
        self._tables = [[depth] * (max_requests + 1) for depth in range(governor.info.k_max + 1)]
        self._states: dict[str, RequestState] = {}
        self._flights: dict[int, Flight] = {}
        self._assigner = Assigner(governor, self._state, self._states.get)

    @classmethod
    def attach(cls, scheduler: Scheduler) -> Adapter | None:
        """The adapter for a scheduler; None where there is nothing that could be governed.

        Raises:
            ValueError: if an environment variable makes no sense: the engine does not start.
        """
        config = scheduler.vllm_config
        if config.speculative_config is None or not scheduler.num_spec_tokens:
            log.warning("flyball has nothing to govern: vLLM runs without --speculative-config")
            return None
        if config.parallel_config.data_parallel_size > 1:
            # Ranks that draft to different depths wait for each other for ever.
            log.warning("flyball does not govern data-parallel ranks: vLLM's own depth stays")
            return None
        method = config.speculative_config.method
        settings = from_environment()
        if method in _FIXED and config.speculative_config.model != PROPOSER:
            log.warning("flyball does not govern method %r: its depth cannot change", method)
            return None
        governor, link = _connect(config, settings)
        return cls(governor, link, scheduler.scheduler_config.max_num_seqs)

    def admit(self, request: Request) -> None:
        """A request was added."""
        try:
            parameters = request.sampling_params
            arguments = parameters.extra_args if parameters is not None else None
            state = self._states[request.request_id] = self.governor.admit(arguments)
            if state.slo is not NO_SLO and parameters is not None:
                # The API server looks for stop strings, and tells the engine to break it off.
                state.open_ended = bool(parameters.stop)
                state.limit(request.max_tokens)
                # By the clock of days, of another process: what makes no sense does not count.
                before = time.time() - request.arrival_time
                if 0.0 < before < _LONGEST_WAY:
                    state.came_before(before)
        except Exception as e:  # noqa: BLE001 - see the module's docstring
            self.governor.fault(e)

    def begin(self, scheduler: Scheduler) -> tuple[int, Callable[[], None] | None]:
        """A step is about to be scheduled: plan it, and make vLLM follow the plan.

        Returns:
            The depth that is drafted, and what must be called once vLLM has scheduled.
        """
        step = SchedulerStep(scheduler, self._state)
        try:
            self._assigner.take_back(scheduler)
            plan = self.governor.plan(self._batch(scheduler), lambda: _load(scheduler), step)
            table = self._tables[check_depth(plan.depth, self.governor.info.k_max)]
            after = step.carry_out(plan)
        except Exception as e:  # noqa: BLE001
            self.governor.fault(e)
            static = self.governor.info.static_depth
            scheduler.dynamic_sd_lookup = self._tables[static]
            return static, None
        # VLLM's table from batch size to depth, here the same for all sizes.
        scheduler.dynamic_sd_lookup = table
        return plan.depth, after

    def prepare(self, scheduler: Scheduler) -> None:
        """The model runs: time to decide what comes next."""
        try:
            self.governor.prepare(self._batch(scheduler), lambda: _load(scheduler))
        except Exception as e:  # noqa: BLE001
            self.governor.fault(e)

    def launch(self, scheduler: Scheduler, output: SchedulerOutput, depth: int) -> None:
        """A step was scheduled."""
        try:
            if output.finished_req_ids:
                # What came of them may still have to be told.
                self.governor.later(partial(self._part, output.finished_req_ids))
            tell = partial(self._launch, scheduler, output, depth, time.perf_counter())
            if self.governor.chooser is None:
                self.governor.later(tell)
            else:
                tell()
        except Exception as e:  # noqa: BLE001
            self.governor.fault(e)

    def arrive(self, output: SchedulerOutput, result: ModelRunnerOutput) -> Landing | None:
        """A step's outcome arrived, vLLM has not processed it yet."""
        at = time.perf_counter()
        try:
            self.governor.catch_up()  # a later step is told of by what vLLM is about to change
            flight = self._flights.pop(id(output), None)
            if flight is None:
                return None
            told = self._assigner.told(flight, output, result)
            return Landing(flight, at, output, result, told)
        except Exception as e:  # noqa: BLE001
            self.governor.fault(e)
            return None

    def land(
        self,
        scheduler: Scheduler,
        landing: Landing | None,
        outputs: dict[int, EngineCoreOutputs],
    ) -> None:
        """VLLM has processed a step's outcome: what reached the requests is known."""
        if landing is None:
            return
        try:
            self.governor.later(partial(self._land, landing, outputs))
            if self.governor.planner.hurried or not scheduler.running:
                self.governor.catch_up()  # or nobody may come for long
        except Exception as e:  # noqa: BLE001
            self.governor.fault(e)

    def _part(self, finished: set[str]) -> None:
        """Forget requests that are over."""
        for request_id in finished:
            state = self._states.pop(request_id, None)
            if state is not None and state.open_ended and state.emitted:
                self.governor.finish(state)

    def _launch(
        self, scheduler: Scheduler, output: SchedulerOutput, depth: int, launched: float
    ) -> None:
        if not output.total_num_scheduled_tokens:
            return
        if len(self._flights) >= _MOST_FLIGHTS:
            self._flights.clear()
        flight = flight_of(scheduler, output, self._state)
        self._assigner.assign(flight, output)
        self.governor.launch(flight, depth, launched)
        # The same object comes back with the outcome, however many steps are in the air.
        self._flights[id(output)] = flight

    def _land(self, landing: Landing, outputs: dict[int, EngineCoreOutputs]) -> None:
        emitted = finished = 0
        given = set()
        decoding = landing.flight.requests
        for per_client in outputs.values():
            for output in per_client.outputs:
                tokens = len(output.new_token_ids)
                state = self._states.get(output.request_id)
                if tokens:
                    given.add(output.request_id)
                    if output.request_id in decoding:
                        emitted += tokens
                    if state is not None:
                        state.emit(tokens, landing.at)
                if state is not None and state.slo is not NO_SLO:
                    self._say(state, output)
                finished += output.finish_reason is not None
        verifications = landing.verifications(given)
        self.governor.land(landing.flight, landing.at, verifications, emitted, finished)

    def _say(self, state: RequestState, output: EngineCoreOutput) -> None:
        """Tell the API server how a request with objectives was served, once that is known.

        A request with stop strings may have ended with any output.
        """
        if str(output.finish_reason) in _BROKEN_OFF:
            return
        if output.finish_reason is not None:
            missed = self.governor.finish(state)
            state.open_ended = False
        elif state.open_ended:
            missed = state.lost()
        else:
            return
        if state.slo.bound:
            output.kv_transfer_params = with_verdict(output.kv_transfer_params, missed)

    def close(self) -> None:
        """Close the link."""
        if self._link is not None:
            self._link.close()

    def _batch(self, scheduler: Scheduler) -> int:
        """Requests that this step will hold: those that run, or else those about to."""
        return len(scheduler.running) or min(len(scheduler.waiting), len(self._tables[0]) - 1)

    def _state(self, request_id: str) -> RequestState:
        state = self._states.get(request_id)
        if state is None:
            state = self._states[request_id] = self.governor.admit(None)
        return state


def _load(scheduler: Scheduler) -> Load:
    return Load(len(scheduler.waiting), scheduler.kv_cache_manager.usage)


def _connect(config: Any, settings: GovernorSettings) -> tuple[Governor, Link | None]:
    """A governor for an engine, linked to its controller if it has one."""
    info = identify(config, settings)
    link = None
    if settings.controller is not None:
        link = Link(settings.controller, settings.engine, settings.keys)
    chooser = None
    if settings.drafters:
        chooser = DrafterChooser(settings.drafters, settings.drafter, settings.seed)
    governor = Governor(
        info,
        _drop if link is None else partial(_report, link),
        settings.orders(),
        settings.interval,
        settings.seed,
        settings.guard,
        settings.slo_classes,
        chooser,
    )
    if link is not None:
        link.start(governor.book, governor.beat)
    log.info(
        "flyball governs %s: depth 0..%d, static %d, controller %s",
        info.engine,
        info.k_max,
        info.static_depth,
        settings.controller or "none",
    )
    return governor, link


def _report(link: Link, transition: Transition) -> bool:
    return link.send(Report(link.name, [transition]))


def _drop(_: object) -> bool:
    """Without a controller there is nobody to report to."""
    return True
