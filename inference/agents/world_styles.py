"""Styles for small models in the tool world: what helps either agent without a word of the other.

Both keep what is committed the target agent's own: what the target agent is asked is a function of
the actions and observations before, and whatever the approximation agent is told, it only
proposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import world
from .protocol import AgentError, Step
from .styles import TextStyle
from .world.mentions import mentioned
from .world.recall import recalled


class RecallStyle(TextStyle):
    """For target agents: a thought, then an action; earlier steps with recalled thoughts.

    Earlier thoughts are not the agent's own but follow from what was done (``recalled``), so that
    it does the same however far a plan ran ahead.
    """

    def __init__(self) -> None:
        super().__init__("thought", plain=True, thoughts=True)

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """See ``Style.request``."""
        return super().request(task, recalled(steps))


class MentionStyle(TextStyle):
    """For approximation agents: an action alone, decoded by a grammar of the calls mentioned.

    A small model that copies badly chooses well (``mentioned``). Its endpoint must understand
    vLLM's ``structured_outputs``.
    """

    def __init__(self) -> None:
        super().__init__("act", plain=True)

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """See ``Style.request``."""
        asked = super().request(task, steps)
        if not isinstance(task, world.Task):
            raise AgentError(f"this style takes tasks of the tool world, got {task!r:.80}")
        return {**asked, "structured_outputs": {"regex": mentioned(task, steps)}}
