"""What all parts of the suffix memory agree on: how tokens are kept, and how matches are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint32]
"""Ids of tokens, shape (n,)."""
Integers = npt.NDArray[np.int64]
Whole = int | np.int64
"""In compiled code: a number of an array, which must not stay unsigned, is a ``np.int64``."""

BOUNDARY: Final = 0xFFFFFFFF
"""Stands before every document in a memory; no token has this id."""
LONGEST: Final = 64
"""Matches are told apart up to this length, tokens."""
AHEAD: Final = 32
"""The longest draft, tokens."""

OWN, SESSION, STORE = 0, 1, 2
"""Where a match is: in the request itself, in its session, elsewhere in its tenant's store."""
SOURCES: Final = 3

OWN_DOCUMENT: Final = -1
"""In the place of a document's session: the document is the request itself."""
NO_SESSION: Final = 0


def as_tokens(tokens: Sequence[int]) -> Tokens:
    """Ids as an array.

    Raises:
        ValueError: if something is no id of a token: negative, or not below ``BOUNDARY``.
    """
    wide = np.asarray(tokens, np.int64)
    if wide.size and not 0 <= int(wide.min()) <= int(wide.max()) < BOUNDARY:
        raise ValueError(f"ids of tokens are 0 to {BOUNDARY - 1}, got {wide.min()} to {wide.max()}")
    return wide.astype(np.uint32)
