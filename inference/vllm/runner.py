"""A model runner of vLLM's that drafts by ``drafting``.

The class of the runner that vLLM has made is extended in place: what it is depends on the platform,
and vLLM makes it itself. Whatever fails here, the runner goes on as vLLM has it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..drafters.catalogue import DRAFT, DrafterContext, build
from ..drafters.exchange import DRAFTED
from ..drafters.pool import DrafterPool
from ..settings import drafters
from .draft_cache import catch_up
from .drafting import Drafting
from .proposer import PROPOSER

if TYPE_CHECKING:
    import torch
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner as _Base
else:
    _Base = object

log = logging.getLogger("flyball")

T = TypeVar("T")


class DraftingRunner(_Base):
    """The moments of drafting, around those of the runner that it is mixed into."""

    drafting: Drafting

    def execute_model(self, scheduler_output: SchedulerOutput, *args: Any, **kwargs: Any) -> Any:
        """Run a step, without drafts that do not exist."""
        output = self._ours(lambda: self.drafting.admit(scheduler_output), scheduler_output)
        return super().execute_model(output, *args, **kwargs)

    def _update_states(self, scheduler_output: SchedulerOutput) -> Any:
        corrections = super()._update_states(scheduler_output)
        self._ours(lambda: self.drafting.restore(self.requests), None)
        return corrections

    def _sample(self, *args: Any, **kwargs: Any) -> Any:
        output = super()._sample(*args, **kwargs)
        rows, discarded = self._batch()
        tokens = output.sampled_token_ids
        self._ours(lambda: self.drafting.emitted.sampled(rows, discarded, tokens), None)
        return output

    def propose_draft_token_ids(
        self, scheduler_output: SchedulerOutput, sampled_token_ids: Any, *args: Any, **kwargs: Any
    ) -> torch.Tensor | list[list[int]]:
        """Draft for every row, by its own drafter."""
        drafting, (rows, discarded) = self.drafting, self._batch()
        depth: int = scheduler_output.num_spec_tokens_to_schedule
        own: Any
        self._ours(lambda: self._weigh(scheduler_output, rows, discarded), None)
        if self._ours(lambda: drafting.skips_model(rows, depth), False):
            own = self._leave_out(sampled_token_ids)
            drafting.passes = 0
        else:
            passes = self._ours(lambda: drafting.passes_of_model(depth), depth)
            drafting.passes = max(passes, 1)
            if not self._ours(lambda: drafting.wants_model(rows, discarded), True):
                # It reads along, but drafts nothing.
                passes, drafting.passes = 0, 1
            elif depth:
                self._ours(lambda: self._catch_up((*args, *kwargs.values())), None)
            if passes != depth:
                scheduler_output = copy.copy(scheduler_output)
                scheduler_output.num_spec_tokens_to_schedule = passes
            own = super().propose_draft_token_ids(
                scheduler_output, sampled_token_ids, *args, **kwargs
            )
        drafts = self._ours(lambda: drafting.fill_in(rows, discarded, own, depth), None)
        return drafting.as_scheduled(own, depth) if drafts is None else drafts

    def _weigh(self, output: SchedulerOutput, rows: list[str], discarded: Any) -> None:
        """Decide who drafts for requests of the hybrid, and how deep."""
        scheduled = [output.num_scheduled_tokens[row] for row in rows]
        depth = output.num_spec_tokens_to_schedule
        self.drafting.weigh(rows, discarded, depth, self._computed(), scheduled)

    def _leave_out(self, sampled_token_ids: Any) -> torch.Tensor:
        """A step without the draft model: no drafts of it, shape (rows, 0)."""
        import torch

        rows, _ = self._batch()
        if self.valid_sampled_token_count_event is not None:
            # What the next step needs of this one, as vLLM does it without a draft, too.
            found = self.drafter.prepare_next_token_ids_padded(
                sampled_token_ids, self.requests, self.input_batch, self.discard_request_mask.gpu
            )
            self._copy_valid_sampled_token_count(*found)
        self._draft_probs = self._draft_prob_req_ids = None
        self.drafting.cache.left_out(rows, self._computed())
        return torch.empty((len(rows), 0), dtype=torch.int64, device=self.device)

    def _catch_up(self, arguments: Sequence[Any]) -> None:
        """Have the draft model read what it lacks of the rows that it is to draft for."""
        rows, discarded = self._batch()
        gaps = self.drafting.gaps(rows, discarded, self._computed())
        if gaps:
            metadata = next(a for a in arguments if hasattr(a, "block_table_tensor"))
            catch_up(self.drafter, metadata, self.input_batch.sampling_metadata, gaps)

    def _computed(self) -> list[int]:
        """Where the step began in each row's request."""
        rows, _ = self._batch()
        computed: list[int] = self.input_batch.num_computed_tokens_cpu[: len(rows)].tolist()
        return computed

    def sample_tokens(self, *args: Any, **kwargs: Any) -> Any:
        """Sample, draft, and tell with the outcome what was verified."""
        output = super().sample_tokens(*args, **kwargs)
        outcome = getattr(output, "_model_runner_output", output)
        if getattr(outcome, "req_ids", None):
            told = self._ours(self.drafting.tell, None)
            if told is not None:
                setattr(outcome, DRAFTED, told)
        return output

    def _batch(self) -> Any:
        """Requests of the rows, and whether a row's prompt is still under way."""
        rows = self.input_batch.req_ids
        return rows, self.discard_request_mask.np[: len(rows)]

    def _ours(self, call: Callable[[], T], otherwise: T) -> T:
        """What a call of ours gives; something else if it fails, or has failed too often."""
        if self.drafting.retired:
            return otherwise
        try:
            return call()
        except Exception as e:  # noqa: BLE001 - no request may fail because of us
            self.drafting.fault(e)
            return otherwise


def extend(runner: Any, config: Any) -> Drafting | None:
    """Have a model runner draft by what ``FLYBALL_DRAFTERS`` names.

    Args:
        runner: vLLM's, just made.
        config: its ``VllmConfig``.

    Returns:
        Who drafts from here on; None where vLLM drafts as ever.

    Raises:
        ValueError: if a drafter cannot be built: the engine does not start.
    """
    names = drafters()
    why = _refusal(config) if names else "FLYBALL_DRAFTERS names none"
    if why:
        log.warning("flyball offers no drafters: %s", why)
        return None
    speculative = config.speculative_config
    model = speculative.model != PROPOSER
    if not model and DRAFT in names:
        raise ValueError(f"FLYBALL_DRAFTERS names {DRAFT}, but the engine has no draft model")
    vocabulary: int = config.model_config.get_vocab_size()
    depth: int = speculative.num_speculative_tokens
    context = DrafterContext(
        vocabulary=vocabulary,
        depth=depth,
        requests=config.scheduler_config.max_num_seqs,
        length=config.model_config.max_model_len,
        target=config.model_config.model,
        draft=str(speculative.model) if model else "",
        tokenizer=str(config.model_config.tokenizer),
        device=str(runner.device),
    )
    pool = DrafterPool(build(names, context), vocabulary)
    overlapping = bool(config.scheduler_config.async_scheduling)
    runner.drafting = Drafting(
        pool, vocabulary, depth, overlapping, DRAFT in names, _can_leave_out(config)
    )
    own = type(runner)
    runner.__class__ = type(f"Drafting{own.__name__}", (DraftingRunner, own), {})
    log.info("flyball offers drafters: %s", ", ".join(names))
    return runner.drafting  # type: ignore[no-any-return]


def _can_leave_out(config: Any) -> bool:
    """Whether vLLM's drafter can be left out of a step, and read later what it then did not."""
    speculative = config.speculative_config
    return (
        speculative.uses_draft_model()
        and not speculative.disable_padded_drafter_batch
        and config.kv_transfer_config is None
        and not config.model_config.is_multimodal_model
    )


def _refusal(config: Any) -> str:
    """Why an engine can have no drafters but vLLM's; "" if it can."""
    if config.speculative_config is None:
        return "vLLM runs without --speculative-config"
    if config.parallel_config.world_size > 1:
        return "drafters of one's own run in engines of one rank"
    if getattr(config, "use_v2_model_runner", False):
        return "vLLM's model runner V2 is not supported, VLLM_USE_V2_MODEL_RUNNER=0 chooses V1"
    return ""
