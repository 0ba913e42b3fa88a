"""Every option of ``flyball bench plan``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENGINES: Final = ("replay", "live")
LIMITS: Final = (2, 4, 8)

_SEEDS: Final = 5
_QUICK_TASKS: Final = (30, 60)
_TASKS: Final = (60, 100)


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Every option of the benchmark."""

    quick: bool = False
    """a rough answer in about a minute"""
    seed: int = 0
    """of everything random"""
    engine: str = "replay"
    """replay: recorded and generated plans, run by the planner in virtual time; live: the embedded
    models, served by two engines"""
    traces: tuple[Path, ...] = ()
    """a planning trace; without one, generated plans alone"""
    seeds: int = _SEEDS
    """of generated tasks and of the trace's order; 1 with quick"""
    workers: int = 2
    """processes"""
    tasks: int | None = None
    """live: of all difficulties in turn; 100 by default, 20 with quick"""
    plots: Path | None = None
    """folder for the plots"""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        if len(self.traces) > 1:
            raise ValueError("bench plan takes one planning trace: name one file with --trace")
        if self.seeds < 1 or self.workers < 1:
            raise ValueError("seeds and workers must be at least 1")
        self._check_engine()

    def _check_engine(self) -> None:
        """Refuse what the engine would leave unused."""
        if self.engine == "live" and (self.traces or self.seeds != _SEEDS):
            raise ValueError("--trace and --seeds are for --engine replay, not for live")
        if self.engine != "live" and self.tasks is not None:
            raise ValueError(f"--tasks is for --engine live, not for {self.engine}")
        if self.tasks is not None and self.tasks < 1:
            raise ValueError(f"tasks must be at least 1, not {self.tasks}")

    @property
    def sized_live_tasks(self) -> int:
        """Tasks that every arm runs on live engines."""
        return self.tasks if self.tasks is not None else 20 if self.quick else 100

    @property
    def sized_seeds(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(self.seed + i for i in range(1 if self.quick else self.seeds))

    @property
    def sized_tasks(self) -> tuple[int, int]:
        """Generated tasks that policies learn from before anything counts, and those that count."""
        return _QUICK_TASKS if self.quick else _TASKS

    @property
    def fewer_seeds(self) -> tuple[int, ...]:
        """Those for which less is varied, too: limited calls, and tasks that do not come back."""
        return self.sized_seeds[:1]

    @property
    def sized_limits(self) -> tuple[int, ...]:
        """Calls that may run at a time, where they are limited."""
        return (4,) if self.quick else LIMITS
