"""Muon: momentum, made orthogonal, for matrices; all matrices of one shape in one go."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
DECAY = 0.1
# Root mean square that AdamW's updates have, about.
_SIZE = 0.2
_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (count, rows, columns) near 1, by Newton-Schulz.

    In bfloat16, which the iteration bears. As batches of products, and of tall matrices from the
    right, nothing is copied or transposed on the way.
    """
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    tall = x.shape[1] > x.shape[2]
    for _ in range(_STEPS):
        gram = x.mT @ x if tall else x @ x.mT
        rest = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, rest, beta=a) if tall else torch.baddbmm(x, rest, x, beta=a)
    return x


class Muon:
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Sources: Jordan et al. 2024 (the iteration and its coefficients); Liu et al. 2025, arXiv
    2502.16982 (decay, and updates of AdamW's size). It does what `torch.optim.Muon` does, which
    takes one matrix after another, for most of a step's time on CPUs.
    """

    def __init__(self, matrices: Iterable[nn.Parameter]) -> None:
        self.groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.momenta = [
            torch.stack([torch.zeros_like(matrix) for matrix in group])
            for group in self.groups.values()
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Apply the gradients."""
        for (shape, group), momenta in zip(self.groups.items(), self.momenta, strict=True):
            gradients = torch.stack([_gradient(matrix) for matrix in group])
            momenta.lerp_(gradients, 1 - MOMENTUM)
            updates = orthogonal(gradients.lerp_(momenta, MOMENTUM))
            for matrix, update in zip(group, updates, strict=True):
                matrix.mul_(1 - rate * DECAY).add_(update, alpha=-rate * _SIZE * max(shape) ** 0.5)

    def state(self) -> list[Tensor]:
        """The momenta, for a checkpoint."""
        return self.momenta

    def restore(self, state: list[Tensor]) -> None:
        """Take over a state of `state()`."""
        for momenta, kept in zip(self.momenta, state, strict=True):
            momenta.copy_(kept)


def _gradient(matrix: nn.Parameter) -> Tensor:
    if matrix.grad is None:
        raise ValueError("a matrix has no gradient")
    return matrix.grad
