"""Policies by name: what there is, and how one is made."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..policy import Policy
from ..structure import Structure
from .bandits import Thompson, Ucb
from .base import CataloguePolicy
from .goodput import AdaSpec, Goodput
from .hysteresis import Hysteresis
from .linucb import LinUcb
from .options import Explained, explain, read
from .static import Analytic, Fixed, Off
from .table import Table

_CATALOGUE: Final[dict[str, type[CataloguePolicy]]] = {
    kind.name: kind
    for kind in (
        Off,
        Fixed,
        Table,
        Goodput,
        AdaSpec,
        Hysteresis,
        Ucb,
        Thompson,
        LinUcb,
        Analytic,
    )
}


class Entry(NamedTuple):
    """One policy of the catalogue, for people.

    Attributes:
        name: what users call it.
        about: one line, with whose idea it is.
        options: what can be set.
    """

    name: str
    about: str
    options: list[Explained]


def names() -> list[str]:
    """Names that ``make_policy`` knows, the simplest first."""
    return list(_CATALOGUE)


def describe(name: str) -> Entry:
    """A policy for people.

    Raises:
        ValueError: listing the names that exist.
    """
    kind = _find(name)
    return Entry(kind.name, kind.about, explain(kind.kind))


def make_policy(spec: str, structure: Structure, engines: int = 1, seed: int = 0) -> Policy:
    """A policy from its specification.

    Args:
        spec: ``name``, or ``name?option=value&option=value``, as in ``ucb?c=0.5&objective=J``.
        structure: the analytic prediction: step times, prices and the greatest depth.
        engines: how many it decides for at once.
        seed: of everything random.

    Raises:
        ValueError: listing the names that exist, or naming the option that will not do, its
            value and what it may be.
    """
    name, _, query = spec.partition("?")
    kind = _find(name)
    return kind(structure, engines, seed, read(name, kind.kind, query))


def _find(name: str) -> type[CataloguePolicy]:
    if name not in _CATALOGUE:
        raise ValueError(f"no policy {name[:80]!r}; there are {', '.join(names())}")
    return _CATALOGUE[name]
