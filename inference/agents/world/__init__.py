"""The tool world: tasks of graded difficulty that agents solve with tools.

A `Task` has a goal, a state to start from and a right plan. An agent is prompted with
`prompt(task, steps, style)`, writes an action, which `parse` reads and `World.execute` carries
out; `solves` tells whether its actions reached the goal.
"""

from ..protocol import Action, ActionError, Step
from .action import STYLES, Style, parse, parse_action, write
from .render import END, ROLES, SYSTEM, messages, prompt, text, transcript
from .state import Event, Offer, State
from .task import DIFFICULTIES, Task, make_task, next_move, plan, solves
from .tool import Tool
from .world import FINISH, TOOLS, World

__all__ = [
    "DIFFICULTIES",
    "END",
    "FINISH",
    "ROLES",
    "STYLES",
    "SYSTEM",
    "TOOLS",
    "Action",
    "ActionError",
    "Event",
    "Offer",
    "State",
    "Step",
    "Style",
    "Task",
    "Tool",
    "World",
    "make_task",
    "messages",
    "next_move",
    "parse",
    "parse_action",
    "plan",
    "prompt",
    "solves",
    "text",
    "transcript",
    "write",
]
