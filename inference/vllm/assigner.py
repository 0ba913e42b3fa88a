"""Scheduler's side of the drafters: says who drafts for whom, and keeps how that went.

Whoever draws up a step tells with it who drafts at its end; drafts come back as vLLM's own do.
Under asynchronous scheduling the next step is scheduled before they exist, with as many
placeholders as there may be drafts at most; the worker leaves out those that there are none for
(``drafting``), and tells with the step's outcome what was really verified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..drafters.catalogue import HYBRID, NONE, runs_model
from ..drafters.exchange import ASSIGNMENT, DRAFTED, Assignment, Drafted
from ..flight import Flight
from ..governor import Governor
from ..requests import RequestState
from .flights import accepted_of

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.outputs import ModelRunnerOutput


class Assigner:
    """Assigns drafters to requests; does nothing in an engine that offers no choice.

    Args:
        governor: has the chooser, and the drafters' records.
        state: of a request, by its id.
        known: the same of one that is still there; None for one that has ended.
    """

    def __init__(
        self,
        governor: Governor,
        state: Callable[[str], RequestState],
        known: Callable[[str], RequestState | None],
    ) -> None:
        self._governor = governor
        self._state = state
        self._known = known

    def take_back(self, scheduler: Scheduler) -> None:
        """Take back placeholders of requests that nobody drafted for."""
        if self._governor.chooser is None:
            return
        for request in scheduler.running:
            if request.spec_token_ids and self._state(request.request_id).drafter == NONE:
                request.spec_token_ids = []

    def assign(self, flight: Flight, output: SchedulerOutput) -> None:
        """Choose a drafter for every request in a step, and say so with it and its flight.

        Args:
            flight: the step.
            output: what was scheduled.
        """
        chooser = self._governor.chooser
        if chooser is None:
            return
        states = {request_id: self._state(request_id) for request_id in output.num_scheduled_tokens}
        assignment = Assignment()
        chosen = chooser.choose([*states.values()])
        records = self._governor.drafters
        choice = chooser.choice
        tried = choice.tried if choice is not None else ""
        assignment.least = choice.least if choice is not None else None
        deciding = self._governor.deciding
        if deciding.times is not None and flight.requests and HYBRID in chosen:
            prices = deciding.prices(self._governor.book.orders)
            requests = len(flight.requests)
            assignment.costs = deciding.times.costs(requests, flight.mean_context, prices)
        for (request_id, state), name in zip(states.items(), chosen, strict=True):
            assignment.drafters[request_id] = state.drafter = name
            records[name].assigned += 1
            records[name].explored += name == tried and not state.wanted
        flight.drafting = sum(runs_model(state.drafter) for state in flight.requests.values())
        for new in output.scheduled_new_reqs:
            owner = states[new.req_id].owner
            if owner is not None:
                assignment.owners[new.req_id] = owner
        setattr(output, ASSIGNMENT, assignment)

    def told(
        self, flight: Flight, output: SchedulerOutput, result: ModelRunnerOutput
    ) -> dict[str, int] | None:
        """What the drafters told with a step's outcome, kept.

        Args:
            flight: the step; is corrected.
            output: what was scheduled.
            result: what came of it.

        Returns:
            Drafts verified of each request; None where that is what was scheduled.
        """
        drafted: Drafted | None = getattr(result, DRAFTED, None)
        if drafted is None:
            return None
        lengths = {request_id: length for request_id, (_, length) in drafted.verified.items()}
        flight.correct([lengths.get(request_id, 0) for request_id in flight.requests])
        flight.passes, flight.read, flight.spent = drafted.passes, drafted.read, drafted.spent
        if drafted.passes is not None:
            flight.drafting = drafted.modelled
        self._record(drafted, flight, output, result)
        return lengths

    def _record(
        self, drafted: Drafted, flight: Flight, output: SchedulerOutput, result: ModelRunnerOutput
    ) -> None:
        records = self._governor.drafters
        invalid = output.num_invalid_spec_tokens or {}
        for request_id, (name, length) in drafted.verified.items():
            state = flight.requests.get(request_id)
            if state is None or name == NONE:
                continue
            sampled = result.sampled_token_ids[result.req_id_to_index[request_id]]
            if len(sampled):
                vetoed = invalid.get(request_id, 0)
                valid, accepted = accepted_of(len(sampled), length, vetoed)
                asked = valid if vetoed else drafted.asked.get(request_id)
                records[name].add(state.history(name), valid, accepted, True, asked)
        for score in drafted.scores:
            # Under asynchronous scheduling the scores of a request's last step come after its end.
            state = self._known(score.request)
            if state is not None:
                history = state.history(score.drafter)
                records[score.drafter].add(
                    history, score.drafted, score.accepted, False, score.asked
                )
        for name, now in drafted.states.items():
            records[name].state = now
