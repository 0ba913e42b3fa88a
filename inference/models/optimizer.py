"""Muon for the blocks' matrices, AdamW for embeddings and norms, behind one small interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .muon import Muon

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
        self.rate, self.embedding_rate = rate, embedding_rate
        self.muon = Muon(matrices)
        self.adamw = torch.optim.AdamW(
            others, lr=embedding_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )

    def step(self, pace: float) -> None:
        """Apply the gradients at a share of the peak rates, and clear them."""
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.muon.step(self.rate * pace)
        for group in self.adamw.param_groups:
            group["lr"] = self.embedding_rate * pace
        self.adamw.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """As plain data, for a checkpoint."""
        return {"muon": self.muon.state(), "adamw": self.adamw.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of `state()`."""
        self.muon.restore(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
