"""A step of vLLM's in the governor's terms: what was scheduled, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from ...policies.spaces import MAX_DEPTH
from ..flight import Flight, checked_of
from ..requests import RequestState

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.outputs import ModelRunnerOutput


def flight_of(
    scheduler: Scheduler, output: SchedulerOutput, state: Callable[[str], RequestState]
) -> Flight:
    """A step that was scheduled, before vLLM processes the outcome of any other.

    What was aborted since is not in it.

    Args:
        scheduler: vLLM's.
        output: what it scheduled.
        state: of a request, by its id.
    """
    requests: dict[str, RequestState] = {}
    drafts = output.scheduled_spec_decode_tokens
    lengths = [0] * (MAX_DEPTH + 1)
    prefill = context = remaining = 0
    for request_id, tokens in output.num_scheduled_tokens.items():
        request = scheduler.requests.get(request_id)
        if request is None:
            continue  # aborted since
        before = request.num_computed_tokens - tokens  # vLLM has already added this step's
        length = len(drafts.get(request_id, ()))
        # Beyond that it is a prompt, or outputs computed anew after a preemption; a part of
        # those may be as short as a step of decoding.
        anew = tokens > 1 + length or request.is_prefill_chunk
        if anew or before < request.num_prompt_tokens:
            prefill += tokens
            continue
        requests[request_id] = state(request_id)
        lengths[length] += 1
        context += before
        remaining += request.max_tokens + request.num_prompt_tokens - before
    return Flight(requests, checked_of(lengths), prefill, context, remaining)


class Landing:
    """A step's outcome as it arrived, before vLLM has processed it.

    Args:
        flight: the step.
        at: when the outcome arrived, seconds of ``time.perf_counter``.
        output: what was scheduled.
        result: what came of it.
        told: how many drafts were verified of each request, where that may be fewer than were
            scheduled.
    """

    __slots__ = ("_drafts", "_index", "_invalid", "_sampled", "_told", "at", "flight")

    def __init__(
        self,
        flight: Flight,
        at: float,
        output: SchedulerOutput,
        result: ModelRunnerOutput,
        told: dict[str, int] | None = None,
    ) -> None:
        self.flight = flight
        self.at = at
        self._told = told
        self._drafts = output.scheduled_spec_decode_tokens
        self._invalid = output.num_invalid_spec_tokens or {}
        self._index = result.req_id_to_index
        # Processing cuts what lies beyond a request's end off vLLM's lists.
        self._sampled = [len(tokens) for tokens in result.sampled_token_ids]

    def verifications(self, given: Container[str]) -> list[tuple[RequestState, int, int]]:
        """Per decoding request that was still there: state, drafts, accepted drafts.

        Args:
            given: ids of requests that were given tokens of this outcome.
        """
        found = []
        for request_id, state in self.flight.requests.items():
            drafted = self._drafts.get(request_id)
            if not drafted or request_id not in given:
                continue
            sampled = self._sampled[self._index[request_id]]
            length = len(drafted) if self._told is None else self._told.get(request_id, 0)
            found.append((state, *accepted_of(sampled, length, self._invalid.get(request_id, 0))))
        return found


def accepted_of(sampled: int, drafts: int, vetoed: int) -> tuple[int, int]:
    """Drafts that could be accepted, and those that were.

    Args:
        sampled: tokens that came of the request, at least one.
        drafts: that were verified.
        vetoed: of them, by a grammar: that says nothing about the drafter.
    """
    valid = max(drafts - vetoed, 0)
    return valid, min(sampled - 1, valid)
