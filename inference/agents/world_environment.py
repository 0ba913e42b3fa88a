"""The tool world as an environment of plans."""

from __future__ import annotations

from .environment import Nature
from .protocol import Action
from .world import FINISH, Task, World


class WorldEnvironment:
    """Executes the actions of one task in a world of its own."""

    def __init__(self, world: World) -> None:
        self.world = world

    def check(self, action: Action) -> Nature:
        """See ``Environment``."""
        tool = self.world.check(action)
        return Nature(tool.purity == "effectful", tool.name == FINISH)

    def execute(self, action: Action) -> str:
        """See ``Environment``."""
        return self.world.execute(action)


class WorldEnvironments:
    """Opens the tool world's tasks."""

    def open(self, task: Task) -> WorldEnvironment:
        """Return a fresh world in the task's first state."""
        return WorldEnvironment(World(task.state))
