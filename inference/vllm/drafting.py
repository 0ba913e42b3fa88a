"""Worker's side of the drafters: each row of a step gets the drafts of its own drafter.

vLLM's model runner proposes for all rows at once, and does so still; here that is told who drafts
for whom, and the rows that are not its own are filled in. Where several steps overlap, drafts are a
rectangle on the device, of which the next step takes as many columns per row as were scheduled
before they existed. Rows with fewer drafts than that are cut short here, as vLLM does it for its
``ngram_gpu``: what the model runs is less than what was scheduled, and vLLM takes the rest for
rejected. A row that a grammar constrains is filled up instead, for its bitmask was drawn up for
what was scheduled: a token that nobody drafted is verified like any other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ..drafters.catalogue import DRAFT, HYBRID, NONE, SUFFIX, runs_model
from ..drafters.exchange import ASSIGNMENT, Assignment, Costs, Drafted
from ..drafters.pool import DrafterPool
from .draft_cache import DraftCache, Gap
from .drafted_step import rectangle, shortened, widened
from .emitted import Emitted
from .hybrid import Hybrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import torch
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput

log = logging.getLogger("flyball")

FAULT_LIMIT: Final = 3
"""Faults of ours after which vLLM's own drafter drafts for all rows, for good."""


class Drafting:
    """Who drafts for the rows of one model runner, and what for.

    Args:
        pool: flyball's drafters.
        vocabulary: tokens of the target.
        depth: greatest draft depth, tokens.
        overlapping: whether steps overlap (asynchronous scheduling).
        model: whether vLLM has a drafter of its own that is offered.
        skips: whether vLLM's drafter may be left out of a step.

    Attributes:
        pool: the drafters.
        emitted: what the target has emitted.
        cache: what vLLM's drafter has read.
        retired: whether vLLM drafts as ever, for good.
        passes: of vLLM's draft model since that was last told; None if it is none, or unknown.
    """

    def __init__(
        self,
        pool: DrafterPool,
        vocabulary: int,
        depth: int,
        overlapping: bool,
        model: bool,
        skips: bool = False,
    ) -> None:
        self.pool = pool
        self.cache = DraftCache()
        self._skips = skips
        self.overlapping = overlapping
        self.retired = False
        self.passes: int | None = None
        self.emitted = Emitted(vocabulary)
        self._depth = depth
        self._own = DRAFT if model else NONE  # who drafts where nothing else is said
        self._faults = 0
        self._assigned: dict[str, str] = {}
        self._hybrid = Hybrid()
        self._costs = Costs()
        self._least: float | None = None
        self._weighed: dict[str, str] = {}  # who drafts for requests of the hybrid in this step
        self._passes = 0  # of the model in it, at most, unless requests have it alone
        # Of each request, whose draft it has and how long that is; None: as vLLM has it.
        self._drafted: dict[str, tuple[str, int]] | None = {}
        self._read = 0  # tokens that it read before, not told yet
        self._modelled = 0  # requests that the model drafted for, not told yet
        self._asked = 0  # tokens of each draft that was asked for last
        self._scheduled: dict[str, int] = {}  # drafts scheduled of rows that were cut short
        self._constrained: set[str] = set()
        self._told = Drafted()

    def fault(self, error: Exception) -> None:
        """Something of ours failed."""
        self._faults += 1
        self._drafted = None
        self._scheduled = {}
        if self._faults <= FAULT_LIMIT:
            log.exception("drafting fault %d", self._faults, exc_info=error)
        if self._faults == FAULT_LIMIT:
            self.retired = True
            log.error("drafting retired after %d faults: vLLM drafts as ever", self._faults)

    def admit(self, output: SchedulerOutput) -> SchedulerOutput:
        """A step is about to run.

        Returns:
            The step without drafts that do not exist: the same, or a changed copy.
        """
        self._scheduled = {}
        assignment: Assignment = getattr(output, ASSIGNMENT, None) or Assignment()
        for request in output.finished_req_ids:
            self._end(request)
        for new in output.scheduled_new_reqs:
            self._begin(new, assignment)
        known = output.scheduled_cached_reqs
        for request, computed in zip(known.req_ids, known.num_computed_tokens, strict=True):
            if request in known.resumed_req_ids:
                self.cache.begin(request, computed)
        if not output.total_num_scheduled_tokens:
            return output
        self._assigned, self._costs = assignment.drafters, assignment.costs
        self._least = assignment.least
        scheduled = {r: len(t) for r, t in output.scheduled_spec_decode_tokens.items()}
        drafted, self._drafted = self._drafted, self._kept(output)
        if drafted is None:
            self._told.verified = {r: (self._own, n) for r, n in scheduled.items()}
            self._told.asked = scheduled
            return output
        self._told.verified = {
            r: (name, min(n, scheduled.get(r, 0)))
            for r, (name, n) in drafted.items()
            if r in output.num_scheduled_tokens
        }
        self._told.asked = {
            r: self._verifiable(drafted[r][1], scheduled.get(r, 0)) for r in self._told.verified
        }
        return self._cut(output, scheduled, drafted) if self.overlapping else output

    def restore(self, requests: dict[str, Any]) -> None:
        """Let vLLM's states of requests that were cut short say what was scheduled of them.

        By this, what was scheduled and not run counts as rejected.
        """
        for request, drafts in self._scheduled.items():
            requests[request].prev_num_draft_len = drafts

    def weigh(
        self,
        requests: list[str],
        discarded: npt.NDArray[np.bool_],
        depth: int,
        computed: Sequence[int],
        scheduled: Sequence[int],
    ) -> None:
        """Decide who drafts at the end of this step for requests of the hybrid, and how deep.

        Args:
            requests: of the rows.
            discarded: whether a row's prompt is still under way, shape (rows,).
            depth: that is drafted.
            computed: where the step began in each row.
            scheduled: tokens of each that it ran.
        """
        self._weighed, self._passes, self._read = {}, depth, 0
        rows = self._rows(requests, discarded)
        own = [request for request, name in rows if name == HYBRID]
        if not own or not depth:
            return
        self._take_in(wait=True)
        promised = self.pool.consult(SUFFIX, own, depth, self._least)
        runs = any(name == DRAFT for _, name in rows)
        others = len(rows) - len(own)
        missed = dict(zip(requests, map(self._missed, requests, computed), strict=True))
        ran = dict(zip(requests, scheduled, strict=True))
        reads = [missed[request] + ran[request] for request in own]
        model, self._passes = self._hybrid.choose(
            own, promised, depth, others, runs, self._costs, reads
        )
        self._weighed = {request: DRAFT if request in model else SUFFIX for request in own}
        self._read = sum(scheduled) + sum(missed[r] for r in model) if model else 0

    def wants_model(self, requests: list[str], discarded: npt.NDArray[np.bool_]) -> bool:
        """Whether any row is to have drafts of vLLM's own drafter."""
        return any(name == DRAFT for _, name in self._rows(requests, discarded))

    def passes_of_model(self, depth: int) -> int:
        """Passes that vLLM's own drafter makes where it drafts for anybody."""
        return min(self._passes, depth) if self._weighed else depth

    def skips_model(self, requests: list[str], depth: int) -> bool:
        """Whether vLLM's own drafter is left out of a step altogether."""
        wanted = any(runs_model(self._drafter(request)) for request in requests)
        return self._skips and self.cache.skips(wanted and depth > 0)

    def gaps(
        self, requests: list[str], discarded: npt.NDArray[np.bool_], computed: list[int]
    ) -> list[Gap]:
        """What vLLM's own drafter has not read of the rows that it is to draft for.

        Those are taken for read from here on.

        Args:
            requests: of the rows.
            discarded: whether a row's prompt is still under way, shape (rows,).
            computed: where the step began in each.
        """
        wanted = {request for request, name in self._rows(requests, discarded) if name == DRAFT}
        rows = [
            i for i, r in enumerate(requests) if r in wanted and self.cache.behind(r) is not None
        ]
        if not rows:
            return []
        self._take_in(wait=True)
        found = []
        for row in rows:
            begin, tokens = self.cache.behind(requests[row]), self.emitted.context(requests[row])
            if begin is not None and computed[row] < len(tokens):
                found.append(Gap(row, begin, computed[row], tokens))
                self.cache.read(requests[row])
        return found

    def fill_in(
        self,
        requests: list[str],
        discarded: npt.NDArray[np.bool_],
        own: torch.Tensor | list[list[int]],
        depth: int,
    ) -> torch.Tensor | list[list[int]]:
        """Give each row the drafts of its drafter.

        Args:
            requests: of the rows.
            discarded: whether a row's prompt is still under way, shape (rows,).
            own: drafts of vLLM's own drafter, shape (rows, tokens), no more than the depth.
            depth: that is drafted.

        Returns:
            Drafts as vLLM takes them: shape (rows, depth) where steps overlap, otherwise lists.
        """
        rows = self._rows(requests, discarded)
        # Nothing waits for the device on account of drafts that are only scored: those are made of
        # what has arrived, and held to what follows that.
        self._take_in(wait=depth > 0 and any(name not in (DRAFT, NONE) for _, name in rows))
        drafts = self.pool.propose(rows, depth, self._depth, self._least)
        self._asked = depth
        full = len(own[0]) if len(own) else 0
        self._drafted = (self._drafted or {}) | {
            request: (self._assigned_to(request), full if name == DRAFT else len(draft))
            for (request, name), draft in zip(rows, drafts, strict=True)
        }
        self._modelled = sum(name == DRAFT for _, name in rows) if full else 0
        if full:
            self._score_model(requests, own)
        if all(name == DRAFT for _, name in rows):
            return self.as_scheduled(own, depth)
        others = {
            request: draft
            for (request, name), draft in zip(rows, drafts, strict=True)
            if name != DRAFT
        }
        if not self.overlapping:
            lists = own if isinstance(own, list) else own.tolist()
            return [others.get(r, lists[i]) for i, r in enumerate(requests)]
        scheduled = self.as_scheduled(own, depth)
        assert not isinstance(scheduled, list)
        return rectangle(requests, others, scheduled, depth)

    def as_scheduled(
        self, own: torch.Tensor | list[list[int]], depth: int
    ) -> torch.Tensor | list[list[int]]:
        """Drafts of vLLM's own drafter, widened by tokens that nobody drafted.

        Args:
            own: shape (rows, tokens), no more than the depth.
            depth: drafts that will be scheduled of each row where steps overlap.
        """
        if isinstance(own, list) or own.shape[1] == depth or not self.overlapping:
            return own
        return widened(own, depth)

    def tell(self) -> Drafted:
        """What is told with the outcome of the step that ran."""
        told, self._told = self._told, Drafted()
        told.scores += self.pool.scores()
        told.states = self.pool.states()
        told.passes, self.passes = self.passes, None
        told.read, self._read = self._read, 0
        told.modelled, self._modelled = self._modelled, 0
        told.spent = self.pool.spent()
        return told

    def _missed(self, request: str, computed: int) -> int:
        """Tokens before a step that the model has not read of a request."""
        behind = self.cache.behind(request)
        return 0 if behind is None else max(computed - behind, 0)

    def _verifiable(self, drafted: int, scheduled: int) -> int:
        """Tokens of a draft that would have been verified, had there been as many as asked for."""
        # One step at a time, a draft is scheduled as long as it is, if it is not cut short.
        whole = not self.overlapping and scheduled >= drafted
        return self._asked if whole else scheduled

    def _begin(self, new: NewRequestData, assignment: Assignment) -> None:
        """A request is new."""
        self.cache.begin(new.req_id, new.num_computed_tokens)
        self.emitted.begin(new.req_id, new.prompt_token_ids or (), new.sampling_params)
        owner = assignment.owners.get(new.req_id)
        if owner is not None and new.prompt_token_ids is not None:
            self.pool.begin(new.req_id, new.prompt_token_ids, owner)
        parameters = new.sampling_params
        if parameters is not None and parameters.structured_outputs is not None:
            self._constrained.add(new.req_id)

    def _end(self, request: str) -> None:
        """A request has ended."""
        self.pool.end(request)
        self.cache.end(request)
        self.emitted.end(request)
        self._hybrid.end(request)
        self._constrained.discard(request)
        if self._drafted is not None:
            self._drafted.pop(request, None)

    def _kept(self, output: SchedulerOutput) -> dict[str, tuple[str, int]]:
        """Drafts of requests that are not in a step: the scheduler keeps them, or nobody does."""
        if self.overlapping or self._drafted is None:
            return {}
        return {r: d for r, d in self._drafted.items() if r not in output.num_scheduled_tokens}

    def _rows(self, requests: list[str], discarded: npt.NDArray[np.bool_]) -> list[tuple[str, str]]:
        """Requests that can have drafts, and the drafter of each."""
        return [
            (request, self._drafter(request))
            for request, without in zip(requests, discarded.tolist(), strict=True)
            if not without
        ]

    def _assigned_to(self, request: str) -> str:
        """The drafter that a request was given."""
        return self._assigned.get(request, self._own)

    def _drafter(self, request: str) -> str:
        """Who drafts for a request in this step."""
        return self._weighed.get(request) or self._assigned_to(request)

    def _score_model(self, requests: list[str], own: torch.Tensor | list[list[int]]) -> None:
        """Hold the model's drafts for requests of the hybrid to what will be emitted."""
        for request, drafted in zip(requests, own, strict=False):
            if request in self._weighed and self.cache.behind(request) is None:
                tokens = drafted if isinstance(drafted, list) else drafted.tolist()
                self.pool.score(request, DRAFT, tokens, len(tokens))

    def _cut(
        self,
        output: SchedulerOutput,
        scheduled: dict[str, int],
        drafted: dict[str, tuple[str, int]],
    ) -> SchedulerOutput:
        """A step without drafts that do not exist."""
        lengths = {
            request: drafted.get(request, (NONE, 0))[1]
            for request in scheduled
            if request not in self._constrained
        }
        lengths = {r: n for r, n in lengths.items() if n < scheduled[r]}
        self._scheduled = {request: scheduled[request] for request in lengths}
        return shortened(output, lengths) if lengths else output

    def _take_in(self, wait: bool) -> None:
        """Let the pool have the tokens that were sampled; if so told, wait for them."""
        for request, tokens in self.emitted.take(wait):
            self.pool.extend(request, tokens)
        scores = self.pool.scores()
        self._hybrid.learn(scores)
        self._told.scores += scores
