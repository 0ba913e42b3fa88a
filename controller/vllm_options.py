"""What is handed on to vLLM: its own arguments, and the processors it runs on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

_TOLD: Final = {
    "--host": "the API stays on 127.0.0.1, as it has no key; put a proxy in front of it",
    "--uds": "the API listens on a port, given by flyball's own --port",
    "--ssl-keyfile": "the API speaks plain HTTP on 127.0.0.1; put a proxy in front of it",
    "--ssl-certfile": "the API speaks plain HTTP on 127.0.0.1; put a proxy in front of it",
    "--port": "give it before --, as flyball's own --port",
    "--model": "give it before --, as flyball's own --model, with --draft",
    "--dtype": "give it before --, as flyball's own --dtype",
    "--scheduler-cls": "flyball's scheduler governs; without it, run `vllm serve` itself",
    "--speculative-config": "give the drafter before --, as flyball's own --draft and --k-max",
    "-sc": "give the drafter before --, as flyball's own --draft and --k-max",
}
"""Options of vLLM that flyball gives, and what to do instead. vLLM would take the last one."""


def check_extra(extra: Iterable[str]) -> None:
    """Refuse arguments to vLLM that would undo what flyball tells it.

    Args:
        extra: what came after ``--``.

    Raises:
        ValueError: naming the first, and what to do instead.
    """
    words = tuple(extra)
    if words and not words[0].startswith("-"):
        raise ValueError(
            f"unexpected {words[0]!r} after --, where vLLM's options stand; models are named "
            "before it, with --model DIR --draft DIR"
        )
    for word in words:
        told = _told(word)
        if told:
            raise ValueError(f"{told} cannot be given to vLLM here: {_TOLD[told]}")


def _told(word: str) -> str:
    """The option of ``_TOLD`` that vLLM would take a word for; "" for none.

    vLLM takes ``_`` for ``-``, ``--x=value``, ``--x.key value`` and unique beginnings.
    """
    name = re.split("[=.]", word, maxsplit=1)[0].replace("_", "-")
    if not name.startswith("-") or len(name) < 3:
        return ""
    if not name.startswith("--"):
        return name if name in _TOLD else ""
    return next((option for option in _TOLD if option.startswith(name)), "")


def find_cores(text: str | None) -> frozenset[int] | None:
    """Processors of this machine from a text such as ``0-3`` or ``0,2``; None for none.

    Raises:
        ValueError: if it is no such text, or there is no such processor.
    """
    cores = parse_cores(text)
    if cores is not None and hasattr(os, "sched_getaffinity"):
        there = os.sched_getaffinity(0)
        missing = sorted(cores - there)
        if missing:
            raise ValueError(
                f"--engine-cores names processor {missing[0]}, which this process cannot use; "
                f"there are {', '.join(map(str, sorted(there)))}"
            )
    return cores


def parse_cores(text: str | None) -> frozenset[int] | None:
    """Processor numbers from a text such as ``0-3`` or ``0,2``; None for none.

    Raises:
        ValueError: if it is no such text.
    """
    if text is None:
        return None
    cores: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        found = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not found:
            raise ValueError(f"--engine-cores must be like 0-3 or 0,2, not {text!r}")
        cores.update(found)
    return frozenset(cores)
