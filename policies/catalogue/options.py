"""Options of policies: declared as typed fields, read from text, explained to people."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import Meta

Objective = Literal["J", "throughput"]
"""What a policy goes by: our objective at the speed of the decision, or tokens per second."""

OfObjective = Annotated[
    Objective,
    Meta(description="J or throughput: speed x latency + (1 - speed) x cost, or tokens per second"),
]


class Options(msgspec.Struct, frozen=True):
    """The options of a policy; every field says in its description what it may be."""


class Explained(NamedTuple):
    """One option, for people: its name, its default and what it may be."""

    name: str
    default: Any
    about: str


_Kind = TypeVar("_Kind", bound=Options)


def explain(kind: type[Options]) -> list[Explained]:
    """What options there are."""
    fields = msgspec.structs.fields(kind)
    return [Explained(f.name, f.default, _about(f.type)) for f in fields]


def read(policy: str, kind: type[_Kind], query: str) -> _Kind:
    """Options from text such as ``c=0.5&objective=J``.

    Args:
        policy: name of the policy, for messages.
        kind: the options that it has.
        query: what was given; "" for all defaults.

    Raises:
        ValueError: naming the option, its value and what it may be.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, _, text = part.partition("=")
        if name not in fields:
            raise ValueError(f"policy {policy!r} has no option {part[:80]!r}; {_listed(kind)}")
        if name in values:
            raise ValueError(f"policy {policy!r}: option {name!r} is given twice")
        values[name] = _value(policy, name, text, fields[name].type)
    return kind(**values)


def refusal(policy: str, name: str, value: object, wanted: str) -> ValueError:
    """The error that says that an option's value will not do."""
    return ValueError(f"policy {policy!r}: option {name}={str(value)[:80]!r} must be {wanted}")


def _value(policy: str, name: str, text: str, kind: Any) -> Any:
    try:
        value = msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise refusal(policy, name, text, _about(kind)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise refusal(policy, name, text, _about(kind))
    return value


def _about(kind: Any) -> str:
    """The description in an annotated type."""
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def _listed(kind: type[Options]) -> str:
    options = [f"{option.name} ({option.about})" for option in explain(kind)]
    return "there are " + ", ".join(options) if options else "it has none"
