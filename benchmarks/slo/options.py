"""Every option of ``flyball bench slo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...inference.simulator.presets import EMBEDDED, GPU_7B, PRESETS
from ...policies.slo import Slo, check_field
from ..options import EngineOptions
from .promises import promises

ENGINES: Final = ("vllm", "simulator")
LOADS: Final = (0.25, 0.5, 0.75, 0.9, 1.0, 1.25, 1.5)
SCALES: Final = (0.8, 1.0, 1.2)

_QUICK_LOADS: Final = (0.5, 0.9, 1.25)
_LIVE_LOADS: Final = (0.9,)
_LIVE_SEEDS: Final = (40, 10)  # of a live run in virtual time, and with quick
_SEEDS: Final = (5, 1)
_SHORTEST: Final = {"vllm": 10.0, "simulator": 30.0}  # seconds
_USUAL: Final = {"vllm": (60.0, 15.0), "simulator": (600.0, 120.0)}  # seconds, and with quick
_LIVE_SECONDS: Final = 20.0  # of a live run's windows, in virtual time


@dataclass(frozen=True, kw_only=True)
class SloOptions(EngineOptions):
    """Every option of the benchmark."""

    engine: str = "simulator"
    """vllm: the live engine with the embedded models; simulator: in virtual time"""
    traces: tuple[Path, ...] = ()
    """of arrivals and lengths; at least one"""
    preset: str | None = None
    """of the simulated engine, one of ``simulator.presets``; gpu-7b by default. embedded: a live
    run in virtual time, with a live run's lengths and windows"""
    seeds: int | None = None
    """of the traffic, on the simulator, each a window of the trace of its own; 5 by default, 1 with
    quick, and 40 or 10 of a live run in virtual time"""
    seconds: float | None = None
    """of every window, simulated: 600 by default, 120 with quick, and 20 of a live run in virtual
    time; live of every arm at every load and scale, all rounds together: 60, or 15"""
    rounds: int = 4
    """turns of every arm, live, each with requests of its own; 1 with quick"""
    k_max: int = 7
    """greatest depth of a live engine, tokens"""
    loads: tuple[float, ...] = ()
    """of the traffic, over what the engine serves without speculation; live 0.9 by default"""
    scales: tuple[float, ...] = ()
    """of the tight objective per output token, over its 90th percentile without speculation; 0.8, 1
    and 1.2 by default, live 1; not with tpot_ms"""
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
        if self.preset is not None:
            self._check_preset(self.preset)
        if (self.seeds is not None and self.seeds < 1) or self.rounds < 1:
            raise ValueError("seeds and rounds must be at least 1")
        least = _SHORTEST["vllm" if self.lifelike else self.engine]
        if self.seconds is not None and not least <= self.seconds <= 86400:
            raise ValueError(f"seconds must be in [{least:g}, 86400], not {self.seconds}")
        if not all(0.05 <= load <= 10.0 for load in self.loads):
            raise ValueError(f"loads must be in [0.05, 10], not {self.loads}")
        if not all(0.1 <= scale <= 10.0 for scale in self.scales):
            raise ValueError(f"scales must be in [0.1, 10], not {self.scales}")
        self._check_objectives()

    def _check_objectives(self) -> None:
        check_field("ttft_ms", self.ttft_ms, "--ttft-ms")
        if self.tpot_ms is None:
            return
        check_field("tpot_ms", self.tpot_ms, "--tpot-ms")
        if self.scales:
            raise ValueError("--scales is of no use with --tpot-ms, which is the objective itself")

    def _check_preset(self, name: str) -> None:
        if name not in PRESETS:
            raise ValueError(f"no simulated engine {name!r}; there are {', '.join(PRESETS)}")
        if self.profile is not None:
            raise ValueError("the simulated engine is a preset's or a profile's, not of both")

    @property
    def lifelike(self) -> bool:
        """Whether a live run is simulated, with its lengths and windows."""
        return self.engine == "simulator" and self.preset == EMBEDDED

    @property
    def sized_preset(self) -> str:
        """Of the simulated engine, where there is no profile."""
        return self.preset or GPU_7B

    @property
    def sized_seconds(self) -> float:
        """Of every window; live, of every arm."""
        if self.lifelike and self.seconds is None:
            return _LIVE_SECONDS
        return self.seconds or _USUAL[self.engine][self.quick]

    @property
    def sized_seeds(self) -> int:
        """Of the traffic."""
        usual = (_LIVE_SEEDS if self.lifelike else _SEEDS)[self.quick]
        return usual if self.seeds is None else self.seeds

    @property
    def sized_rounds(self) -> int:
        """Of a live run."""
        return 1 if self.quick else self.rounds

    @property
    def sized_loads(self) -> tuple[float, ...]:
        """Ascending."""
        usual = {"vllm": _LIVE_LOADS, "simulator": _QUICK_LOADS if self.quick else LOADS}
        return tuple(sorted({*self.loads})) or usual[self.engine]

    @property
    def sized_scales(self) -> tuple[float, ...]:
        """Ascending; one where the tight objective is given."""
        one = self.tpot_ms is not None or self.engine == "vllm" or self.lifelike
        return tuple(sorted({*self.scales})) or ((1.0,) if one else SCALES)

    def slos(self, tpot: float, scale: float) -> tuple[Slo, ...]:
        """What the classes are promised.

        Args:
            tpot: 90th percentile of the seconds per output token without speculation.
            scale: of the tight objective over that.
        """
        tight = scale * tpot if self.tpot_ms is None else self.tpot_ms / 1e3
        return promises(self.ttft_ms / 1e3, tight)
