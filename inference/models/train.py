"""Training of the whole family, from nothing to the folders that engines load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from . import card, checkpoint, corpus, hf, interruption, manifest, memory, tokenizer
from .data import Tokens, encode_training, mixture
from .distill import Lesson, distill
from .evaluate import measure_family
from .family import DRAFTERS, NAMES, TARGET, WEIGHTS
from .llama import Llama
from .progress import say
from .recipe import DISTILLATION, RECIPES, TRANSCRIPTS, Distillation
from .training import Training, train

WORK = Path.home() / ".cache" / "flyball" / "train"


@dataclass(frozen=True)
class Options:
    """What `flyball models train` can be told.

    Attributes:
        work: Where checkpoints are kept; a run goes on from those it finds there.
        weights: Where the finished family is written.
        device: `cpu`, `cuda`, or any other that PyTorch knows.
        threads: CPU threads; 0 leaves it to PyTorch.
        tokens: Tokens per model, where they differ from the recipes'. Fewer than were seen
            already ends that model's training; a few more than seen lets it decay from there.
        distillation: How the drafters learn from the target.
    """

    work: Path = WORK
    weights: Path = WEIGHTS
    device: str = "cpu"
    threads: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    distillation: Distillation = DISTILLATION

    def __post_init__(self) -> None:
        """Refuse what no training could be run with."""
        for name, tokens in self.tokens.items():
            if name not in NAMES:
                raise ValueError(f"no embedded model {name!r}; there are {', '.join(NAMES)}")
            if tokens <= 0:
                raise ValueError(f"the tokens of {name} must be more than 0, got {tokens}")
        if self.threads < 0:
            raise ValueError(f"threads must be 0 (PyTorch's choice) or more, got {self.threads}")
        _check_device(self.device)


def _check_device(device: str) -> None:
    """Refuse a device that PyTorch does not know or has no use of, before minutes are spent."""
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        reason = str(e).partition("\n")[0]
        raise ValueError(f"PyTorch cannot use the device {device!r}: {reason}") from None


def train_family(options: Options) -> None:
    """Reproduce the family from nothing: tokenizer, target, drafters, distillation, measures.

    Interrupted at any time (Ctrl-C or SIGTERM), the same call goes on where it was. The weights'
    folder changes only at the end, when everything is measured.
    """
    memory.keep()
    with interruption.deferred():
        target = train_model(TARGET, options)
        drafters = distil_drafters(target, options)
        made = options.work / "family"
        export(target, drafters, options.work, made)
        figures = {**measure_family(made), "training": _effort(options)}
        manifest.write(made, figures)
        card.write(made, figures)
        shutil.copytree(made, options.weights, dirs_exist_ok=True)


def train_model(name: str, options: Options) -> Llama:
    """Train one model on the corpus, from its checkpoint on if there is one."""
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = RECIPES[name]
    recipe = replace(recipe, tokens=options.tokens.get(name, recipe.tokens))
    training = Training(name, recipe, mixture(_encoded(options.work)), device=options.device)
    return train(training, options.work / f"{name}.pt")


def distil_drafters(target: Llama, options: Options) -> dict[str, Llama]:
    """Train the drafters on the corpus, then on the target's distribution."""
    drafters = {name: train_model(name, options) for name in DRAFTERS}
    # Other beginnings than the target's own training had, and no order in common with it.
    texts = mixture(_encoded(options.work), seed=2)
    lesson = Lesson(target, drafters, texts, options.distillation, device=options.device)
    return distill(lesson, options.work / "distillation.pt")


def export(target: Llama, drafters: Mapping[str, Llama], work: Path, weights: Path) -> None:
    """Write the family's folders."""
    for name, model in {TARGET: target, **drafters}.items():
        hf.save(model, work, weights / name)


@cache
def _encoded(work: Path) -> dict[str, list[Tokens]]:
    """Train the tokenizer if it is not there yet, and tokenize the corpus."""
    if not (work / "tokenizer.json").exists():
        say("training the tokenizer on the corpus")
        tokenizer.save(tokenizer.train(corpus.tokenizer_texts()), work)
    interruption.check()
    say("tokenizing the corpus, which takes about half a minute")
    return encode_training(tokenizer.load(work), TRANSCRIPTS)


def _effort(options: Options) -> dict[str, Any]:
    """Return what training took: tokens and minutes by part, and on what."""
    found: dict[str, Any] = {"corpus": corpus.interpreter(), "device": _machine(options.device)}
    for name in (*NAMES, "distillation"):
        kept = checkpoint.load(options.work / f"{name}.pt") or {}
        found[name] = {"tokens": kept.get("seen"), "minutes": round(kept.get("seconds", 0) / 60)}
    return found


def _machine(device: str) -> str:
    if device == "cpu":
        return f"{os.cpu_count()} CPU cores"
    return torch.cuda.get_device_name() if device.startswith("cuda") else device
