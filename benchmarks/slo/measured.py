"""What a run of ``flyball bench slo`` found, simulated or live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .figures import Scores


@dataclass(frozen=True)
class Measured:
    """Everything.

    Attributes:
        scores: of all arms.
        arms: what each did, for people.
        figures: that only this way of measuring has.
    """

    scores: Scores
    arms: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, float] = field(default_factory=dict)
