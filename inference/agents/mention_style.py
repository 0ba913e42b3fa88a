"""A style for small approximation agents of the tool world, on vLLM's structured outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import world
from .protocol import AgentError, Step
from .styles import TextStyle
from .world.mentions import mentioned


class MentionStyle(TextStyle):
    """Actions alone, decoded by a grammar of the calls that were mentioned (``mentioned``).

    The approximation agent may be given any help: whatever it proposes, the target agent's action
    is the one that is committed. Its endpoint must understand vLLM's ``structured_outputs``.
    """

    def __init__(self) -> None:
        super().__init__("act", plain=True)

    def request(self, task: Any, steps: Sequence[Step]) -> dict[str, Any]:
        """See ``Style.request``."""
        asked = super().request(task, steps)
        if not isinstance(task, world.Task):
            raise AgentError(f"this style takes tasks of the tool world, got {task!r:.80}")
        return {**asked, "structured_outputs": {"regex": mentioned(task, steps)}}
