"""AdaSpec's verification (2025, arXiv 2503.05096), compiled.

As in its released code: where a batch of the next smaller CUDA graph is more efficient, expected
tokens over expected seconds, requests are left without any draft, the least confident first, until
it fits. Its branch for objectives, commented out in the release, skips what takes longer than
one constant.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiling import compiled
from .transition import Floats

Integers = npt.NDArray[np.int64]


@compiled
def verify(
    alive: Floats, depth: int, seconds: Floats, factor: float, limit: float, lengths: Integers
) -> None:
    """Settle how many drafts are verified: of each request all or none.

    Args:
        alive: confidence that positions 1..j are all accepted, shape (n, D).
        depth: that was drafted, at most D.
        seconds: of a step without drafts, per pass of the drafter, per position verified.
        factor: on the sum of those.
        limit: most seconds of a step; infinite for any.
        lengths: written: drafts to verify, shape (n,).
    """
    n = len(alive)
    lengths[:] = depth
    if depth == 0:
        return
    tokens = n + alive[:, :depth].sum()
    total = n * (1 + depth)
    took = (seconds[0] + seconds[1] * depth + seconds[2] * (total - n)) * factor
    best = 0.0 if took > limit else tokens / took
    by = np.argsort(alive[:, depth - 1])
    emptied = chosen = 0
    size = total
    while size > n and emptied < n:
        size = _smaller(size)
        while emptied < n and total > size:
            tokens -= alive[by[emptied], :depth].sum()
            total -= depth
            emptied += 1
        took = (seconds[0] + seconds[1] * depth + seconds[2] * (total - n)) * factor
        if total <= size and took <= limit and tokens / took > best:
            best = tokens / took
            chosen = emptied
    for b in range(chosen):
        lengths[by[b]] = 0


@compiled
def _smaller(size: int) -> int:
    """The next smaller batch that CUDA graphs are made for: 1, 2, 4, then multiples of 8."""
    if size > 8:
        return (size - 1) // 8 * 8
    return 4 if size > 4 else size // 2
