"""Models of a chain: checked against each other and against memory, then loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ...models import family
from .drafter import ChainDrafter
from .level import Level


@dataclass(frozen=True, slots=True)
class Need:
    """Memory that a model of a chain takes, in bytes."""

    name: str
    weights: int
    cache: int

    @property
    def total(self) -> int:
        """Of both."""
        return self.weights + self.cache

    def __str__(self) -> str:
        return f"{self.name} {_mib(self.total)} (weights {_mib(self.weights)})"


def load_chain(
    target: Path,
    models: Mapping[str, Path],
    *,
    slots: int,
    capacity: int,
    memory: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ChainDrafter:
    """Load a chain drafter; arguments and errors as of ``load_levels``."""
    return ChainDrafter(
        load_levels(
            target,
            models,
            slots=slots,
            capacity=capacity,
            memory=memory,
            device=device,
            dtype=dtype,
        )
    )


def load_levels(
    target: Path,
    models: Mapping[str, Path],
    *,
    slots: int,
    capacity: int,
    memory: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[Level]:
    """Load the models of a chain, smallest first, once all of them are checked.

    Args:
        target: the target's folder, in Hugging Face format, of which only the tokenizer is read.
        models: names and folders of the models below it.
        slots: requests at a time, ended ones included whose beginnings are kept for others.
        capacity: most tokens of a request, its drafts included.
        memory: bytes that all models may take together; None for any.
        device: where they are to run.
        dtype: of weights and caches.

    Raises:
        ValueError: if tokenizers differ, a model cannot be run over slots, or there is not enough
            memory, with the sum.
    """
    if slots < 1 or capacity < 2 or not models:
        raise ValueError(
            f"a chain needs a model, a slot and two tokens at least, not {len(models)}, {slots} "
            f"and {capacity}"
        )
    configs = {name: _config(target, folder, capacity) for name, folder in models.items()}
    needs = [need(name, models[name], configs[name], slots, capacity, dtype) for name in models]
    needs.sort(key=lambda found: found.weights)
    _check_memory(needs, memory)
    return [
        load_level(found.name, models[found.name], slots, capacity, device, dtype)
        for found in needs
    ]


def load_level(
    name: str,
    folder: Path,
    slots: int,
    capacity: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Level:
    """Load one model over slots; arguments as of ``load_chain``, nothing is checked."""
    # SDPA takes masks of any shape as they are.
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True
    )
    return Level(name, model.to(device).eval(), slots, capacity)


def need(
    name: str, folder: Path, config: Any, slots: int, capacity: int, dtype: torch.dtype
) -> Need:
    """The memory that a model takes.

    Args:
        name: for people.
        folder: with its safetensors files.
        config: its Hugging Face configuration.
        slots: requests at a time.
        capacity: tokens of each.
        dtype: of weights and cache.
    """
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    cells = 2 * config.num_hidden_layers * heads * head * slots * (capacity + 1)
    return Need(name, family.parameters(folder) * dtype.itemsize, cells * dtype.itemsize)


def _config(target: Path, folder: Path, capacity: int) -> Any:
    """A model's configuration.

    Raises:
        ValueError: if it does not belong to the target, or cannot be run over slots.
    """
    family.check_pair(target, folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    kinds = {*(getattr(config, "layer_types", None) or ["full_attention"])}
    if kinds != {"full_attention"}:
        raise ValueError(
            f"{folder} has layers of {', '.join(sorted(kinds))}: in a chain all layers must "
            "attend to everything, as only then a request can be rolled back"
        )
    if capacity > config.max_position_embeddings:
        raise ValueError(
            f"{folder} reads at most {config.max_position_embeddings} tokens, not {capacity}"
        )
    return config


def _check_memory(needs: list[Need], memory: int | None) -> None:
    total = sum(found.total for found in needs)
    if memory is not None and total > memory:
        raise ValueError(
            f"a chain of {' + '.join(map(str, needs))} needs {_mib(total)} in all, and may take "
            f"{_mib(memory)}; take fewer or smaller models, fewer slots, or a smaller capacity"
        )


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
