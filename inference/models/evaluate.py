"""Measures of the family: perplexity, acceptance, and what the target does as an agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from torch.nn import functional

from ..agents.protocol import Turn
from ..agents.world import (
    DIFFICULTIES,
    FINISH,
    STYLES,
    ActionError,
    Step,
    Style,
    Task,
    World,
    make_task,
    parse,
    prompt,
    solves,
)
from . import corpus, hf, tokenizer
from .corpus import CLASSES, ContentClass
from .data import encode
from .family import DRAFTERS, NAMES, TARGET, parameters
from .generate import generate
from .llama import Llama
from .prompts import prompts
from .tokenizer import END_ID

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DEPTH = 6  # positions that a draft has
_WINDOW = 640
_EMITTED = 128  # tokens that the target writes after each prompt
_LONGEST_TURN = 160
_MOST_STEPS = 12


@dataclass(frozen=True)
class Acceptance:
    """How drafts fared.

    Attributes:
        drafts: Number of drafts.
        positions: Share of drafts whose first 1, 2, ... `DEPTH` tokens were all accepted, which
            is what vLLM's metrics count per position.
    """

    drafts: int
    positions: tuple[float, ...]


@torch.inference_mode()
def perplexity(
    model: Llama, reader: Tokenizer, content_class: ContentClass, limit: int = 40_000
) -> float:
    """Perplexity per token on held-out documents, in windows of at most 640 tokens.

    Args:
        model: The model.
        reader: Its tokenizer.
        content_class: Which documents.
        limit: Tokens to look at, at most.
    """
    if content_class == "tool_calls":
        documents = list(corpus.tool_calls(0, 8000, held_out=True))
    else:
        whole = corpus.code() if content_class == "code" else corpus.prose()
        documents = [document for document in whole if document.held_out]
    total, count = 0.0, 0
    for text in encode(reader, documents):
        for start in range(0, len(text) - 1, _WINDOW):
            tokens = torch.from_numpy(text[start : start + _WINDOW + 1].astype(np.int64))[None]
            logits = model(tokens[:, :-1])[0].float()
            total += functional.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()
            count += tokens.shape[1] - 1
            if count >= limit:
                return float(np.exp(total / count))
    return float(np.exp(total / count))


def greedy_texts(
    target: Llama, reader: Tokenizer, content_class: ContentClass, samples: int, seed: int = 0
) -> list[tuple[list[int], list[int]]]:
    """Let the target continue held-out prompts greedily.

    Returns:
        (prompt, continuation) token ids. A tool call's continuation ends with its turn.
    """
    starts = [reader.encode(one.text).ids for one in prompts(content_class, samples, seed)]
    stop = END_ID if content_class == "tool_calls" else None
    written = generate(target, starts, _EMITTED, stop=stop)
    ended = [
        [*text, END_ID] if stop is not None and len(text) < _EMITTED else text for text in written
    ]
    return list(zip(starts, ended, strict=True))


@torch.inference_mode()
def acceptance(drafter: Llama, texts: Sequence[tuple[list[int], list[int]]]) -> Acceptance:
    """Measure greedy drafts of `DEPTH` tokens against what the target wrote greedily.

    As in an engine, a draft begins where the last one was cut: after its accepted tokens and the
    one that the target added. A draft's later tokens only count where its earlier ones are the
    target's own, so the drafter's choices after the target's text are all that is needed.
    """
    tried, kept = np.zeros(DEPTH), np.zeros(DEPTH)
    for start, written in texts:
        choices = drafter(torch.tensor([[*start, *written]]))[0].argmax(-1).tolist()
        right = [choices[len(start) + at - 1] == token for at, token in enumerate(written)]
        at = 1  # the prompt's own pass gives the first token
        while at < len(right):
            ahead = right[at : at + DEPTH]
            run = next((n for n, good in enumerate(ahead) if not good), len(ahead))
            tried[: len(ahead)] += 1
            kept[:run] += 1
            at += run + 1
    shares = kept / np.maximum(tried, 1)
    return Acceptance(int(tried[0]), tuple(float(share) for share in shares))


def success(
    target: Llama, reader: Tokenizer, style: Style, count: int, seed: int = 0
) -> dict[int, float]:
    """Share of held-out tasks that the model solves as an agent, greedily, by difficulty.

    All tasks are worked on at once: many texts together take little longer than a few.

    Args:
        target: The model.
        reader: Its tokenizer.
        style: How it writes its turns.
        count: Tasks of each difficulty.
        seed: Which tasks.
    """
    trials = {}
    for difficulty in DIFFICULTIES:
        numbers = corpus.held_out_seeds(seed)
        tasks = [make_task(next(numbers), difficulty) for _ in range(count)]
        trials[difficulty] = [_Trial(task, style) for task in tasks]
    everyone = list(chain.from_iterable(trials.values()))
    for _ in range(_MOST_STEPS):
        running = [trial for trial in everyone if trial.running]
        if not running:
            break
        starts = [reader.encode(trial.prompt).ids for trial in running]
        turns = generate(target, starts, _LONGEST_TURN, stop=END_ID)
        for trial, turn in zip(running, turns, strict=True):
            trial.take(reader.decode(turn))
    return {
        difficulty: sum(trial.solved for trial in tried) / count
        for difficulty, tried in trials.items()
    }


def measure_family(
    weights: Path, *, samples: int = 48, tasks: int = 16, progress: Console | None = None
) -> dict[str, Any]:
    """Measure the models in a weights folder.

    Args:
        weights: Folder with `target`, `middle` and `draft`.
        samples: Held-out prompts per class for acceptance.
        tasks: Held-out tasks per difficulty and style; 0 leaves agents out.
        progress: Where to say what is being measured.

    Returns:
        Plain data: `parameters` by model, `perplexity` by model and class, `acceptance` by
        drafter and class (a share per position), `success` by style and difficulty.
    """
    tell = (progress or Console(quiet=True)).print
    models = {name: hf.load(weights / name) for name in NAMES}
    reader = tokenizer.load(weights / TARGET)
    figures: dict[str, Any] = {
        "parameters": {name: parameters(weights / name) for name in NAMES},
        "perplexity": {name: {} for name in NAMES},
        "acceptance": {name: {} for name in DRAFTERS},
        "success": {},
    }
    for content_class in CLASSES:
        tell(f"measuring {content_class} ...")
        for name, model in models.items():
            value = perplexity(model, reader, content_class)
            figures["perplexity"][name][content_class] = round(value, 3)
        texts = greedy_texts(models[TARGET], reader, content_class, samples)
        for name in DRAFTERS:
            positions = acceptance(models[name], texts).positions
            figures["acceptance"][name][content_class] = [round(share, 3) for share in positions]
    for style in STYLES if tasks else ():
        tell(f"measuring agents, style {style} ...")
        shares = success(models[TARGET], reader, style, tasks)
        figures["success"][style] = {str(one): round(share, 3) for one, share in shares.items()}
    return figures


class _Trial:
    """One task being worked on."""

    def __init__(self, task: Task, style: Style) -> None:
        self.task, self.style = task, style
        self.world = World(task.state)
        self.steps: list[Step] = []
        self.running = True

    @property
    def prompt(self) -> str:
        return prompt(self.task, self.steps, self.style)

    @property
    def solved(self) -> bool:
        return solves(self.task, [step.action for step in self.steps])

    def take(self, turn: str) -> None:
        """Execute what the model wrote; what cannot be understood ends the trial."""
        try:
            thought, action = parse(turn, self.style)
            observation = self.world.execute(action)
        except ActionError:
            self.running = False
            return
        self.steps.append(Step(Turn(action, thought), observation))
        self.running = action.tool != FINISH
