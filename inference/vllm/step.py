"""One step of vLLM's scheduler: what is in its queue, and how a plan is carried out there.

vLLM's scheduler is left to schedule; only what it works from is changed before it does:

- A request's drafts are cut short. vLLM verifies as many as it finds, computes positions, caches
  and rejections from what was scheduled, and its workers take each request's count from there, so
  counts may differ from one request to the next, under asynchronous scheduling too: there the
  drafts are placeholders, and the worker fills in as many of its own as there are.
- The step's token budget is lowered. vLLM gives it out in the order of its running requests, in
  which one that prefills may stand before one that decodes, if long prompts have a threshold; so
  for the length of the step those that decode go first, and are given what they need whatever is
  left for prompts. (That threshold would be no bound: it holds for each prompt, not for all of
  them together.) Should memory run out in such a step, vLLM preempts from the end: a prompt, which
  has yielded nothing yet. Those that decode end in finite time, so no prompt waits for ever.
- The waiting queue is permuted. Preempted requests wait in it like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..requests import RequestState
from ..step_plan import Plan

if TYPE_CHECKING:
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.request import Request


class SchedulerStep:
    """A step about to be scheduled (``step_plan.Step``).

    Args:
        scheduler: vLLM's.
        state: of a request, by its id.
    """

    __slots__ = (
        *("_decoding", "_drafted", "_left", "_prefilling", "_requests", "_scheduler", "_state"),
        "_waiting",
    )

    def __init__(self, scheduler: Scheduler, state: Callable[[str], RequestState]) -> None:
        self._scheduler = scheduler
        self._state = state
        self._requests: list[Request] | None = None  # those that decode, once looked up
        self._waiting: list[RequestState] | None = None

    @property
    def decoding(self) -> Sequence[RequestState]:
        """Requests that decode, in the engine's order."""
        self._look()
        return self._decoding

    @property
    def drafted(self) -> Sequence[int]:
        """Drafts of each of them that could be verified in this step, tokens."""
        self._look()
        return self._drafted

    @property
    def prefilling(self) -> Sequence[RequestState]:
        """Requests whose prompt is under way, in the engine's order."""
        self._look()
        return self._prefilling

    @property
    def left(self) -> Sequence[int]:
        """What is left of each of their prompts, tokens."""
        self._look()
        return self._left

    @property
    def waiting(self) -> Sequence[RequestState]:
        """Requests that wait, in the order in which the engine would admit them."""
        if self._waiting is None:
            state = self._state
            self._waiting = [state(request.request_id) for request in self._scheduler.waiting]
        return self._waiting

    @property
    def prompts(self) -> Sequence[int]:
        """What each of them is to run first, tokens; outputs anew after a preemption are in it.

        And so is what of it is cached: vLLM looks that up when it admits a request.
        """
        return [request.num_tokens for request in self._scheduler.waiting]

    def carry_out(self, plan: Plan) -> Callable[[], None] | None:
        """Make vLLM's next ``schedule`` follow a plan's lengths, order and bound on prompts.

        Returns:
            What must be called once it has scheduled, whatever came of it; None for nothing.

        Raises:
            ValueError: if the plan does not fit the queue; then nothing was changed.
        """
        self._check(plan)
        if plan.lengths is not None:
            self._shorten(plan.lengths)
        if plan.order is not None:
            self._reorder(plan.order)
        if plan.prompt_tokens is not None and splits_prompts(self._scheduler):
            return self._bound(plan.prompt_tokens)
        return None

    def _look(self) -> None:
        """Tell apart what runs."""
        if self._requests is not None:
            return
        state = self._state
        requests: list[Request] = []
        self._decoding: list[RequestState] = []
        self._drafted: list[int] = []
        self._prefilling: list[RequestState] = []
        self._left: list[int] = []
        for request in self._scheduler.running:
            if request.is_prefill_chunk:
                self._prefilling.append(state(request.request_id))
                self._left.append(request.num_tokens - request.num_computed_tokens)
            elif not _ends(request):
                requests.append(request)
                self._decoding.append(state(request.request_id))
                self._drafted.append(len(request.spec_token_ids))
        self._requests = requests

    def _check(self, plan: Plan) -> None:
        lengths, order = plan.lengths, plan.order
        if lengths is not None:
            if len(lengths) != len(self.decoding):
                raise ValueError(f"{len(lengths)} lengths for {len(self.decoding)} requests")
            if len(lengths) and min(lengths) < 0:
                raise ValueError(f"lengths must be at least 0, not {min(lengths)}")
        if plan.prompt_tokens is not None and plan.prompt_tokens < 0:
            raise ValueError(f"prompt_tokens must be at least 0, not {plan.prompt_tokens}")
        if order is not None:
            waiting = len(self._scheduler.waiting)
            if sorted(order) != list(range(waiting)):
                raise ValueError(f"the order is no permutation of {waiting} waiting requests")

    def _shorten(self, lengths: Sequence[int]) -> None:
        """Drop each request's drafts beyond its length; the lists are vLLM's, and shared."""
        assert self._requests is not None
        for request, drafted, length in zip(self._requests, self._drafted, lengths, strict=True):
            if length < drafted:
                request.spec_token_ids = request.spec_token_ids[:length]

    def _reorder(self, order: Sequence[int]) -> None:
        """Permute the queue of waiting requests, unless its order is that of their priorities."""
        queue = self._scheduler.waiting
        if self._scheduler.scheduler_config.policy != "fcfs":
            return
        requests = list(queue)
        queue.clear()
        queue.extend([requests[i] for i in order])

    def _bound(self, prompt_tokens: int) -> Callable[[], None] | None:
        """Leave so many tokens to prompts in the next step, after those of decoding requests."""
        self._look()
        assert self._requests is not None
        if not self._requests:
            return None
        scheduler = self._scheduler
        own: int = scheduler.max_num_scheduled_tokens
        wanted = sum(1 + len(request.spec_token_ids) for request in self._requests)
        ranks = _rank(scheduler.running) if self._prefilling else None
        if ranks is not None:
            scheduler.running.sort(key=_prefills)
        scheduler.max_num_scheduled_tokens = min(own, wanted + prompt_tokens)

        def restore() -> None:
            scheduler.max_num_scheduled_tokens = own
            if ranks is not None:
                last = len(ranks)
                scheduler.running.sort(key=lambda request: ranks.get(request.request_id, last))

        return restore


def splits_prompts(scheduler: Scheduler) -> bool:
    """Whether vLLM may cut a prompt anywhere: if not, a small budget could hold it back for ever.

    That is so without chunked prefill, where images are not cut, where states are kept at the ends
    of blocks alone, and where a drafter reads several prompt tokens ahead.
    """
    config = scheduler.scheduler_config
    return (
        config.enable_chunked_prefill
        and not config.disable_chunked_mm_input
        and not getattr(scheduler, "need_mamba_block_aligned_split", False)
        and getattr(scheduler, "num_prefill_lookahead", 0) <= 1
    )


def _ends(request: Request) -> bool:
    """Whether what is in the air surely is the request's end, by vLLM's own rule for it."""
    air: int = request.num_output_placeholders
    least: int = request.num_computed_tokens + 2 - air  # tokens if every draft is rejected
    return air > 0 and least >= request.num_prompt_tokens + request.max_tokens


def _prefills(request: Request) -> bool:
    prefills: bool = request.is_prefill_chunk
    return prefills


def _rank(running: list[Request]) -> dict[str, int] | None:
    """Where each request stands; None if all that decode stand before all that prefill."""
    flags = [request.is_prefill_chunk for request in running]
    if True not in flags or False not in flags[flags.index(True) :]:
        return None
    return {request.request_id: i for i, request in enumerate(running)}
