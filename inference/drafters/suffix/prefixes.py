"""Which beginnings of documents a memory holds already, so that each is kept once.

A conversation's next request begins with all of the last one, and requests of one application
begin with the same instructions. Blocks are known by a hash of all tokens up to their end, as in
prefix caching, and so are whole documents, whose ends are no block.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ....policies.compiling import compiled
from .tokens import Tokens

Hashes = npt.NDArray[np.uint64]

BLOCK: Final = 32
"""Tokens per hash."""
OVERLAP: Final = 16
"""Tokens known already that are kept again before new ones, for these to be found by."""


@compiled
def prefixes(tokens: Tokens) -> Hashes:
    """Hashes of the tokens up to the end of each whole block, then of all: (n // BLOCK + 1,)."""
    found = np.empty(len(tokens) // BLOCK + 1, np.uint64)
    mixed = np.uint64(0)
    for at in range(len(tokens)):
        mixed = (mixed ^ np.uint64(tokens[at])) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        if (at + 1) % BLOCK == 0:
            found[at // BLOCK] = mixed
    found[-1] = mixed
    return found
