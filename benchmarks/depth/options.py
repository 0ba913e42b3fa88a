"""Every option of ``flyball bench depth``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..options import EngineOptions
from .figures import WARM

ENGINES: Final = ("vllm", "simulator")
PEERS: Final = ("table", "goodput", "adaspec", "hysteresis", "ucb", "thompson", "linucb")
"""Every other policy that is compared, unless others are named."""

_SPEEDS: Final = (0.0, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class DepthOptions(EngineOptions):
    """Every option of the benchmark."""

    engine: str = "simulator"
    """vllm: the live engine with the embedded models; simulator: in virtual time"""
    policies: tuple[str, ...] = PEERS
    """that are compared with ours, beside off and every fixed depth"""
    seeds: int = 5
    """of the traffic, on the simulator; 1 with quick"""
    traces: tuple[Path, ...] = ()
    """of arrivals, for the simulator; without any, load and content change on a small engine"""
    seconds: float | None = None
    """of every trace, or of the changing load; 120 with quick"""
    rounds: int = 4
    """visits to every phase, live, those that are resumed among them; 1 with quick"""
    speeds: tuple[float, ...] = ()
    """of ours, live; 0, 0.5 and 1 by default, 1 with quick"""
    cold: float | None = None
    """seconds that every policy that learns decides before it is compared, live; 120 by default,
    20 with quick"""
    guard: bool = False
    """whether ours is under its guard, live: what it does is then the guard's doing as well"""
    resume: Path | None = None
    """record of an earlier live run, which is gone on with; nothing is started if it is whole"""
    folder: Path = Path("runs/bench-depth")
    """for the record and the logs of a live run"""
    profile: Path | None = None
    """file of `flyball profile`: the simulated engine is of it, its error among the figures"""
    plots: Path | None = None
    """folder for the plots"""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        if self.engine != "simulator" and WARM in self.policies:
            raise ValueError(f"{WARM} is compared on the simulator alone")
        if self.seeds < 1 or self.rounds < 1:
            raise ValueError("seeds and rounds must be at least 1")
        if self.seconds is not None and not self.seconds >= 60:
            raise ValueError(f"seconds must be at least 60, not {self.seconds}")
        if not all(0.0 <= speed <= 1.0 for speed in self.speeds):
            raise ValueError(f"speeds must be in [0, 1], not {self.speeds}")
        if self.cold is not None and not 0.0 <= self.cold <= 3600.0:
            raise ValueError(f"cold must be in [0, 3600] seconds, not {self.cold}")
        if self.resume is not None and self.engine != "vllm":
            raise ValueError("only a live run, --engine vllm, is resumed")

    @property
    def sized_rounds(self) -> int:
        """Visits to every phase."""
        return 1 if self.quick else self.rounds

    @property
    def sized_speeds(self) -> tuple[float, ...]:
        """Of ours on the live engine, ascending."""
        return tuple(sorted(set(self.speeds))) or ((1.0,) if self.quick else _SPEEDS)

    @property
    def sized_cold(self) -> float:
        """Seconds of a cold start."""
        if self.cold is not None:
            return self.cold
        return 20.0 if self.quick else 120.0
