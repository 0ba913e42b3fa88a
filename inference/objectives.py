"""Objectives of requests as they travel: headers, ``vllm_xargs``, and what came of them.

A client says what it needs in headers or in ``vllm_xargs``; what was resolved from them travels on
to the engine in ``vllm_xargs``. What the engine says back when the request ends is its verdict.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final

from ..policies.slo import BOUNDS, NO_SLO, Slo, SloClasses, SloError, check_field

HEADERS: Final[Mapping[str, str]] = {
    "x-slo-ttft-ms": "ttft_ms",
    "x-slo-tpot-ms": "tpot_ms",
    "x-slo-deadline-ms": "deadline_ms",
    "x-slo-class": "class",
}
"""Request headers, and the field that each gives."""

PREFIX: Final = "flyball_slo_"

ARGUMENTS: Final[Mapping[str, str]] = {PREFIX + field: field for field in (*BOUNDS, "class")}
"""Names in ``vllm_xargs``, and the field that each gives."""

SERVED: Final = "x-slo-served"
"""Response header, or comment of a stream, that says how a request was served."""

VERDICT: Final = "flyball"
"""Key of the engine's verdict in the ``kv_transfer_params`` of a request that ended."""


def resolve(
    headers: Mapping[str, str], arguments: Mapping[str, object], classes: SloClasses
) -> Slo:
    """The objectives that a client asks for.

    Field by field, headers win over arguments; a class gives defaults, which single fields
    override. Everything is checked, what is overridden too.

    Args:
        headers: those of ``HEADERS``, names in lower case.
        arguments: what in ``vllm_xargs`` begins with ``PREFIX``.
        classes: those that exist.

    Raises:
        SloError: naming the field as the client wrote it, and what is allowed.
    """
    base, name = NO_SLO, ""
    seconds: dict[str, float] = {}
    for written, value in (*arguments.items(), *headers.items()):
        field = HEADERS.get(written) or ARGUMENTS.get(written)
        if field is None:
            names = ", ".join(ARGUMENTS)
            raise SloError(f"no objective {written[:80]!r}; there are {names}", written[:80])
        if field == "class":
            base = classes.get(value, written)
            name = base.name
        else:
            seconds[field] = check_field(field, value, written)
    return Slo(
        ttft=seconds.get("ttft_ms", base.ttft),
        tpot=seconds.get("tpot_ms", base.tpot),
        deadline=seconds.get("deadline_ms", base.deadline),
        name=name,
    )


def as_arguments(slo: Slo) -> dict[str, str | float]:
    """Objectives as ``vllm_xargs``."""
    return {PREFIX + field: value for field, value in _fields(slo)}


def as_headers(slo: Slo) -> dict[str, str]:
    """Objectives as request headers."""
    fields = dict(_fields(slo))
    return {header: str(fields[field]) for header, field in HEADERS.items() if field in fields}


def _fields(slo: Slo) -> Iterable[tuple[str, str | float]]:
    times = {"ttft_ms": slo.ttft, "tpot_ms": slo.tpot, "deadline_ms": slo.deadline}
    for field, seconds in times.items():
        if seconds < math.inf:
            yield field, round(1e3 * seconds, 6)  # to the digit that was written
    if slo.name:
        yield "class", slo.name


def verdict(missed: str) -> dict[str, str]:
    """What the engine says of a request that ended.

    Args:
        missed: objectives that were given up or missed, joined by ``+``; "" for none.
    """
    return {"slo": "best effort", "missed": missed} if missed else {"slo": "met"}


def with_verdict(parameters: dict[str, Any] | None, missed: str) -> dict[str, Any]:
    """A request's ``kv_transfer_params`` with the verdict in them.

    A new dictionary: a KV connector may keep its own.

    Args:
        parameters: those there were; None for none.
        missed: as ``verdict`` takes it.
    """
    return {**(parameters or {}), VERDICT: verdict(missed)}


def without_verdict(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """A request's ``kv_transfer_params`` as they were before the verdict."""
    return {key: value for key, value in parameters.items() if key != VERDICT} or None


class Verdict:
    """What is known of how a request was served; one may have several parts, such as choices.

    Attributes:
        wanted: whether the request has objectives.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._missed: dict[Hashable, str] = {}  # by part

    @property
    def known(self) -> bool:
        """Whether the engine said anything."""
        return bool(self._missed)

    def hear(self, part: Hashable, said: object) -> None:
        """Take the engine's latest verdict on one part; what is none is passed over."""
        if isinstance(said, Mapping) and said.get("slo") in {"met", "best effort"}:
            self._missed[part] = str(said.get("missed", ""))

    def __str__(self) -> str:
        names = dict.fromkeys(name for each in self._missed.values() for name in each.split("+"))
        missed = "+".join(filter(None, names))
        return f"best-effort; missed={missed}" if missed else "met"
