"""What the log of an engine that did not start says of the reason."""

from __future__ import annotations

import re
from typing import Final

_FAILURE: Final = r"(?P<said>[\w.]*(?:Error|Exception): .+)"
_LEVEL: Final = r"\bERROR \d\d-\d\d [^]]*\] "

_TELLING: Final = tuple(
    re.compile(pattern)
    for pattern in (
        _LEVEL + _FAILURE,  # the first process that failed; the others fail because of it
        r"^(?P<said>\S+: error: .+)",  # an argument
        r"^(?:\([^)]*\) )?" + _FAILURE,
        _LEVEL + r"(?P<said>.+)",
    )
)
"""Forms of a line that says why, the most telling first."""


def cause(log: str) -> str:
    """The line that says why an engine failed; "" where there is none.

    vLLM runs in several processes, and each that ends drags the next along: the first exception
    is the reason, the last one only says that there was one.

    Args:
        log: output of one start.
    """
    lines = log.splitlines()
    for form in _TELLING:
        for line in lines:
            found = form.search(line)
            if found is not None:
                return found["said"].strip()
    return ""
