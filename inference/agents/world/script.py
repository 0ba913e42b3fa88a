"""Scripts: right plans written as generators that see each observation before the next move."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..protocol import Action
from .world import FINISH

Move = tuple[str, Action]
Script = Callable[[], Generator[Move, str, None]]
Moves = Generator[Move, str, None]


def move(thought: str, tool: str, /, **arguments: str | float) -> Move:
    """A thought and the action it leads to; `from_` is written `from`."""
    named = {"from" if name == "from_" else name: value for name, value in arguments.items()}
    return thought, Action(tool, named)


def finish(answer: str) -> Move:
    """The last move of every plan."""
    return "I know the answer.", Action(FINISH, {"answer": answer})


def cheapest(observed: str) -> tuple[str, int]:
    """Return (code, euros) of the cheapest offer in an observed list of offers."""
    offers = [line.split() for line in observed.split("; ")]
    code, price = min(((words[0], int(words[-2])) for words in offers), key=lambda o: o[1])
    return code, price


def reference(observed: str) -> str:
    """Return the reference out of `Booked F123: R45678`."""
    return observed.rsplit(" ", 1)[1]


def measure(observed: str) -> tuple[float, str]:
    """Return (value, unit) out of `12.5 kg`; whole values come back as int, as they are read."""
    value, unit = observed.split()[-2:]
    return (float(value) if "." in value else int(value)), unit.rstrip(".")


def slot(observed: str) -> str:
    """Return the time out of `Free at 09:30`."""
    return observed.rsplit(" ", 1)[1]
