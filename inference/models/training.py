"""Training of one model on the corpus: resumable at any step, the same result either way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ..compiler import has_compiler
from . import checkpoint, interruption
from .data import Cursors, Mixture, weights
from .family import SHAPES, Shape
from .llama import Llama
from .optimizer import Optimizer
from .progress import Meter
from .recipe import Phase, Recipe

CHECKPOINT_SECONDS = 180.0


def grow(model: Llama, layers: int) -> Llama:
    """Return a model with more layers: copies of its blocks, in order, over and over."""
    old = model.shape
    grown = Llama(Shape(old.hidden, layers, old.heads, old.kv_heads, old.feed_forward))
    kept = model.state_dict()
    for name in grown.state_dict():
        source = name
        if name.startswith("model.layers."):
            index, rest = name.removeprefix("model.layers.").split(".", 1)
            source = f"model.layers.{int(index) % old.layers}.{rest}"
        grown.state_dict()[name].copy_(kept[source])
    return grown


def loss_of(model: Llama, tokens: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy, in nats, of the next tokens in windows (windows, length)."""
    logits = model(tokens[:, :-1]).flatten(0, 1).float()
    losses = functional.cross_entropy(logits, tokens[:, 1:].flatten(), reduction="none")
    wanted = weights[:, 1:].flatten()
    return (losses * wanted).sum() / wanted.sum()


class Training:
    """A model in training: everything that a checkpoint holds, and one method that steps."""

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        mixture: Mixture,
        *,
        device: str = "cpu",
        shape: Shape | None = None,
        compiled: bool | None = None,
        seed: int = 0,
    ) -> None:
        self.name, self.recipe, self.mixture = name, recipe, mixture
        self.device = torch.device(device)
        self.full = shape or SHAPES[name]
        self.compiled = has_compiler() if compiled is None else compiled
        self.seen, self.seconds = 0, 0.0
        torch.manual_seed(seed)
        self._use(Llama(self._shape(recipe.phase(0).layers)))

    def _shape(self, layers: int) -> Shape:
        full = self.full
        return Shape(full.hidden, layers, full.heads, full.kv_heads, full.feed_forward)

    def _use(self, model: Llama) -> None:
        self.model = model.to(self.device)
        self.optimizer = Optimizer(model, self.recipe.rate, self.recipe.embedding_rate)
        self.loss: Callable[[Llama, Tensor, Tensor], Tensor] = (
            torch.compile(loss_of, dynamic=False) if self.compiled else loss_of
        )

    def step(self) -> float:
        """Train on the next batch; returns its loss in nats per token."""
        phase = self.recipe.phase(self.seen)
        if phase.layers > self.model.shape.layers:
            self._use(grow(self.model, phase.layers))
        total, parts = 0.0, list(self._parts(phase))
        for tokens, counts in parts:
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = self.loss(self.model, tokens, counts) / len(parts)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self.optimizer.step(self.recipe.pace(self.seen))
        self.seen += phase.windows * phase.window
        return total

    def _parts(self, phase: Phase) -> Iterator[tuple[Tensor, Tensor]]:
        # One token more than the window, so that every position has a next one.
        batch = self.mixture.batch(phase.windows, phase.window + 1, phase.tool_calls)
        size = max(1, self.recipe.micro // phase.window)
        both = (torch.from_numpy(batch), torch.from_numpy(weights(batch, phase.given)))
        yield from zip(*(torch.split(part.to(self.device), size) for part in both), strict=True)

    def save(self, file: Path) -> None:
        """Write a checkpoint."""
        checkpoint.save(
            file,
            {
                "layers": self.model.shape.layers,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state(),
                "cursors": self.mixture.cursors.state(),
                "seen": self.seen,
                "seconds": self.seconds,
            },
        )

    def resume(self, file: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        kept = checkpoint.load(file)
        if kept is None:
            return
        model = Llama(self._shape(kept["layers"]))
        model.load_state_dict(kept["model"])
        self._use(model)
        self.optimizer.restore(kept["optimizer"])
        self.mixture.cursors = Cursors(**kept["cursors"])
        self.seen, self.seconds = kept["seen"], kept["seconds"]


def train(training: Training, file: Path) -> Llama:
    """Train to the recipe's end, from the checkpoint `file` on if it is there.

    An interruption leaves a checkpoint.
    """
    training.resume(file)
    smooth, saved, recipe = 0.0, time.monotonic(), training.recipe
    with Meter(f"{training.name} on the corpus", recipe.tokens, training.seen) as meter:
        try:
            while training.seen < recipe.tokens:
                interruption.check()
                started = time.monotonic()
                loss = training.step()
                training.seconds += time.monotonic() - started
                smooth = loss if not smooth else 0.95 * smooth + 0.05 * loss
                layers = training.model.shape.layers
                meter.update(training.seen, f"loss {smooth:.3f}, {layers} layers")
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    training.save(file)
                    saved = time.monotonic()
        finally:
            training.save(file)
    return training.model
