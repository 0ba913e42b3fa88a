"""What each command takes; anything else is refused at the border."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from ..inference.reports import Mode


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """What a command takes; ``usage`` says it to people."""

    usage: ClassVar[str] = ""


class Nothing(Arguments):
    """No arguments."""

    usage: ClassVar[str] = "it takes no arguments"


class KnobArguments(Arguments):
    """The speed to set; without it the knob is only read."""

    speed: float | UnsetType = UNSET
    usage: ClassVar[str] = 'give {"speed": a number in [0, 1]; 0 = cheapest, 1 = fastest}'


class RewardArguments(Arguments):
    """The reward to use; without it the reward is only read."""

    reward: str | UnsetType = UNSET
    usage: ClassVar[str] = 'give {"reward": a name or "pkg.module:Class"}'


class EngineArguments(Arguments):
    """An engine by name, or None where there is only one."""

    engine: str | None = None
    usage: ClassVar[str] = 'give {"engine": NAME}, or no engine where only one is live'


class ModeArguments(EngineArguments, kw_only=True):
    """A mode for an engine."""

    mode: Mode
    usage: ClassVar[str] = f'give {{"mode": one of {", ".join(Mode)}}}'


class PolicyArguments(EngineArguments, kw_only=True):
    """A policy for an engine."""

    policy: str
    usage: ClassVar[str] = (
        'give {"policy": "learned", a name of `flyball policy list` or "ucb?c=0.5"}'
    )


class DrafterArguments(EngineArguments, kw_only=True):
    """Who drafts for an engine's requests that ask for nobody; None lets it decide itself."""

    drafter: str | None
    usage: ClassVar[str] = (
        'give {"drafter": one of the engine\'s, "learned" or "random", or null to let it go}'
    )


class PinArguments(EngineArguments, kw_only=True):
    """A depth for an engine until further notice; None lets it go."""

    depth: int | None
    usage: ClassVar[str] = 'give {"depth": an integer in [0, k_max], or null to let it go}'


class StepArguments(EngineArguments, kw_only=True):
    """A depth for an engine for one interval."""

    depth: int
    usage: ClassVar[str] = 'give {"depth": an integer in [0, k_max]}'


class PromoteArguments(Arguments):
    """A snapshot by number."""

    number: int
    usage: ClassVar[str] = 'give {"number": of a snapshot}'
