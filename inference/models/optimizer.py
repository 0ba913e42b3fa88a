"""Muon for the blocks' matrices, AdamW for embeddings and norms, behind one small interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

CLIP = 1.0


class Optimizer:
    """Two optimizers that step together."""

    def __init__(self, model: nn.Module, rate: float, embedding_rate: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inner = parameter.dim() == 2 and "embed" not in name
            (matrices if inner else others).append(parameter)
        self.parameters = [*matrices, *others]
        self.rates = (rate, embedding_rate)
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(
                others, lr=embedding_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
            ),
        )

    def step(self, pace: float) -> None:
        """Apply the gradients at a share of the peak rates, and clear them."""
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * pace
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """As plain data, for a checkpoint."""
        return [part.state_dict() for part in self.parts]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Take over a state of `state()`."""
        for part, kept in zip(self.parts, state, strict=True):
            part.load_state_dict(kept)
