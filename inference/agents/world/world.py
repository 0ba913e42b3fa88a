"""The world: a state, the tools on it, and what happens when an action is executed."""

from __future__ import annotations

from ..protocol import Action, ActionError
from . import calendar, facts, files, travel, units
from .state import State
from .tool import Tool

FINISH = "finish"


def _finish(state: State, answer: str) -> tuple[State, str]:
    return state, f"Answer: {answer}"


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        *files.TOOLS,
        *calendar.TOOLS,
        *units.TOOLS,
        *facts.TOOLS,
        *travel.TOOLS,
        Tool(FINISH, "pure", {"answer": str}, _finish),
    )
}


class World:
    """A state that actions change one after another.

    States are immutable, so a fork costs nothing: run ahead in a fork, keep it when the plan
    holds, drop it when it does not.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    def fork(self) -> World:
        """Return a world that starts from this state and shares no change with this one."""
        return World(self.state)

    @staticmethod
    def check(action: Action) -> Tool:
        """Return the action's tool; raises `ActionError` when tool or arguments are wrong."""
        tool = TOOLS.get(action.tool)
        if tool is None:
            raise ActionError(f"no tool {action.tool}; there are {', '.join(sorted(TOOLS))}")
        tool.check(action)
        return tool

    def execute(self, action: Action) -> str:
        """Execute a checked action and return what is observed.

        The same actions from the same state give the same observations. Trouble inside the
        world (no such file, no free slot) is an observation that begins with `Error: `.

        Raises:
            ActionError: No such tool, or not its arguments.
        """
        self.state, observation = self.check(action)(self.state, action.arguments)
        return observation
