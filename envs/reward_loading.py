"""Finding a reward by its name or place, and trying it before it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import numpy as np

from ..policies.transition import Floats
from .reward_inputs import COLUMNS, RewardInputs, trial
from .rewards import BUILT_IN, LatencyCost, Reward, RewardError, evaluate

GROUP: Final = "flyball.rewards"

_imported: set[str] = set()
"""Modules that were first imported for a reward: an edited one is read again when asked for."""


def available() -> list[str]:
    """Names that ``load_reward`` knows: the built-in ones and those of entry points."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def load(spec: str) -> Reward:
    """What ``rewards.load_reward`` does.

    Args:
        spec: ``name`` or ``pkg.module:Class``, with parameters as ``?bound=0.7&other=1``.

    Raises:
        RewardError: saying what is wrong with it; it was tried on a small batch before.
    """
    place, _, query = spec.partition("?")
    with _working_directory():
        found = _find(place)
        reward = _make(found, place, _parameters(spec, query))
        check(reward)
    return reward


def _find(place: str) -> Any:
    if place in BUILT_IN:
        return BUILT_IN[place]
    for point in entry_points(group=GROUP):
        if point.name == place:
            return _import(point.module, point.attr)
    module, colon, attribute = place.partition(":")
    if not (colon and module and attribute):
        raise RewardError(
            f"no reward {place!r}; there are {', '.join(available())}, or name a class of yours "
            "as pkg.module:Class"
        )
    return _import(module, attribute)


def _import(name: str, attribute: str) -> Any:
    importlib.invalidate_caches()
    try:
        if name in _imported and name in sys.modules:
            module = importlib.reload(sys.modules[name])
        elif name in sys.modules:
            module = sys.modules[name]
        else:
            module = importlib.import_module(name)
            _imported.add(name)
    except (Exception, SystemExit) as e:
        raise RewardError(
            f"module {name!r} of the reward does not import: {type(e).__name__}: {e}"
        ) from e
    if not hasattr(module, attribute):
        raise RewardError(f"module {name!r} ({module.__file__}) has no {attribute!r}")
    return getattr(module, attribute)


def _parameters(spec: str, query: str) -> dict[str, float]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        return {name: float(value) for name, value in pairs}
    except ValueError:
        raise RewardError(
            f"parameters of a reward are numbers, as in name?bound=0.7, not {spec!r}"
        ) from None


def _make(found: Any, place: str, parameters: dict[str, float]) -> Reward:
    if not (isinstance(found, type) and issubclass(found, Reward)):
        raise RewardError(
            f"{place!r} is not a reward: it must be a subclass of {Reward.__module__}.Reward"
        )
    try:
        return found(**parameters)
    except (Exception, SystemExit) as e:
        raise RewardError(f"reward {place!r} cannot be made: {type(e).__name__}: {e}") from e


def check(reward: Reward) -> None:
    """Refuse a reward whose declaration is wrong or that fails on a small batch.

    Raises:
        RewardError: saying what is wrong and what would be right.
    """
    _check_declaration(reward)
    for n in (1, 64):
        inputs = trial(n)
        values = evaluate(reward, inputs.only(COLUMNS))
        _check_needs(reward, inputs, values)
        if reward.linear:
            _check_linear(reward, inputs, values)


def _check_declaration(reward: Reward) -> None:
    who = type(reward).__name__
    if not (isinstance(reward.name, str) and reward.name):
        raise RewardError(f"{who}.name must be a text, not {reward.name!r}")
    needs: Any = reward.needs
    if not isinstance(needs, tuple | list) or not needs or any(n not in COLUMNS for n in needs):
        raise RewardError(f"{who}.needs must list some of {', '.join(COLUMNS)}, not {needs}")
    try:
        right = bool(np.isfinite([reward.low, reward.high]).all()) and (
            reward.low < reward.high and reward.low <= reward.on_error <= reward.high
        )
    except TypeError:
        right = False
    if not right:
        raise RewardError(
            f"{who} must have finite numbers low < high, and on_error between them, not "
            f"low={reward.low!r}, high={reward.high!r}, on_error={reward.on_error!r}"
        )


def _check_needs(reward: Reward, inputs: RewardInputs, values: Floats) -> None:
    try:
        same = np.array_equal(values, evaluate(reward, inputs.only(reward.needs)))
    except RewardError:
        same = False
    if not same:
        raise RewardError(
            f"reward {reward.name!r} reads columns that its needs do not list, or is not the same "
            f"twice on the same rows; its needs are {', '.join(reward.needs)}"
        )


def _check_linear(reward: Reward, inputs: RewardInputs, values: Floats) -> None:
    wanted = np.clip(LatencyCost()(inputs), reward.low, reward.high)
    if not np.allclose(values, wanted):
        raise RewardError(
            f"reward {reward.name!r} says linear=True but is not "
            "-(speed x latency + (1 - speed) x cost); set linear = False"
        )


@contextmanager
def _working_directory() -> Iterator[None]:
    """The current directory importable, after everything else so that it hides nothing."""
    here = str(Path.cwd())
    added = not {here, ""} & set(sys.path)
    if added:
        sys.path.append(here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
