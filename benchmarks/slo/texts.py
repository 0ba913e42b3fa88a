"""Prompts of the lengths that a trace asks for, of the project's own workloads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ...inference.load import WORKLOADS, prompt_stream
from ...inference.models import tokenizer

_BETWEEN: Final = "\n\n"


class Texts:
    """Makes prompts as token ids.

    A prompt is the end of several texts of one content class on end, as long as it is to be: it
    breaks off where the last of them does, which is what its continuation depends on most.

    Args:
        folder: of the model, for its tokenizer.
        workload: whose content classes are taken in turn.
    """

    def __init__(self, folder: Path, workload: str = "mixed") -> None:
        self._reader = tokenizer.load(folder)
        self._workload = workload

    def prompts(self, lengths: Sequence[int], seed: int) -> list[tuple[str, list[int]]]:
        """Content class and token ids of one prompt for each length, at least 1 token.

        Args:
            lengths: tokens of each.
            seed: which texts; the same gives the same.
        """
        classes = itertools.cycle(WORKLOADS[self._workload])
        streams = {name: self._tokens(name, seed) for name in WORKLOADS[self._workload]}
        made = []
        for length, name in zip(lengths, classes, strict=False):
            ids: list[int] = []
            while len(ids) < length:
                ids += next(streams[name])
            made.append((name, ids[len(ids) - length :]))
        return made

    def _tokens(self, content_class: str, seed: int) -> Iterator[list[int]]:
        for prompt in prompt_stream(content_class, seed):
            yield list(self._reader.encode(_BETWEEN + prompt.text).ids)
