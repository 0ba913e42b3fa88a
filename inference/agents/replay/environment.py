"""Where recorded actions are executed: every tool is pure, and its answers were not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..environment import Nature
from ..protocol import Action
from .recorded import TERMINATE

SETTLED: Final[Mapping[str, bool]] = {"settled": True}
"""Arguments by which a blind environment knows T's actions from A's proposals."""


class RecordedEnvironment:
    """Environment of every recorded task.

    Args:
        blind: whether A's ``TERMINATE`` is taken for an action like any other, so that a plan runs
            on after it until T is known to end the task or not; else it ends what runs ahead.
    """

    def __init__(self, blind: bool = False) -> None:
        self._blind = blind

    def open(self, task: Any) -> RecordedEnvironment:  # noqa: ARG002 - the same for all
        """Return itself; see ``Environments``."""
        return self

    def check(self, action: Action) -> Nature:
        """See ``Environment``; whatever was recorded is a tool."""
        said = not self._blind or action.arguments == SETTLED
        return Nature(effectful=False, final=said and action.tool == TERMINATE)

    def execute(self, action: Action) -> str:
        """See ``Environment``; at once, since recorded turns last until the next can begin."""
        return f"{action.tool}: done"
