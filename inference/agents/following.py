"""Planners of a user's own program that follow a running controller.

One governor per pair of models, address and thread: what it learns serves all plans of that pair,
and the controller lists it as one planner.
"""

from __future__ import annotations

import atexit
import itertools
import os
import re
import threading
from importlib.metadata import version
from typing import Final

from ..address import Address, parse_address
from ..curve import keys_from_environment
from ..link import Link, check_keys
from .governor import PlanGovernor
from .messages import PlannerInfo

CONTROLLER_VARIABLE: Final = "FLYBALL_CONTROLLER"
"""Environment variable that names the controller which planners follow."""

_NUMBERS: Final = itertools.count(1)
_LONGEST: Final = 40  # characters of the models in a planner's name, which has 64 at most
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.:@-]+")


def controller_address(controller: str | None) -> Address | None:
    """Where the controller is that a planner is to follow.

    Args:
        controller: ``tcp://HOST:PORT``; None for what ``FLYBALL_CONTROLLER`` says, "" for none.

    Returns:
        None where there is none to follow.

    Raises:
        ValueError: it is no address, or keys are needed to reach it and ``FLYBALL_KEYS`` names
            none.
    """
    given = os.environ.get(CONTROLLER_VARIABLE, "") if controller is None else controller
    if not given:
        return None
    address = parse_address(given)
    check_keys(address, keys_from_environment())
    return address


class Following(threading.local):
    """The governors of one thread, each with its link to a controller."""

    def __init__(self) -> None:
        self._governors: dict[tuple[str, str, str, bool], PlanGovernor] = {}

    def governor(
        self, approximation: str, target: str, address: Address, own_speed: bool
    ) -> PlanGovernor:
        """The governor of two models, connected; the same one every time.

        Args:
            approximation: model of the agent that runs ahead.
            target: model of the agent that has the last word.
            address: where the controller listens.
            own_speed: whether the speed given to each plan holds, and not the knob.

        Raises:
            ValueError: the controller must not be reached without keys.
        """
        key = approximation, target, str(address), own_speed
        if key not in self._governors:
            info = PlannerInfo(
                planner=planner_name(approximation, target),
                approximation=approximation,
                target=target,
                versions={"flyball": version("flyball")},
            )
            governor = PlanGovernor(info, own_speed=own_speed)
            _LINKS.add(governor.connect(address, keys_from_environment()))
            self._governors[key] = governor
        return self._governors[key]


class _Links:
    """Links that are open, to be closed when the process ends."""

    def __init__(self) -> None:
        self._open: list[Link] = []
        self._lock = threading.Lock()

    def add(self, link: Link) -> None:
        with self._lock:
            if not self._open:
                atexit.register(self.close)
            self._open.append(link)

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.pop().close()


_LINKS: Final = _Links()


def planner_name(approximation: str, target: str) -> str:
    """A name that no other planner has, from its models and this process."""
    models = f"{approximation.rsplit('/', 1)[-1]}-{target.rsplit('/', 1)[-1]}"
    short = _NOT_IN_NAMES.sub("-", models)[:_LONGEST]
    return f"{short}@{os.getpid()}.{next(_NUMBERS)}"
