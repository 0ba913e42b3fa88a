"""Where recorded actions are executed: every tool is pure, and its answers were not recorded."""

from __future__ import annotations

from typing import Any

from ..environment import Nature
from ..protocol import Action
from .recorded import TERMINATE


class RecordedEnvironment:
    """Environment of every recorded task."""

    def open(self, task: Any) -> RecordedEnvironment:  # noqa: ARG002 - the same for all
        """Return itself; see ``Environments``."""
        return self

    def check(self, action: Action) -> Nature:
        """See ``Environment``; whatever was recorded is a tool."""
        return Nature(effectful=False, final=action.tool == TERMINATE)

    def execute(self, action: Action) -> str:
        """See ``Environment``; at once, since recorded turns last until the next can begin."""
        return f"{action.tool}: done"
