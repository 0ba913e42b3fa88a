"""What an engine's governor is told by its environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..policies.runner import Runner
from ..policies.slo import DEFAULT_CLASSES, SloClasses, load_classes
from ..policies.snapshot import Snapshot
from ..policies.spaces import check_speed
from .address import Address, parse_address
from .drafters.catalogue import parse as parse_drafters
from .guard_state import GuardSettings
from .link import default_engine_name
from .orders import Orders
from .reports import Mode, check_engine_name

T = TypeVar("T")


@dataclass(frozen=True)
class GovernorSettings:
    """Settings of one engine's governor, each with its environment variable.

    Attributes:
        controller: FLYBALL_CONTROLLER, ``tcp://HOST:PORT``; without it the governor works alone.
        engine: FLYBALL_ENGINE, the engine's name; by default from its process id.
        static_depth: FLYBALL_STATIC_DEPTH, tokens; by default the engine's own.
        snapshot: FLYBALL_SNAPSHOT, a file to begin with.
        mode: FLYBALL_MODE: off, observe, shadow, apply (default) or freeze.
        speed: FLYBALL_SPEED, until the controller says otherwise; default 0.5.
        interval: FLYBALL_INTERVAL, most engine steps per decision; default 8.
        keys: FLYBALL_KEYS, folder of CURVE keys; needed beyond loopback.
        parameter_ratio: FLYBALL_PARAMETER_RATIO, the drafter's parameters over the target's;
            by default read from the weights.
        seed: FLYBALL_SEED of the exploration; random by default.
        guard: FLYBALL_GUARD, on (default) or off: fall back where the policy is worse than the
            static depth. FLYBALL_GUARD_SHARE, share of decisions taken at the static depth to
            tell, default 0.04. FLYBALL_EXPLORE, greatest share of recent decisions that may
            explore after the first 200, default 0.15. None for no guard.
        slo_classes: FLYBALL_SLO_CLASSES, a TOML file of SLO classes; by default those of
            ``policies.slo``.
        drafters: FLYBALL_DRAFTERS, names with commas, such as ``draft,ngram,suffix``, the default
            first; empty for vLLM's own drafter alone.
        drafter: FLYBALL_DRAFTER, the default if it is another, or ``random``.
    """

    controller: Address | None
    engine: str
    static_depth: int | None
    snapshot: Path | None
    mode: Mode
    speed: float
    interval: int
    keys: Path | None
    parameter_ratio: float | None
    seed: int | None
    guard: GuardSettings | None
    slo_classes: SloClasses
    drafters: tuple[str, ...] = ()
    drafter: str | None = None

    def orders(self) -> Orders:
        """What holds until the controller says otherwise.

        Raises:
            SnapshotError: if the snapshot cannot be used.
        """
        runner = Runner(Snapshot.load(self.snapshot)) if self.snapshot else None
        return Orders(speed=self.speed, mode=self.mode, runner=runner)


@dataclass(frozen=True)
class SuffixSettings:
    """Settings of an engine's suffix memory, each with its environment variable.

    Attributes:
        store: FLYBALL_SUFFIX_STORE, folder in which it is kept across restarts; none by default.
        tokens: FLYBALL_SUFFIX_TOKENS, how many it holds at most, of all tenants together; None for
            the memory's own limit.
        threshold: FLYBALL_SUFFIX_THRESHOLD, in (0, 1]: drafts end before their survival falls below
            it; None for the drafter's own.
    """

    store: Path | None
    tokens: int | None
    threshold: float | None


@dataclass(frozen=True)
class ChainSettings:
    """Settings of an engine's chain drafter, each with its environment variable.

    Attributes:
        models: FLYBALL_CHAIN, folders with commas of the models below the target; empty for those
            of the embedded family.
        memory: FLYBALL_CHAIN_MIB, bytes that all of them may take with their caches; None for what
            is free.
    """

    models: tuple[Path, ...]
    memory: int | None


def from_environment(environ: Mapping[str, str] = os.environ) -> GovernorSettings:
    """Read the settings.

    Raises:
        ValueError: naming the variable, what it says and what it may say.
    """
    controller = environ.get("FLYBALL_CONTROLLER")
    return GovernorSettings(
        controller=_read("FLYBALL_CONTROLLER", parse_address, environ) if controller else None,
        engine=_read("FLYBALL_ENGINE", check_engine_name, environ) or default_engine_name(),
        static_depth=_read("FLYBALL_STATIC_DEPTH", _natural, environ),
        snapshot=_read("FLYBALL_SNAPSHOT", Path, environ),
        mode=_read("FLYBALL_MODE", _mode, environ) or Mode.APPLY,
        speed=_default(_read("FLYBALL_SPEED", check_speed, environ), 0.5),
        interval=_read("FLYBALL_INTERVAL", _positive, environ) or 8,
        keys=_read("FLYBALL_KEYS", Path, environ),
        parameter_ratio=_read("FLYBALL_PARAMETER_RATIO", _ratio, environ),
        seed=_read("FLYBALL_SEED", _natural, environ),
        guard=_guard(environ),
        slo_classes=slo_classes(environ),
        drafters=drafters(environ),
        drafter=environ.get("FLYBALL_DRAFTER") or None,
    )


def drafters(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The drafters that an engine is to offer; empty for vLLM's own alone.

    Raises:
        ValueError: naming the variable and what it may say.
    """
    return _default(_read("FLYBALL_DRAFTERS", parse_drafters, environ), ())


def suffix_memory(environ: Mapping[str, str] = os.environ) -> SuffixSettings:
    """What the suffix memory is told.

    Raises:
        ValueError: naming the variable and what it may say.
    """
    return SuffixSettings(
        store=_read("FLYBALL_SUFFIX_STORE", _folder, environ),
        tokens=_read("FLYBALL_SUFFIX_TOKENS", _positive, environ),
        threshold=_read("FLYBALL_SUFFIX_THRESHOLD", _survival, environ),
    )


def chain(environ: Mapping[str, str] = os.environ) -> ChainSettings:
    """What the chain drafter is told.

    Raises:
        ValueError: naming the variable and what it may say.
    """
    mib = _read("FLYBALL_CHAIN_MIB", _positive, environ)
    return ChainSettings(
        models=_default(_read("FLYBALL_CHAIN", _models, environ), ()),
        memory=None if mib is None else mib << 20,
    )


def slo_classes(environ: Mapping[str, str] = os.environ) -> SloClasses:
    """The SLO classes that requests can name.

    Raises:
        ValueError: naming the variable, the file and what is wrong with it.
    """
    found = _read("FLYBALL_SLO_CLASSES", lambda text: load_classes(Path(text)), environ)
    return _default(found, DEFAULT_CLASSES)


def _guard(environ: Mapping[str, str]) -> GuardSettings | None:
    on = _default(_read("FLYBALL_GUARD", _switch, environ), True)
    defaults = GuardSettings()
    share = _default(_read("FLYBALL_GUARD_SHARE", _share, environ), defaults.share)
    explore = _default(_read("FLYBALL_EXPLORE", _unit, environ), defaults.explore)
    early = max(explore, defaults.explore_early) if explore else 0.0
    return GuardSettings(share=share, explore=explore, explore_early=early) if on else None


def _read(name: str, parse: Callable[[str], T], environ: Mapping[str, str]) -> T | None:
    text = environ.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as e:
        raise ValueError(f"{name}={text}: {e}") from None


def _default(value: T | None, default: T) -> T:
    return default if value is None else value


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise ValueError(f"a mode is one of {', '.join(Mode)}") from None


def _natural(text: str) -> int:
    if not text.isdigit():
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("must be a whole number, 1 or more")
    return int(text)


def _folder(text: str) -> Path:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise ValueError("must be a folder, not a file")
    return path


def _models(text: str) -> tuple[Path, ...]:
    folders = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no model folder {folder}")
    names = [folder.name for folder in folders]
    if len({*names}) < len(names):
        raise ValueError("each model of a chain needs a folder of another name")
    return folders


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("must be on or off")
    return text == "on"


def _number(text: str) -> float:
    """A number, or NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _share(text: str) -> float:
    value = _number(text)
    if not 0.0 < value <= 0.5:
        raise ValueError("must be a number above 0, at most 0.5")
    return value


def _survival(text: str) -> float:
    value = _number(text)
    if not 0.0 < value <= 1.0:
        raise ValueError("must be a number above 0, at most 1")
    return value


def _unit(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 1.0:
        raise ValueError("must be a number in [0, 1]")
    return value


def _ratio(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value <= 10.0:
        raise ValueError("must be a number in [0, 10]")
    return value
