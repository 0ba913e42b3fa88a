"""Leaves out vLLM's draft model while nobody wants it, and lets it catch up when somebody does.

vLLM has its draft model read every token, whether it drafts or not, so that its KV cache is always
complete: one pass of it per step, which is lost where other drafters serve all requests. Here that
pass is left out once nobody has wanted the model for more than a step. What it has not read is then
noted per request, and read in one go, before it drafts for that request again. Drafts are all that
depends on it: a gap in this cache can make them worse, never wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

PATIENCE: Final = 1
"""Steps that the model reads on after it was last wanted: a gap costs a pass of its own, however
many steps it is long."""


class Gap(NamedTuple):
    """What the draft model has not read of a request.

    Attributes:
        row: of the request, in the step.
        begin: first position not read.
        end: first position that the step itself reads.
        tokens: of the request, at least to ``end`` inclusive.
    """

    row: int
    begin: int
    end: int
    tokens: Sequence[int]


class DraftCache:
    """What a draft model has read of each request."""

    def __init__(self) -> None:
        self._behind: dict[str, int] = {}  # first position not read
        self._unwanted = 0  # steps since the model was last wanted
        self._gaps = False  # whether any block of the cache may have one

    def begin(self, request: str, computed: int) -> None:
        """A request is new, or resumed.

        Args:
            request: which.
            computed: tokens that are not computed, as vLLM has cached them; with or without gaps.
        """
        self._behind.pop(request, None)
        if computed and self._gaps:
            self._behind[request] = 0

    def end(self, request: str) -> None:
        """A request has ended."""
        self._behind.pop(request, None)

    def skips(self, wanted: bool) -> bool:
        """Whether a step's pass is to be left out.

        Args:
            wanted: whether the model is to draft for any request in it.
        """
        self._unwanted = 0 if wanted else self._unwanted + 1
        return self._unwanted > PATIENCE

    def left_out(self, requests: Iterable[str], computed: Iterable[int]) -> None:
        """A step's pass was left out.

        Args:
            requests: in the step.
            computed: where the step began in each.
        """
        self._gaps = True
        for request, begin in zip(requests, computed, strict=True):
            self._behind.setdefault(request, begin)

    def behind(self, request: str) -> int | None:
        """First position that the model has not read of a request; None if it has read all."""
        return self._behind.get(request)

    def read(self, request: str) -> None:
        """The model has caught up with a request."""
        self._behind.pop(request, None)


def catch_up(proposer: Any, metadata: Any, sampling: Any, gaps: Sequence[Gap]) -> None:
    """Have a draft model read what it has not read.

    Args:
        proposer: vLLM's, of a draft model.
        metadata: the step's ``CommonAttentionMetadata``: where each row's cache lies.
        sampling: the step's ``SamplingMetadata``, not looked at.
        gaps: at most one per row.
    """
    left = [gap for gap in gaps if gap.begin < gap.end]
    while left:
        now: list[Gap] = []
        room = proposer.max_num_tokens
        for gap in left:
            # The model is given one token more than what it is to read, and reads that, too.
            length = min(gap.end - gap.begin, room - 1)
            if length > 0:
                now.append(gap._replace(end=gap.begin + length))
                room -= length + 1
        _read(proposer, metadata, sampling, now)
        ends = {gap.row: gap.end for gap in now}
        left = [gap._replace(begin=ends.get(gap.row, gap.begin)) for gap in left]
        left = [gap for gap in left if gap.begin < gap.end]


def _read(proposer: Any, metadata: Any, sampling: Any, gaps: Sequence[Gap]) -> None:
    """One pass over as much as fits."""
    import torch

    device = metadata.query_start_loc.device
    lengths = torch.tensor([gap.end - gap.begin for gap in gaps], dtype=torch.int32)
    ends = torch.tensor([gap.end for gap in gaps], dtype=torch.int32)
    starts = torch.zeros(len(gaps) + 1, dtype=torch.int32)
    starts[1:] = lengths.cumsum(0)
    tokens = [token for gap in gaps for token in gap.tokens[gap.begin : gap.end]]
    positions = torch.cat([torch.arange(gap.begin, gap.end) for gap in gaps])
    rows = torch.tensor([gap.row for gap in gaps], device=device)
    told = {
        "query_start_loc": starts.to(device),
        "query_start_loc_cpu": starts,
        "seq_lens": ends.to(device),
        "seq_lens_cpu_upper_bound": ends,
        "num_reqs": len(gaps),
        "num_actual_tokens": len(tokens),
        "max_query_len": int(lengths.max()),
        "max_seq_len": int(ends.max()),
        "block_table_tensor": metadata.block_table_tensor[rows],
        # Made anew by vLLM, with the token that each row is given more.
        "slot_mapping": torch.zeros(len(tokens), dtype=torch.int64, device=device),
        "causal": True,
    }
    fields = {field.name for field in dataclasses.fields(metadata) if field.init}
    proposer.propose(
        num_speculative_tokens=0,
        target_token_ids=torch.tensor(tokens, dtype=torch.int32, device=device),
        target_positions=positions.to(device),
        target_hidden_states=torch.empty(0, device=device),
        next_token_ids=torch.tensor(
            [gap.tokens[gap.end] for gap in gaps], dtype=torch.int32, device=device
        ),
        token_indices_to_sample=None,
        common_attn_metadata=type(metadata)(**{k: v for k, v in told.items() if k in fields}),
        sampling_metadata=sampling,
    )
