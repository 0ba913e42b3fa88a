"""What a draft model has not read, and how it catches up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from drafters import constant
from flyball.inference.drafters.pool import DrafterPool
from flyball.inference.vllm.draft_cache import PATIENCE, DraftCache, Gap, catch_up
from flyball.inference.vllm.drafting import Drafting
from hypothesis import given
from hypothesis import strategies as st
from test_drafting import new, step

WIDTH = 3  # blocks per row


@dataclass
class Metadata:
    """As much of vLLM's as there is to fill, of a step with four rows."""

    query_start_loc: torch.Tensor = field(default_factory=lambda: torch.arange(5))
    query_start_loc_cpu: torch.Tensor = field(default_factory=lambda: torch.arange(5))
    seq_lens: torch.Tensor = field(default_factory=lambda: torch.ones(4))
    num_reqs: int = 4
    num_actual_tokens: int = 4
    max_query_len: int = 1
    max_seq_len: int = 1
    block_table_tensor: torch.Tensor = field(
        default_factory=lambda: torch.arange(4 * WIDTH).reshape(4, WIDTH)
    )
    slot_mapping: torch.Tensor = field(default_factory=lambda: torch.zeros(4))


class Reader:
    """Reads as vLLM's proposer does: each row's tokens at their positions, and the one after."""

    def __init__(self, max_num_tokens: int) -> None:
        self.max_num_tokens = max_num_tokens
        self.read: dict[int, dict[int, int]] = {}

    def propose(self, **told: Any) -> None:
        metadata: Metadata = told["common_attn_metadata"]
        starts = metadata.query_start_loc.tolist()
        assert starts == metadata.query_start_loc_cpu.tolist()
        assert told["num_speculative_tokens"] == 0
        assert metadata.num_actual_tokens + metadata.num_reqs <= self.max_num_tokens
        assert metadata.num_actual_tokens == starts[-1] == len(told["target_token_ids"])
        assert metadata.max_seq_len == metadata.seq_lens.max()
        for i in range(metadata.num_reqs):
            row = int(metadata.block_table_tensor[i, 0]) // WIDTH
            span = slice(starts[i], starts[i + 1])
            positions = told["target_positions"][span].tolist()
            assert metadata.seq_lens[i] == positions[-1] + 1
            assert len(positions) <= metadata.max_query_len
            cache = self.read.setdefault(row, {})
            # What is read attends to all before it: that must be there.
            assert positions[0] == 0 or positions[0] - 1 in cache
            cache |= dict(zip(positions, told["target_token_ids"][span].tolist(), strict=True))
            cache[positions[-1] + 1] = int(told["next_token_ids"][i])


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=4),
    st.integers(2, 24),
)
def test_all_that_was_not_read_is_read_in_order(spans: list[tuple[int, int]], room: int) -> None:
    reader = Reader(room)
    gaps = []
    for row, (begin, length) in enumerate(spans):
        tokens = [100 * row + i for i in range(begin + length + 1)]
        reader.read[row] = dict(enumerate(tokens[:begin]))
        gaps.append(Gap(row, begin, begin + length, tokens))
    catch_up(reader, Metadata(), None, gaps)
    for gap in gaps:
        read = reader.read[gap.row]
        assert [read[i] for i in range(gap.end)] == [*gap.tokens[: gap.end]]


def test_the_model_is_left_out_once_nobody_has_wanted_it_for_a_while() -> None:
    cache = DraftCache()
    assert [cache.skips(False) for _ in range(PATIENCE + 2)] == [False] * PATIENCE + [True] * 2
    assert [cache.skips(wanted) for wanted in (True, False)] == [False, False]


def test_gaps_begin_where_they_began_and_end_when_they_are_read() -> None:
    cache = DraftCache()
    cache.begin("a", 16)
    cache.left_out(["a"], [20])
    cache.left_out(["a", "b"], [21, 3])
    assert (cache.behind("a"), cache.behind("b")) == (20, 3)
    cache.read("a")
    assert cache.behind("a") is None
    # What is cached of a prompt may have been computed while the model was left out.
    cache.begin("c", 16)
    cache.begin("d", 0)
    assert (cache.behind("c"), cache.behind("d")) == (0, None)
    cache.begin("b", 0)  # computed anew after a preemption
    assert cache.behind("b") is None
    cache.end("c")
    assert cache.behind("c") is None


def test_a_row_is_caught_up_with_when_the_model_is_to_draft_for_it() -> None:
    drafting = Drafting(DrafterPool({"ours": constant(1)}, 50), 50, 4, True, True, skips=True)
    rows, neither = ["m", "x"], np.array([False, False])
    drafting.admit(step({}, dict.fromkeys(rows, 2), [new(r) for r in rows]))
    drafting.emitted.sampled(rows, neither, torch.tensor([[3], [4]]))
    assert not drafting.skips_model(rows, 3)
    drafting.cache.left_out(rows, [0, 0])
    assert drafting.gaps(rows, neither, [2, 2]) == [Gap(0, 0, 2, [1, 2, 3])]
    assert drafting.gaps(rows, neither, [2, 2]) == []
    assert drafting.cache.behind("x") == 0
    # Nobody wants it at depth 0, or where others draft for all.
    assert [drafting.skips_model(rows, 0) for _ in range(PATIENCE + 1)][-1]
    assert not drafting.skips_model(rows, 1)
    assert [drafting.skips_model(["x"], 3) for _ in range(PATIENCE + 1)][-1]
