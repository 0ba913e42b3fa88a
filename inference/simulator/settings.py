"""What engine to simulate, under what traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ...policies.spaces import MAX_DEPTH, check_depth
from .cost_model import CostModel
from .workload import Workload

PLANNERS: Final = ("uniform", "flyball", "adaspec", "adaspec-slo")
"""Whoever plans single steps: nobody, so that every request verifies all drafts of the interval's
depth and waits in the order of arrival; flyball; AdaSpec, as released or with its SLO branch."""


@dataclass(frozen=True, kw_only=True)
class SimulatorSettings:
    """An engine and its traffic; the limits are vLLM's, under its names.

    Attributes:
        cost_model: seconds of a step.
        workload: the traffic.
        name: of the engine, in results.
        k_max: greatest depth, tokens.
        static_depth: depth seen by the first decision as the one before.
        interval: most engine steps per decision.
        parameter_ratio: the drafter's parameters over the target's.
        max_num_seqs: most requests that run at once.
        max_num_batched_tokens: token budget of a step; longer prompts are run in chunks.
        block_size: tokens per block of the KV cache.
        kv_blocks: blocks of the KV cache.
        max_model_len: prompts and outputs are cut so that they fit; an engine would refuse them.
        max_tokens: what requests ask for at most, whatever their length turns out to be: what
            is left of it is all that an observation tells of their remaining tokens.
        horizon: seconds of virtual time after which a simulation is done.
        queue: waiting requests that are held; later ones wait outside, unseen, none is lost.
        planner: who plans single steps, one of ``PLANNERS``.
        results: finished requests that are recorded one by one; 0 for none.

    Raises:
        ValueError: if a number makes no sense.
    """

    cost_model: CostModel
    workload: Workload
    name: str = "simulator"
    k_max: int = 6
    static_depth: int = 4
    interval: int = 8
    parameter_ratio: float = 0.05
    max_num_seqs: int = 16
    max_num_batched_tokens: int = 2048
    block_size: int = 16
    kv_blocks: int = 4096
    max_model_len: int = 4096
    max_tokens: int = 1024
    horizon: float = math.inf
    queue: int = 1024
    planner: str = "uniform"
    results: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.k_max <= MAX_DEPTH:
            raise ValueError(f"k_max must be in [1, {MAX_DEPTH}], not {self.k_max}")
        check_depth(self.static_depth, self.k_max)
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_model_len < 2:
            raise ValueError("max_model_len must leave room for a prompt and an output: 2 tokens")
        if not 0 < self.parameter_ratio <= 10:
            raise ValueError(f"parameter_ratio must be in (0, 10], not {self.parameter_ratio}")
        if self.planner not in PLANNERS:
            raise ValueError(f"no planner {self.planner!r}; there are {', '.join(PLANNERS)}")
        if not self.horizon > 0:
            raise ValueError(f"horizon must be above 0 s, not {self.horizon}")
        if self.kv_blocks * self.block_size < self.max_model_len + MAX_DEPTH:
            raise ValueError(
                f"{self.kv_blocks} blocks of {self.block_size} tokens cannot hold one request of "
                f"max_model_len {self.max_model_len} and its drafts"
            )


_AT_LEAST_ONE = (
    "interval",
    "max_num_seqs",
    "max_num_batched_tokens",
    "block_size",
    "kv_blocks",
    "max_tokens",
    "queue",
)
