"""Repairs of vLLM that losslessness depends on, made when vLLM loads its plug-ins.

On CPUs without Triton, vLLM 0.32 replaces the kernel that spreads each request's temperature,
top-k and top-p over its drafts by one that writes into a converted copy of its output. What the
rejection sampler then divides the logits by is uninitialised memory: with speculation, governed or
not, nothing sampled above temperature 0 follows the target's distribution. ``flyball bench
lossless`` shows it. vLLM's sources stay as they are; the replacement is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

_EXPAND: Final = "_expand_kernel_impl"


def register() -> None:
    """Make the repairs; the entry point of the group ``vllm.general_plugins``."""
    try:
        from vllm.utils import cpu_triton_utils
    except ImportError:
        return  # a vLLM that has no such replacements
    # The platform registers its replacements right after the plug-ins are loaded, by this name.
    if hasattr(cpu_triton_utils, _EXPAND):
        setattr(cpu_triton_utils, _EXPAND, expand)


def expand(
    output: torch.Tensor,
    input_val: torch.Tensor,
    cu_num_tokens: torch.Tensor,
    replace_from: float,
    replace_to: float,
    MAX_NUM_TOKENS: int | None = None,  # noqa: N803, ARG001 - as vLLM calls it
) -> None:
    """Repeat each request's value once per draft of it, one value replaced by another.

    Args:
        output: shape (drafts,), filled.
        input_val: shape (requests,).
        cu_num_tokens: cumulative number of drafts, shape (requests,).
        replace_from: the value that is replaced.
        replace_to: by what.
        MAX_NUM_TOKENS: not needed.
    """
    counts = cu_num_tokens.diff(prepend=cu_num_tokens.new_zeros(1))
    values = input_val.masked_fill(input_val == replace_from, replace_to)
    output.copy_(values.repeat_interleave(counts))
