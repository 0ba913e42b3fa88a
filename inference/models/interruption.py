"""Ctrl-C and SIGTERM, taken note of at once and acted on between two steps.

A signal's exception in the middle of a step, or of writing a checkpoint, could leave either half
done; so signals only leave a mark, and the loops ask for it where everything is whole.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_marks: list[int] = []


@contextmanager
def deferred() -> Iterator[None]:
    """Hold signals back in this block until `check` is called; main thread only."""
    _marks.clear()
    before = {number: signal.signal(number, _mark) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _marks.clear()


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come."""
    if _marks:
        raise KeyboardInterrupt(f"signal {_marks[0]}")


def _mark(number: int, _frame: FrameType | None) -> None:
    if _marks:  # the second time, at once
        raise KeyboardInterrupt(f"signal {number}")
    _marks.append(number)
