"""Shapes that vLLM wants drafts in: a step without those that do not exist, a rectangle of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch
    from vllm.v1.core.sched.output import SchedulerOutput

_FILLER: Final = 0  # a token like any other


def shortened(output: SchedulerOutput, lengths: Mapping[str, int]) -> SchedulerOutput:
    """A step that verifies less than was scheduled; the one given stays, for it is vLLM's too.

    Args:
        output: the step.
        lengths: drafts left of some requests, fewer than were scheduled of them.
    """
    scheduled = output.scheduled_spec_decode_tokens
    excess = {request: len(scheduled[request]) - length for request, length in lengths.items()}
    cut = copy.copy(output)
    cut.num_scheduled_tokens = dict(output.num_scheduled_tokens)
    cut.scheduled_spec_decode_tokens = dict(scheduled)
    cut.total_num_scheduled_tokens -= sum(excess.values())
    for request, beyond in excess.items():
        cut.num_scheduled_tokens[request] -= beyond
        tokens = cut.scheduled_spec_decode_tokens.pop(request)
        if lengths[request]:
            cut.scheduled_spec_decode_tokens[request] = tokens[: lengths[request]]
    return cut


def widened(drafts: torch.Tensor, depth: int) -> torch.Tensor:
    """Drafts of shape (rows, depth), filled up where they are shorter."""
    import torch

    return torch.nn.functional.pad(drafts, (0, depth - drafts.shape[1]), value=_FILLER)


def rectangle(
    requests: Sequence[str], others: Mapping[str, list[int]], drafts: torch.Tensor, depth: int
) -> torch.Tensor:
    """Drafts of all rows, shape (rows, depth).

    Args:
        requests: of the rows.
        others: drafts of those that are not vLLM's own drafter's; they are filled up.
        drafts: of vLLM's own, shape (rows, depth).
        depth: that is drafted.
    """
    import torch

    places = [i for i, request in enumerate(requests) if request in others]
    filled = [(others[requests[i]] + [_FILLER] * depth)[:depth] for i in places]
    if depth and places:
        drafts = drafts.clone()
        drafts[places] = torch.tensor(filled, dtype=drafts.dtype, device=drafts.device)
    return drafts
