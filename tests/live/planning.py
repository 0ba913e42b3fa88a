"""Schedulers that plan every step at random, and hold what vLLM schedules to the plan.

An engine loads them from this folder. What they note is written to the file that the environment
variable ``PLANNED`` names whenever the engine has run out of requests.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from flyball.inference.moment import Load
from flyball.inference.step_plan import Plan
from flyball.inference.vllm import GovernedAsyncScheduler, GovernedScheduler
from flyball.inference.vllm.scheduler import Governed
from flyball.inference.vllm.step import SchedulerStep

BUDGETS = (None, 0, 1, 9, 50, 150)
"""Bounds on the prompt tokens of a step."""


class Before:
    """A queue before a step, and the plan for it."""

    def __init__(self, scheduler: Any, step: SchedulerStep, plan: Plan) -> None:
        self.plan = plan
        self.running = [r.request_id for r in scheduler.running]
        waiting = [r.request_id for r in scheduler.waiting]
        self.queue = [waiting[i] for i in plan.order] if plan.order else waiting
        self.moved = self.queue != waiting
        prefills = [r.is_prefill_chunk for r in scheduler.running]
        self.behind = True in prefills and False in prefills[prefills.index(True) :]
        ids = {id(state): name for name, state in scheduler._adapter._states.items()}
        lengths = plan.lengths or step.drafted
        # What each request that decodes was to have of its drafts, by its id.
        self.decoding = {
            ids[id(state)]: (drafted, min(drafted, length))
            for state, drafted, length in zip(step.decoding, step.drafted, lengths, strict=True)
        }


class Planned(Governed):
    """Plans at random and looks at what is scheduled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.random = Random(0)
        self.notes: Counter[str] = Counter()
        self.broken: list[str] = []
        assert self._adapter is not None
        self._adapter.governor.plan = self._plan  # type: ignore[method-assign]

    def _plan(self, batch: int, load: Callable[[], Load], step: SchedulerStep) -> Plan:
        assert self._adapter is not None
        self._adapter.governor.depth(batch, load)  # intervals go on, whatever is drafted in them
        draw = self.random
        depth = draw.randint(0, self.num_spec_tokens)
        order = list(range(len(step.waiting)))
        draw.shuffle(order)
        plan = Plan(
            depth,
            lengths=[draw.randint(0, drafted + 1) for drafted in step.drafted],
            prompt_tokens=draw.choice(BUDGETS),
            order=order if draw.random() < 0.5 else None,
        )
        if draw.random() < 0.1:
            plan = Plan(depth)
        self.before = Before(self, step, plan)
        return plan

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        budget = self.max_num_scheduled_tokens
        output = super().schedule(*args, **kwargs)
        if budget != self.max_num_scheduled_tokens:
            self.broken.append(f"a budget of {budget} became {self.max_num_scheduled_tokens}")
        admitted = self._look_at_queues()
        self._look_at_tokens(output.num_scheduled_tokens, output.scheduled_spec_decode_tokens)
        self.notes["steps"] += 1
        self.notes["chunks"] += sum(
            self.requests[r].is_prefill_chunk for r in output.num_scheduled_tokens
        )
        # What was computed before a request was ever scheduled comes from the cache.
        self.notes["cached"] += sum(
            self.requests[r].num_computed_tokens > output.num_scheduled_tokens[r] for r in admitted
        )
        return output

    def _look_at_queues(self) -> list[str]:
        """Whether those that run kept their order, and whether the plan's was followed."""
        before, after = self.before, [r.request_id for r in self.running]
        stayed = [r for r in before.running if r in set(after)]
        if after[: len(stayed)] != stayed:
            self.broken.append(f"what ran as {before.running} now runs as {after}")
        admitted = after[len(stayed) :]
        if admitted != [r for r in before.queue if r in set(admitted)]:
            self.broken.append(f"admitted {admitted} of {before.queue}")
        self.notes["reordered"] += before.moved and bool(admitted)
        self.notes["preempted"] += len(before.running) - len(stayed)
        self.notes["behind"] += before.behind and before.plan.prompt_tokens is not None
        return admitted

    def _look_at_tokens(self, tokens: dict[str, int], drafts: dict[str, list[int]]) -> None:
        """Whether requests were given what the plan gives them."""
        before, spare, given = self.before, 0, set()
        for request, (drafted, length) in before.decoding.items():
            if request not in tokens:
                spare += 1 + length
                if self.requests[request].num_computed_tokens:
                    self.broken.append(f"{request} was given nothing, and not preempted")
                continue
            given.add(length)
            if tokens[request] != 1 + length or len(drafts.get(request, ())) != length:
                self.broken.append(
                    f"{request} was given {tokens[request]} tokens, not 1 + {length}"
                )
            self.notes["shortened"] += 0 < length < drafted
            self.notes["none of some"] += length == 0 < drafted
        self.notes["unequal"] += len(given) > 1
        prompts = sum(n for request, n in tokens.items() if request not in before.decoding)
        bound = before.plan.prompt_tokens
        if bound is not None and before.decoding:
            self.notes["held back"] += prompts == bound
            if prompts > bound + spare:
                self.broken.append(f"{prompts} prompt tokens, not {bound} and {spare} to spare")

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        outputs = super().update_from_output(scheduler_output, model_runner_output)
        self.notes["vetoed"] += sum((scheduler_output.num_invalid_spec_tokens or {}).values())
        self.notes["overlapped"] += scheduler_output.pending_structured_output_tokens
        if not self.has_unfinished_requests():
            self._write()
        return outputs

    def _write(self) -> None:
        assert self._adapter is not None
        governor = self._adapter.governor
        faults = {"faults": governor.faults, "last_fault": governor.last_fault}
        path = Path(os.environ["PLANNED"])
        part = path.with_suffix(".part")
        part.write_text(json.dumps({**self.notes, **faults, "broken": self.broken[:20]}))
        part.rename(path)


class PlannedAsyncScheduler(Planned, GovernedAsyncScheduler):
    """The asynchronous one."""


class PlannedScheduler(Planned, GovernedScheduler):
    """The plain one."""
