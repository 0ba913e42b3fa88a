"""The model card, written from the figures that were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .corpus import CLASSES
from .evaluate import DEPTH
from .family import DRAFTERS, NAMES, SHAPES

FILE = "MODEL_CARD.md"

_HEAD = """\
# The embedded models

Three small Llama models on one tokenizer (byte-level BPE, 4,096 tokens), in Hugging Face format,
bfloat16. They exist so that speculation can be tried, measured and tested anywhere, without a
download and without a GPU: `draft` and `middle` draft for `target`. They continue text as their
corpus has it; they are no assistants, and what they say about the world is made up.

Made by `flyball models train`, checked and measured by `flyball models verify`.

## Data

- **Code**: the modules of the standard library of {corpus}, without its tests and tables.
- **Prose**: the language reference in `pydoc_data.topics`, and the docstrings and comments of the
  same modules where they are flowing text.
- **Tool calls**: transcripts of agents that solve tasks in this project's own tool world
  (`inference/agents/world/`), in two styles, all invented by a seeded generator. Names in them are
  drawn from lists; no person is meant.

About 43 % of the tokens are tool calls, 38 % code, 19 % prose; in the target's last phase and in
distillation there are more tool calls, and the loss counts mostly what the agent itself writes. A
twentieth of all documents is held out, by a hash of their names; every figure below is on held-out
documents.

## Licence

The models are part of flyball, under its licence (Apache-2.0). The standard library and its
documentation, on which they were trained, are copyright of the Python Software Foundation and under
the PSF License Agreement; greedy output can repeat passages of them.

## Format

Chat: `<|system|>...<|end|><|user|>...<|end|><|assistant|>...<|end|><|tool|>...<|end|>`, which is
the tokenizer's chat template. Documents end with `<|endoftext|>`. Digits are tokens of their own.
Context: 2,048 positions; trained on windows of 640 tokens, at last of 1,280.
"""


def write(weights: Path, figures: dict[str, Any]) -> None:
    """Write the card beside the models."""
    training = figures["training"]
    parts = [
        _HEAD.format(corpus=training["corpus"]),
        "## Shapes and training\n\n" + _shapes(figures) + "\n" + _effort(training),
        "## Perplexity per token, held out\n\n" + _perplexity(figures),
        "## Acceptance\n\n" + _ACCEPTANCE + _acceptance(figures),
        "## The target as an agent\n\n" + _SUCCESS + _success(figures),
    ]
    (weights / FILE).write_text("\n".join(parts), "utf-8")


_ACCEPTANCE = """\
Share of drafts whose first 1, 2, ... 6 tokens were all accepted; greedy, drafts of six tokens, each
beginning where the last one was cut, as in an engine.

"""

_SUCCESS = """\
Share of held-out tasks solved, greedily, by difficulty (1: one call; 2: two; 3: three; 4: five;
5: six or seven, later ones dependent on what earlier ones observed).

"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shapes(figures: dict[str, Any]) -> str:
    rows = []
    for name in NAMES:
        shape, took = SHAPES[name], figures["training"][name]
        sizes = (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.feed_forward)
        rows.append(
            [
                name,
                f"{figures['parameters'][name] / 1e6:.1f} M",
                *map(str, sizes),
                f"{took['tokens'] / 1e6:.1f} M",
                str(took["minutes"]),
            ]
        )
    head = "model parameters layers hidden heads kv-heads feed-forward tokens minutes"
    return table(head.split(), rows)


def _effort(training: dict[str, Any]) -> str:
    lesson = training["distillation"]
    return (
        f"\nThe target learned in 2 layers first, which were then stacked to 8. The drafters were "
        f"then\ndistilled from the target, on {lesson['tokens'] / 1e6:.1f} M tokens in "
        f"{lesson['minutes']} minutes, half of them\nwritten by the target itself. Machine: "
        f"{training['device']}; the minutes are what other work left.\n"
    )


def _perplexity(figures: dict[str, Any]) -> str:
    rows = [[name, *(f"{figures['perplexity'][name][c]:.2f}" for c in CLASSES)] for name in NAMES]
    return table(["model", *CLASSES], rows)


def _acceptance(figures: dict[str, Any]) -> str:
    rows = [
        [name, content_class, *(f"{share:.2f}" for share in by_class[content_class])]
        for name in DRAFTERS
        for by_class in (figures["acceptance"][name],)
        for content_class in CLASSES
    ]
    return table(["drafter", "class", *(str(at + 1) for at in range(DEPTH))], rows)


def _success(figures: dict[str, Any]) -> str:
    rows = [
        [style, *(f"{share:.2f}" for share in by.values())]
        for style, by in figures["success"].items()
    ]
    return table(["style", "1", "2", "3", "4", "5"], rows)
