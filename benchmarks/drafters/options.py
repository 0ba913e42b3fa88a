"""Every option of ``flyball bench drafters``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..arms import PHASES, Phase
from ..options import EngineOptions

_QUICK_PHASES = tuple(phase for phase in PHASES if phase.concurrency == 4)


@dataclass(frozen=True, kw_only=True)
class DraftersOptions(EngineOptions):
    """Every option of the benchmark."""

    k_max: int = 8
    """greatest depth, tokens"""
    rounds: int = 4
    """visits to every phase and blocks of sessions, those of a resumed run among them; 1 with
    quick"""
    cold: float = 60.0
    """seconds that the learned choice serves before anything is compared; 8 with quick"""
    resume: Path | None = None
    """file of what an earlier run measured, to go on with"""
    folder: Path = Path("runs/bench-drafters")
    """for the logs and for what was measured"""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, not {self.rounds}")
        if not 0.0 <= self.cold <= 3600.0:
            raise ValueError(f"cold must be in [0, 3600] seconds, not {self.cold}")

    @property
    def sized_rounds(self) -> int:
        """Visits to every phase."""
        return 1 if self.quick else self.rounds

    @property
    def sized_cold(self) -> float:
        """Seconds of learning before anything is compared."""
        return 8.0 if self.quick else self.cold

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Kinds of traffic."""
        return _QUICK_PHASES if self.quick else PHASES
