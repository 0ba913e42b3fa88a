"""Comparing token lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BLOCK: Final = 128


def common(left: Sequence[int], right: Sequence[int], start: int = 0) -> int:
    """Length of the longest prefix that two lists share.

    Args:
        left: tokens.
        right: tokens.
        start: so many are known to be shared.
    """
    shortest = min(len(left), len(right))
    # Block by block, as lists of their own: the comparison is then the interpreter's.
    while start < shortest and (
        list(left[start : start + _BLOCK]) == list(right[start : start + _BLOCK])
    ):
        start += _BLOCK
    start = min(start, shortest)
    while start < shortest and left[start] == right[start]:
        start += 1
    return start
