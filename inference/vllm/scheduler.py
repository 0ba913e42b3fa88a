"""Schedulers that hold vLLM's draft depth by a governor.

Use either with ``vllm serve --scheduler-cls``: ``GovernedAsyncScheduler`` wherever vLLM schedules
asynchronously, ``GovernedScheduler`` for drafters that need the plain scheduler. Nothing of vLLM
is patched: before each step the scheduler's own table from batch size to depth is set to the
governed depth, which vLLM then carries to the worker, and the rest of the step's plan is carried
out on its queue (``step``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from .adapter import Adapter

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import GrammarOutput, SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler as _Base
    from vllm.v1.engine import EngineCoreOutputs
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request
else:
    _Base = object


class Governed(_Base):
    """The governor's moments, around those of the scheduler it is mixed into."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._adapter = Adapter.attach(self)

    def add_request(self, request: Request) -> None:
        """Admit a request, with its hints."""
        super().add_request(request)
        if self._adapter is not None:
            self._adapter.admit(request)

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Schedule a step as the governor plans it."""
        if self._adapter is None:
            return super().schedule(*args, **kwargs)
        depth, after = self._adapter.begin(self)
        try:
            output = super().schedule(*args, **kwargs)
        finally:
            if after is not None:
                after()
        self._adapter.launch(self, output, depth)
        return output

    def get_grammar_bitmask(self, scheduler_output: SchedulerOutput) -> GrammarOutput | None:
        """Constrain what structured outputs may sample, and decide while the model runs.

        VLLM calls this between handing a step to its workers and waiting for them, in order to
        hide what it takes behind the model: deciding is hidden there, too.
        """
        if self._adapter is not None:
            self._adapter.prepare(self)
        return super().get_grammar_bitmask(scheduler_output)

    def update_from_output(
        self, scheduler_output: SchedulerOutput, model_runner_output: ModelRunnerOutput
    ) -> dict[int, EngineCoreOutputs]:
        """Take a step's outcome."""
        landing = None
        if self._adapter is not None:
            landing = self._adapter.arrive(scheduler_output, model_runner_output)
        outputs: dict[int, EngineCoreOutputs] = super().update_from_output(
            scheduler_output, model_runner_output
        )
        if self._adapter is not None:
            self._adapter.land(self, landing, outputs)
        return outputs

    def shutdown(self) -> None:
        """Stop, the link to the controller too."""
        if self._adapter is not None:
            self._adapter.close()
        super().shutdown()


class GovernedAsyncScheduler(Governed, AsyncScheduler):
    """vLLM's asynchronous scheduler, governed."""


class GovernedScheduler(Governed, Scheduler):
    """vLLM's plain scheduler, governed."""
