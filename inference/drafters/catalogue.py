"""Which drafters there are, by name, and how an engine comes by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from .drafter import Drafter

NONE: Final = "none"
"""No draft; every engine offers it."""

DRAFT: Final = "draft"
"""vLLM's own draft model."""

SUFFIX: Final = "suffix"
"""The suffix memory."""

HYBRID: Final = "suffix+draft"
"""The suffix memory where it promises more tokens per second, vLLM's draft model elsewhere: decided
anew at every step and for every request. Offered where both are."""

RANDOM: Final = "random"
"""In place of a default: any that is offered, drawn anew for every request and step."""

LEARNED: Final = "learned"
"""In place of a default: whichever is best for each request, as it is learned."""

BUILDERS: Final = {
    "ngram": "flyball.inference.drafters.ngram:build",
    SUFFIX: "flyball.inference.drafters.suffix:build",
    "chain": "flyball.inference.drafters.chain:build",
}
"""Drafters that flyball comes with: ``module:function``, called with a ``DrafterContext``."""


@dataclass(frozen=True, slots=True)
class DrafterContext:
    """What a drafter may know of its engine.

    Attributes:
        vocabulary: tokens of the target; ids are below it.
        depth: greatest draft depth, tokens.
        requests: most requests at once.
        length: most tokens of a request, prompt and output.
        target: folder or name of the target model.
        draft: the same of vLLM's draft model; "" without one.
        tokenizer: the same of the target's tokenizer.
        device: where the engine's models run, such as "cpu" or "cuda:0".
    """

    vocabulary: int
    depth: int
    requests: int
    length: int
    target: str
    draft: str = ""
    tokenizer: str = ""
    device: str = "cpu"


def runs_model(name: str) -> bool:
    """Whether vLLM's draft model may draft for requests of a drafter."""
    return name in (DRAFT, HYBRID)


def parse(text: str) -> tuple[str, ...]:
    """Names of drafters from a list with commas; ``module:function`` names a builder of one's own.

    Raises:
        ValueError: saying what is wrong and what would be right.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    known = (NONE, DRAFT, *BUILDERS, HYBRID)
    for name in names:
        if name not in known and not _is_path(name):
            raise ValueError(
                f"no drafter is called {name!r}: there are {', '.join(known)}, and builders of "
                "one's own as module:function"
            )
    if len({*names}) < len(names):
        raise ValueError("each drafter can be named once")
    if not names:
        raise ValueError("name at least one drafter")
    if HYBRID in names and not {DRAFT, SUFFIX} <= {*names}:
        raise ValueError(f"{HYBRID} chooses between {SUFFIX} and {DRAFT}: name these as well")
    return names


def offered(names: Sequence[str]) -> tuple[str, ...]:
    """What requests can have of an engine with some drafters: ``none`` as well."""
    return tuple(dict.fromkeys((*names, NONE)))


def check_choice(name: str, names: Sequence[str]) -> str:
    """Who is to draft by default, as it was given.

    Args:
        name: one of the names, ``learned`` or ``random``.
        names: that are offered.

    Raises:
        ValueError: if it is none of those.
    """
    if not names:
        raise ValueError("the engine's only drafter is vLLM's own: there is no choice")
    if name not in (*names, LEARNED, RANDOM):
        raise ValueError(f"{name!r} is none of {', '.join(names)}, {LEARNED} and {RANDOM}")
    return name


def build(names: Sequence[str], context: DrafterContext) -> dict[str, Drafter]:
    """The drafters of some names, but for those that are vLLM's or none.

    Args:
        names: as ``parse`` gives them.
        context: of their engine.

    Raises:
        ValueError: if one cannot be built, naming it and why.
    """
    return {name: _build(name, context) for name in names if name not in (NONE, DRAFT, HYBRID)}


def _build(name: str, context: DrafterContext) -> Drafter:
    module, _, function = BUILDERS.get(name, name).partition(":")
    try:
        drafter = getattr(import_module(module), function)(context)
    except Exception as e:
        raise ValueError(f"the drafter {name!r} cannot be built: {type(e).__name__}: {e}") from e
    if not isinstance(drafter, Drafter):
        raise ValueError(f"{BUILDERS.get(name, name)} gave {drafter!r}, which is no Drafter")
    return drafter


def _is_path(name: str) -> bool:
    module, colon, function = name.partition(":")
    parts = [*module.split("."), function]
    return bool(colon) and all(part.isidentifier() for part in parts)
