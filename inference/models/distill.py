"""Distillation: the drafters learn the target's distribution, together, from the same passes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..compiler import has_compiler
from . import checkpoint, interruption
from .data import Cursors, Mixture, weights
from .generate import generate
from .llama import Llama
from .optimizer import Optimizer
from .progress import Meter
from .recipe import Distillation
from .training import CHECKPOINT_SECONDS

# Windows that the target writes at once.
_AT_ONCE = 64


def divergence(model: Llama, tokens: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Weighted mean Kullback-Leibler divergence, in nats, from the wanted distribution.

    Args:
        model: The drafter.
        tokens: Token ids (windows, length).
        wanted: Log-probabilities of the target, (windows * length, vocabulary).
        counts: Weights of the positions' next tokens, (windows * length).
    """
    own = torch.log_softmax(model(tokens).flatten(0, 1).float(), -1)
    losses = functional.kl_div(own, wanted, reduction="none", log_target=True).sum(-1)
    return (losses * counts).sum() / counts.sum()


def log_shares(model: Llama, tokens: Tensor) -> Tensor:
    """The target's log-probabilities (windows * length, vocabulary) in windows."""
    return torch.log_softmax(model(tokens).flatten(0, 1).float(), -1)


class Lesson:
    """Drafters being distilled: everything that a checkpoint holds, and one method that steps."""

    def __init__(
        self,
        target: Llama,
        drafters: Mapping[str, Llama],
        mixture: Mixture,
        recipe: Distillation,
        *,
        device: str = "cpu",
        compiled: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.target = target.to(self.device, torch.bfloat16).eval().requires_grad_(False)
        self.drafters = {name: model.to(self.device) for name, model in drafters.items()}
        self.recipe, self.mixture = recipe, mixture
        self.optimizers = {
            name: Optimizer(model, recipe.rate, recipe.embedding_rate)
            for name, model in self.drafters.items()
        }
        self.written: NDArray[np.int64] | None = None
        self.seen, self.seconds = 0, 0.0
        compiled = has_compiler() if compiled is None else compiled
        self.divergence = torch.compile(divergence, dynamic=False) if compiled else divergence
        self.log_shares = torch.compile(log_shares, dynamic=False) if compiled else log_shares

    def step(self) -> dict[str, float]:
        """Distil from the next batch; returns each drafter's divergence in nats per token."""
        batch = self._batch()
        tokens = torch.from_numpy(batch).to(self.device)
        counts = torch.from_numpy(self._counts(batch)).to(self.device)
        pace = self.recipe.pace(self.seen)
        losses = {}
        with torch.autocast(self.device.type, torch.bfloat16), torch.no_grad():
            wanted = self.log_shares(self.target, tokens)
        for name, model in self.drafters.items():
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = self.divergence(model, tokens, wanted, counts)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizers[name].step(pace)
            losses[name] = loss.item()
        self.seen += tokens.numel()
        return losses

    def _counts(self, batch: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weights of each position's next token; what follows a window is nobody's, so 1."""
        counts = weights(batch, self.recipe.given)
        return np.append(counts[:, 1:], np.ones_like(counts[:, :1]), axis=1).ravel()

    def _batch(self) -> NDArray[np.int64]:
        """Windows of the corpus and windows that the target wrote, (windows, window)."""
        recipe = self.recipe
        own = round(recipe.windows * recipe.generated)
        if self.written is None or not own:
            return self.mixture.batch(recipe.windows, recipe.window, recipe.tool_calls)
        rows = (np.arange(own) + self.seen // recipe.window) % len(self.written)
        corpus = self.mixture.batch(recipe.windows - own, recipe.window, recipe.tool_calls)
        return np.concatenate((self.written[rows], corpus))

    def write(self, meter: Meter) -> None:
        """Let the target write its windows: beginnings from the corpus, half of them greedily."""
        recipe, parts = self.recipe, []
        rng = np.random.default_rng(0)
        # Its own mixture: what is written does not move the cursors that a checkpoint keeps.
        source = Mixture(self.mixture.calls, self.mixture.code, self.mixture.prose, seed=1)
        for number in range(-(-recipe.written // _AT_ONCE)):
            heads = source.batch(_AT_ONCE, recipe.window, recipe.tool_calls)
            length = int(rng.integers(recipe.window // 16, recipe.window // 3))
            temperature = 0.0 if number % 2 == 0 else 0.8
            texts = generate(
                self.target,
                heads[:, :length].tolist(),
                recipe.window - length,
                temperature=temperature,
                seed=number,
            )
            parts.append(np.concatenate((heads[:, :length], np.array(texts)), 1))
            interruption.check()
            meter.update((number + 1) * _AT_ONCE * recipe.window, f"temperature {temperature}")
        windows = np.concatenate(parts)
        self.written = windows[rng.permutation(len(windows))]

    def state(self) -> dict[str, Any]:
        """As plain data, for a checkpoint."""
        return {
            "models": {name: model.state_dict() for name, model in self.drafters.items()},
            "optimizers": {name: one.state() for name, one in self.optimizers.items()},
            "cursors": self.mixture.cursors.state(),
            "written": None if self.written is None else torch.from_numpy(self.written),
            "seen": self.seen,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state of `state()`."""
        for name, model in self.drafters.items():
            model.load_state_dict(state["models"][name])
            self.optimizers[name].restore(state["optimizers"][name])
        self.mixture.cursors = Cursors(**state["cursors"])
        self.written = None if state["written"] is None else state["written"].numpy()
        self.seen, self.seconds = state["seen"], state["seconds"]


def distill(lesson: Lesson, file: Path) -> dict[str, Llama]:
    """Distil to the recipe's end, from the checkpoint `file` on if it is there."""
    kept = checkpoint.load(file)
    if kept is not None:
        lesson.restore(kept)
    recipe = lesson.recipe
    if lesson.written is None and recipe.generated:
        with Meter("the target writes", recipe.written * recipe.window) as meter:
            lesson.write(meter)
        checkpoint.save(file, lesson.state())
    saved = time.monotonic()
    with Meter("distillation", recipe.tokens, lesson.seen) as meter:
        try:
            for losses in _steps(lesson):
                interruption.check()
                said = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
                meter.update(lesson.seen, f"divergence {said}")
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    checkpoint.save(file, lesson.state())
                    saved = time.monotonic()
        finally:
            checkpoint.save(file, lesson.state())
    return lesson.drafters


def _steps(lesson: Lesson) -> Iterator[dict[str, float]]:
    """Step to the end; gives the losses, smoothed."""
    smooth: dict[str, float] = {}
    while lesson.seen < lesson.recipe.tokens:
        started = time.monotonic()
        losses = lesson.step()
        lesson.seconds += time.monotonic() - started
        smooth = {name: 0.95 * smooth.get(name, new) + 0.05 * new for name, new in losses.items()}
        yield smooth
