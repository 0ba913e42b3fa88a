"""Causal attention, with a backward pass for CPUs that is made of large matrix products.

PyTorch's backward pass on CPUs goes head by head in small blocks, and would be two fifths of all
training. As products over whole batches, which CPUs' matrix units take, it is half of that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Keys at once: later queries than the first of them are all that see them.
_BLOCK = 320


def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend to a position and those before it; all of shape (batch, heads, positions, size)."""
    if query.device.type == "cpu" and query.requires_grad:
        out: Tensor = _Causal.apply(query, key, value)  # type: ignore[no-untyped-call]
        return out
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class _Causal(torch.autograd.Function):
    """PyTorch's forward pass; the backward pass is FlashAttention's (Dao et al. 2022)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # The public function keeps the norms, which the backward pass needs, to itself.
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
        out: Tensor
        out, norms = flash(query, key, value, 0.0, True)
        ctx.save_for_backward(query, key, value, out, norms)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, out, norms = ctx.saved_tensors
        positions, scale = query.shape[2], query.shape[3] ** -0.5
        mean = (grad.float() * out.float()).sum(-1, keepdim=True)
        places = torch.arange(positions, device=query.device)
        queries, keys, values = torch.zeros_like(query, dtype=torch.float32), [], []
        for start in range(0, positions, _BLOCK):
            block, later = slice(start, start + _BLOCK), slice(start, None)
            scores = (query[:, :, later] @ key[:, :, block].mT).float() * scale
            shares = (scores - norms[:, :, later, None]).exp()
            shares = shares.masked_fill(places[block] > places[later, None], 0.0)
            pull = (grad[:, :, later] @ value[:, :, block].mT).float() - mean[:, :, later]
            pull = (shares * pull * scale).to(query.dtype)
            queries[:, :, later] += pull @ key[:, :, block]
            keys.append(pull.mT @ query[:, :, later])
            values.append(shares.to(grad.dtype).mT @ grad[:, :, later])
        return queries.to(query.dtype), torch.cat(keys, 2), torch.cat(values, 2)
