"""Every option of ``flyball bench slo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...policies.slo import check_field
from ..options import EngineOptions

ENGINES: Final = ("vllm", "simulator")
LOADS: Final = (0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5)
SCALES: Final = (0.8, 1.0, 1.2)


@dataclass(frozen=True, kw_only=True)
class SloOptions(EngineOptions):
    """Every option of the benchmark."""

    engine: str = "simulator"
    """vllm: the live engine with the embedded models; simulator: in virtual time"""
    traces: tuple[Path, ...] = ()
    """of arrivals and lengths; at least one"""
    seeds: int = 5
    """of the traffic, on the simulator, each a window of the trace of its own; 1 with quick"""
    seconds: float | None = None
    """of every window; 600 by default, 120 with quick"""
    loads: tuple[float, ...] = ()
    """of the traffic, over what the engine serves without speculation"""
    scales: tuple[float, ...] = SCALES
    """of the tight objective per output token, over its 90th percentile without speculation"""
    tpot_ms: float | None = None
    """the tight objective per output token instead, milliseconds"""
    ttft_ms: float = 1000.0
    """the tight objective to the first token, milliseconds"""
    folder: Path = Path("runs/bench-slo")
    """for the logs of a live run"""
    profile: Path | None = None
    """file of `flyball profile`: the simulated engine is of it"""
    plots: Path | None = None
    """folder for the plots"""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")
        if not self.traces:
            raise ValueError("bench slo needs arrivals: name at least one file with --trace")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.seconds is not None and not 30 <= self.seconds <= 86400:
            raise ValueError(f"seconds must be in [30, 86400], not {self.seconds}")
        if not all(0.05 <= load <= 10.0 for load in self.loads):
            raise ValueError(f"loads must be in [0.05, 10], not {self.loads}")
        if not all(0.1 <= scale <= 10.0 for scale in self.scales):
            raise ValueError(f"scales must be in [0.1, 10], not {self.scales}")
        check_field("ttft_ms", self.ttft_ms)
        if self.tpot_ms is not None:
            check_field("tpot_ms", self.tpot_ms)

    @property
    def sized_seconds(self) -> float:
        """Of every window."""
        return self.seconds or (120.0 if self.quick else 600.0)

    @property
    def sized_seeds(self) -> int:
        """Of the traffic."""
        return 1 if self.quick else self.seeds

    @property
    def sized_loads(self) -> tuple[float, ...]:
        """Ascending."""
        return tuple(sorted({*self.loads})) or ((0.5, 0.9, 1.25) if self.quick else LOADS)
