"""Arrival traces of production services, read from their publishers' files.

Three formats, told apart by their content:

- Azure LLM inference traces (Patel et al. 2024): CSV with ``TIMESTAMP``, ``ContextTokens`` and
  ``GeneratedTokens``, times as dates;
- BurstGPT (Wang et al. 2024): CSV with ``Timestamp`` in seconds, ``Request tokens`` and
  ``Response tokens``;
- Mooncake (Qin et al. 2024): JSON lines with ``timestamp`` in milliseconds, ``input_length`` and
  ``output_length``.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

from ...policies.transition import Floats

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival.

    Attributes:
        arrivals: seconds, from 0, never decreasing, float64 of shape (n,).
        context: prompt tokens, int64 of shape (n,).
        generated: tokens generated, int64 of shape (n,).
        name: what it is called in results.
    """

    arrivals: Floats
    context: Integers
    generated: Integers
    name: str = "trace"

    def __len__(self) -> int:
        return len(self.arrivals)


class TraceError(ValueError):
    """A trace that cannot be used, with the line and the reason."""


class _Format(NamedTuple):
    """How one publisher writes: names of the three columns, and how to read a time."""

    name: str
    time: str
    context: str
    generated: str
    seconds: Callable[[Any], float]

    @property
    def columns(self) -> tuple[str, str, str]:
        return self.time, self.context, self.generated


def read_trace(
    path: str | Path,
    *,
    rate: float = 1.0,
    requests: int | None = None,
    max_context: int | None = None,
    max_generated: int | None = None,
) -> Trace:
    """Read a trace in any of the three formats.

    Args:
        path: of the file.
        rate: how many times as fast requests arrive: 2.0 halves the time between them.
        requests: read only so many, from the start; None for all.
        max_context: longer prompts are cut to so many tokens; None leaves them.
        max_generated: the same of what is generated.

    Raises:
        TraceError: naming the line and what is wrong with it; it is a ValueError.
        OSError: if the file cannot be read.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate must be a number above 0, not {rate}")
    for name, bound in (("max_context", max_context), ("max_generated", max_generated)):
        if bound is not None and bound < 1:
            raise ValueError(f"{name} must be at least 1 token, not {bound}")
    if requests is not None and requests < 1:
        raise ValueError(f"requests must be at least 1, not {requests}")
    path = Path(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = list(itertools.islice(_checked(_rows(file)), requests))
        except TraceError as e:
            raise TraceError(f"{path}, {e}") from None
        except (UnicodeDecodeError, csv.Error) as e:
            raise TraceError(f"{path} is not a text file with a trace: {e}") from None
    if not rows:
        raise TraceError(f"{path} holds no requests")
    table = np.array(rows, np.float64)
    return Trace(
        (table[:, 0] - table[0, 0]) / rate,
        np.minimum(table[:, 1], max_context or np.inf).astype(np.int64),
        np.minimum(table[:, 2], max_generated or np.inf).astype(np.int64),
        path.stem,
    )


_Row = tuple[float, int, int]


def _rows(file: TextIO) -> Iterator[tuple[int, _Row]]:
    """Line number and values of every request, in whatever format the file is."""
    start = file.read(1)
    file.seek(0)
    return _json_rows(file) if start == "{" else _csv_rows(file)


def _checked(rows: Iterator[tuple[int, _Row]]) -> Iterator[_Row]:
    before, line_before = -math.inf, 0
    for line, row in rows:
        if row[0] < before:
            raise TraceError(
                f"line {line}: arrives {before - row[0]:g} s before the request on line "
                f"{line_before}; requests must be sorted by time"
            )
        before, line_before = row[0], line
        yield row


def _csv_rows(file: TextIO) -> Iterator[tuple[int, _Row]]:
    reader = csv.reader(file)
    header = [name.strip() for name in next(reader, [])]
    if not header:
        return
    form = _format(header)
    places = [header.index(name) for name in form.columns]
    for cells in reader:
        if not cells:
            continue
        if len(cells) <= max(places):
            raise TraceError(f"line {reader.line_num}: {len(cells)} columns, not {len(header)}")
        yield reader.line_num, _row(form, [cells[i] for i in places], reader.line_num)


def _json_rows(file: TextIO) -> Iterator[tuple[int, _Row]]:
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except ValueError as e:
            raise TraceError(f"line {line}: not JSON: {e}") from None
        missing = [c for c in _MOONCAKE.columns if not isinstance(value, dict) or c not in value]
        if missing:
            raise TraceError(f"line {line}: {' and '.join(missing)} missing")
        yield line, _row(_MOONCAKE, [value[c] for c in _MOONCAKE.columns], line)


def _row(form: _Format, values: list[Any], line: int) -> _Row:
    try:
        seconds = form.seconds(values[0])
    except (ValueError, TypeError, OverflowError):
        raise TraceError(f"line {line}: {form.time} is no time: {values[0]!r}") from None
    return (
        seconds,
        _length(values[1], form.context, line),
        _length(values[2], form.generated, line),
    )


def _length(value: Any, name: str, line: int) -> int:
    try:
        length = _number(value)
    except (ValueError, TypeError, OverflowError):
        raise TraceError(f"line {line}: {name} is not a number: {value!r}") from None
    if length < 0:
        raise TraceError(f"line {line}: {name} is negative: {value}")
    if length != int(length) or length > _LONGEST:
        raise TraceError(
            f"line {line}: {name} must be a whole number up to {_LONGEST}, not {value}"
        )
    return int(length)


_LONGEST: Final = 10**9


def _number(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError: if it is none.
        TypeError: the same.
    """
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _date(value: str) -> float:
    # Only differences matter, so a time without a zone may stand for one in UTC.
    date = datetime.fromisoformat(value.strip())
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


_AZURE: Final = _Format("Azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", _date)
_BURST: Final = _Format("BurstGPT", "Timestamp", "Request tokens", "Response tokens", _number)
_MOONCAKE: Final = _Format(
    "Mooncake", "timestamp", "input_length", "output_length", lambda x: _number(x) / 1e3
)


def _format(header: list[str]) -> _Format:
    """The CSV format that a header names."""
    best = max((_AZURE, _BURST), key=lambda form: len({*form.columns} & {*header}))
    missing = [name for name in best.columns if name not in header]
    if not missing:
        return best
    if len(missing) < len(best.columns):
        raise TraceError(
            f"line 1: a trace in the {best.name} format needs the columns "
            f"{', '.join(best.columns)}; missing: {', '.join(missing)}"
        )
    known = "; ".join(f"{', '.join(f.columns)} ({f.name})" for f in (_AZURE, _BURST))
    raise TraceError(
        f"line 1: not a trace: its columns are {', '.join(header)[:200]}. Known are CSV with "
        f"{known}, and JSON lines with {', '.join(_MOONCAKE.columns)} ({_MOONCAKE.name})"
    )
