"""flyball inside vLLM. Nothing here imports vLLM until a scheduler class is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scheduler import GovernedAsyncScheduler, GovernedScheduler

__all__ = ["GovernedAsyncScheduler", "GovernedScheduler"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import scheduler

        return getattr(scheduler, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
