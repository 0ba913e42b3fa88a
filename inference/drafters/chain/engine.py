"""The chain drafter of an engine, as the catalogue makes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from ....policies.chains.times import PassTimes
from ...models import family
from ...settings import chain
from .level import Level
from .loading import load_levels
from .planned import PlannedChain
from .timing import profile

if TYPE_CHECKING:
    from ..catalogue import DrafterContext

log = logging.getLogger("flyball")

PROFILED: Final = 1.0
"""Seconds for timing all models."""
_FREE: Final = Path("/proc/meminfo")


def build(context: DrafterContext) -> PlannedChain:
    """One for an engine, its models loaded and timed.

    Models run in float32 on CPUs and in bfloat16 elsewhere, with a slot for as many requests as may
    run. On CPUs they share the threads of the engine's worker, which waits for drafts anyway.

    Raises:
        ValueError: if no models are named, their tokenizers differ from the target's, or they do
            not fit into memory, with the sum.
    """
    settings = chain()
    target = Path(context.target)
    models = {folder.name: folder for folder in settings.models} or embedded(target)
    cpu = context.device == "cpu"
    levels = load_levels(
        target,
        models,
        slots=context.requests,
        capacity=context.length,
        memory=free_memory(context.device) if settings.memory is None else settings.memory,
        device=context.device,
        dtype=torch.float32 if cpu else torch.bfloat16,
    )
    each = PROFILED / len(levels)
    times = {level.name: profile(level, context.vocabulary, each) for level in levels}
    log.info("flyball chains %s below %s", ", ".join(times), target)
    guess = _guess(target, levels[-1], models, times)
    return PlannedChain(levels, times, context.target, guess, context.depth)


def embedded(target: Path) -> dict[str, Path]:
    """The embedded family's models below the target.

    Raises:
        ValueError: if the target is another: nobody knows which models are of its family.
    """
    if target.resolve() != family.path(family.TARGET).resolve():
        raise ValueError(
            f"which models are to draft for {target}? Name their folders, with commas, in "
            "FLYBALL_CHAIN (flyball serve --chain)"
        )
    return {name: family.path(name) for name in (family.DRAFT, family.MIDDLE)}


def free_memory(device: str) -> int | None:
    """Bytes that are free where a chain is to run; None where that cannot be told."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    if not _FREE.is_file():
        return None
    said = dict(line.split(":", 1) for line in _FREE.read_text().splitlines())
    return int(said["MemAvailable"].split()[0]) << 10 if "MemAvailable" in said else None


def _guess(
    target: Path, level: Level, models: Mapping[str, Path], times: Mapping[str, PassTimes]
) -> PassTimes:
    """The target's passes, before any was met: the largest model's, by parameters."""
    of = times[level.name]
    ratio = family.parameters(target) / family.parameters(models[level.name])
    return PassTimes(of.batches, ratio * of.call, ratio * of.token)
