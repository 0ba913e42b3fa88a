"""flyball inside vLLM. Nothing here imports vLLM until one of its classes is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .scheduler import GovernedAsyncScheduler, GovernedScheduler
    from .slo_middleware import SloMiddleware
    from .worker import DraftingWorker

__all__ = ["DraftingWorker", "GovernedAsyncScheduler", "GovernedScheduler", "SloMiddleware"]

_MODULES: Final = {
    "DraftingWorker": "worker",
    "GovernedAsyncScheduler": "scheduler",
    "GovernedScheduler": "scheduler",
    "SloMiddleware": "slo_middleware",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
