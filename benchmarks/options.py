"""Options that every benchmark on live engines has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What is run, and from which seed."""

    quick: bool = False
    """a rough answer soon"""
    seed: int = 0
    """of everything random"""
    k_max: int = 6
    """greatest depth, tokens"""
    target: Path | None = None
    """folder of the target model; the embedded one by default"""
    draft: Path | None = None
    """folder of the draft model; the embedded one by default"""
    cores: frozenset[int] | None = None
    """processors for the models' threads; by default vLLM's choice, all but one"""

    @property
    def serve_extra(self) -> list[str]:
        """Further arguments to vLLM: a rough answer does not wait for compilation."""
        return ["--enforce-eager"] if self.quick else []
