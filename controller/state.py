"""The settings that an operator made, kept over a restart of the controller."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

import msgspec

from ..inference.reports import Mode
from ..policies.files import replace_file
from ..policies.spaces import MAX_DEPTH, check_depth, check_speed

log = logging.getLogger("flyball")

FILE: Final = "control.json"


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What is in force.

    Attributes:
        speed: the knob, in [0, 1].
        modes: per engine, where one was set.
        pins: depth per engine, where one was pinned.
        policies: specification per engine, where one was set.
        drafters: who drafts, per engine, where that was set.
    """

    speed: float = 0.5
    modes: dict[str, Mode] = {}
    pins: dict[str, int] = {}
    policies: dict[str, str] = {}
    drafters: dict[str, str] = {}

    def __post_init__(self) -> None:
        check_speed(self.speed)
        for depth in self.pins.values():
            check_depth(depth, MAX_DEPTH)


def load(run: Path) -> Settings | None:
    """The settings of a run, or None where it has none; a damaged file is set aside."""
    file = run / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Settings)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, ValueError) as e:
        aside = file.with_name(f"{FILE}.damaged-{int(time.time())}")
        log.warning("the settings in %s are damaged (%s): set aside as %s", file, e, aside.name)
        file.replace(aside)
        return None


def save(settings: Settings, run: Path) -> None:
    """Write the settings, atomically."""
    replace_file(run / FILE, msgspec.json.encode(settings))
