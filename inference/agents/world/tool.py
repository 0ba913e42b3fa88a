"""A tool: a named function of the state with declared parameters and purity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..protocol import Action, ActionError
from .state import State

Purity = Literal["pure", "effectful"]

# A tool's function takes the state and its arguments by name (checked before), and returns the
# state after it and what is observed. Trouble that an agent could run into is an observation
# that begins with "Error: "; it never raises.
Function = Callable[..., tuple[State, str]]


@dataclass(frozen=True)
class Tool:
    """One tool of the world.

    Attributes:
        name: What an action calls it.
        purity: `pure` tools only read: they may run ahead of a plan and be thrown away.
            `effectful` tools change the state and must wait until the plan is sure.
        parameters: Name to type, in the order in which they are written. `float` takes any
            number, `int` whole ones.
        run: The function behind it. The parameter `from` reaches it as `from_`.
    """

    name: str
    purity: Purity
    parameters: Mapping[str, type]
    run: Function

    def check(self, action: Action) -> None:
        """Raise `ActionError` unless the action's arguments are exactly this tool's."""
        if set(action.arguments) != set(self.parameters):
            raise ActionError(
                f"{self.name} takes {list(self.parameters)}, got {list(action.arguments)}"
            )
        for name, wanted in self.parameters.items():
            value = action.arguments[name]
            allowed = (int, float) if wanted is float else (wanted,)
            if not isinstance(value, allowed):
                raise ActionError(f"{self.name}: {name} must be {wanted.__name__}, got {value!r}")

    def __call__(self, state: State, arguments: Mapping[str, Any]) -> tuple[State, str]:
        """Run on checked arguments; returns the state after it and the observation."""
        given = {"from_" if name == "from" else name: arg for name, arg in arguments.items()}
        return self.run(state, **given)
