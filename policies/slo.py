"""Service-level objectives of requests: what they may be, by name or one by one.

A request may promise its client a time to first token (TTFT), a mean time per output token after
the first (TPOT), and a deadline for its last token. All are measured from its arrival.
"""

from __future__ import annotations

import math
import re
import reprlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


class SloError(ValueError):
    """An objective that makes no sense, with its field's name and what is allowed.

    Attributes:
        field: what is wrong, as it was written where it comes from; "" for no single one.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Slo:
    """The objectives of one request, seconds; infinite where it has none.

    Attributes:
        ttft: from arrival to the first token.
        tpot: per output token after the first, mean over the request.
        deadline: from arrival to the last token.
        name: of the class that it is counted in; "" for none.
    """

    ttft: float = math.inf
    tpot: float = math.inf
    deadline: float = math.inf
    name: str = ""

    @property
    def bound(self) -> bool:
        """Whether there is any objective."""
        return min(self.ttft, self.tpot, self.deadline) < math.inf


NO_SLO: Final = Slo()

OBJECTIVES: Final = ("ttft", "tpot", "deadline")
"""Names of the objectives, in the order of ``Slo``."""

BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "ttft_ms": (1.0, 86_400_000.0),
    "tpot_ms": (0.1, 600_000.0),
    "deadline_ms": (1.0, 86_400_000.0),
}
"""Fields of an objective, and least and greatest milliseconds."""


def check_field(name: str, value: object, shown: str | None = None) -> float:
    """One field of an objective from outside, in seconds.

    Args:
        name: one of ``BOUNDS``.
        value: a number, or text that is one.
        shown: what the field is called where the value comes from, if otherwise.

    Raises:
        SloError: naming the field and what is allowed.
    """
    low, high = BOUNDS[name]
    if not low <= (number := _number(value)) <= high:
        shown = shown or name
        raise SloError(
            f"{shown} must be a number of milliseconds from {low:g} to {high:,.0f}, "
            f"not {show(value)}",
            shown,
        )
    return number / 1e3


def show(value: object) -> str:
    """A value from outside in a few words."""
    # Python refuses to write out an integer of thousands of digits.
    if isinstance(value, int) and abs(value) > _HUGE:
        return "a huge integer"
    return reprlib.repr(value)


def _number(value: object) -> float:
    """A number or a text that is one; NaN, which is in no range, for all else."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return math.nan  # such as "1_000" and digits of other scripts, which Python would take
    try:
        return math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan


_HUGE: Final = 10**30
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def make_slo(fields: Mapping[str, object], base: Slo = NO_SLO) -> Slo:
    """Objectives from fields such as ``{"ttft_ms": 500}``; those not given are the base's.

    Raises:
        SloError: naming the field and what is allowed.
    """
    unknown = sorted({*map(str, fields)} - {*BOUNDS})
    if unknown:
        name = unknown[0][:80]
        raise SloError(f"no objective {name!r}; there are {', '.join(BOUNDS)}", name)
    seconds = {name: check_field(name, value) for name, value in fields.items()}
    return Slo(
        ttft=seconds.get("ttft_ms", base.ttft),
        tpot=seconds.get("tpot_ms", base.tpot),
        deadline=seconds.get("deadline_ms", base.deadline),
        name=base.name,
    )


MOST_CLASSES: Final = 32
"""Classes there can be: each is counted on its own."""

_NAME: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)  # fit for a header and a label


@dataclass(frozen=True)
class SloClasses:
    """Classes of objectives by name.

    Attributes:
        classes: the objectives of each.
    """

    classes: Mapping[str, Slo] = field(default_factory=dict)

    def get(self, name: object, shown: str = "") -> Slo:
        """A class by its name.

        Args:
            name: of the class.
            shown: what the field is called where the name comes from.

        Raises:
            SloError: listing the names that exist.
        """
        if isinstance(name, str) and name in self.classes:
            return self.classes[name]
        names = ", ".join(self.classes) or "none"
        where = f"{shown}: " if shown else ""
        raise SloError(f"{where}no SLO class {show(name)}; there are: {names}", shown)


def is_class_name(name: str) -> bool:
    """Whether an SLO class may be called so."""
    return bool(_NAME.fullmatch(name))


def parse_classes(table: Mapping[str, object]) -> SloClasses:
    """Classes from a table of tables, such as ``{"chat": {"ttft_ms": 500, "tpot_ms": 50}}``.

    Raises:
        SloError: naming the class and the field.
    """
    if len(table) > MOST_CLASSES:
        raise SloError(f"there can be {MOST_CLASSES} SLO classes, not {len(table)}")
    found = {}
    for name, fields in table.items():
        if not is_class_name(name):
            raise SloError(
                f"a name of an SLO class has 1 to 64 letters, digits or any of _ . : -, "
                f"not {reprlib.repr(name)}"
            )
        if not isinstance(fields, Mapping):
            raise SloError(f"SLO class {name!r} must be a table of {', '.join(BOUNDS)}")
        try:
            found[name] = make_slo(fields, Slo(name=name))
        except SloError as e:
            raise SloError(f"SLO class {name!r}: {e}") from None
    return SloClasses(found)


def load_classes(path: Path) -> SloClasses:
    """Classes from a TOML file with one table per class.

    Raises:
        SloError: naming the file and what is wrong with it.
    """
    try:
        return parse_classes(tomllib.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as e:  # of the text, the TOML or the objectives
        raise SloError(f"{path}: {e}") from None


DEFAULT_CLASSES: Final = parse_classes(
    {
        "tight": {"ttft_ms": 1000, "tpot_ms": 50},
        "loose": {"ttft_ms": 5000, "tpot_ms": 150},
        "none": {},
    }
)
"""Classes where nobody configured others."""
