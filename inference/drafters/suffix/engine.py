"""The suffix memory of an engine, as the catalogue makes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...models import family
from ...settings import suffix_memory
from .drafter import SuffixDrafter
from .memory import Memory

if TYPE_CHECKING:
    from ..catalogue import DrafterContext


def build(context: DrafterContext) -> SuffixDrafter:
    """One for an engine, as ``FLYBALL_SUFFIX_...`` say; everything is compiled when it is there.

    Raises:
        ValueError: naming the variable that makes no sense.
        OSError: if the store's folder cannot be made.
    """
    settings = suffix_memory()
    if settings.store is not None:
        settings.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    memory = Memory(settings.tokens or Memory.TOKENS, settings.store, tokenizer=_tokenizer(context))
    return SuffixDrafter(memory, settings.threshold or SuffixDrafter.THRESHOLD)


def _tokenizer(context: DrafterContext) -> str:
    """What a store's ids mean: a digest where the tokenizer is at hand, else its name and size."""
    try:
        return family.fingerprint(Path(context.tokenizer))
    except ValueError:
        return f"{context.tokenizer} of {context.vocabulary} tokens"
