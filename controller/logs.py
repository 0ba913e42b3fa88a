"""The one logger's one format."""

from __future__ import annotations

import logging
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")


def set_up(level: str) -> None:
    """Write ``flyball``'s log to standard error.

    Raises:
        ValueError: if there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"--log-level must be one of {', '.join(LEVELS)}, not {level!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger = logging.getLogger("flyball")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
