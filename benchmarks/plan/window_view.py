"""A live view of plans: what was proposed, verified, mismatched and cancelled, step by step."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...inference.agents.trajectory import Event, EventKind, Trajectory

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_ROWS: Final = 14
_GOAL: Final = 34  # characters of a task's goal


@dataclass
class Cell:
    """One step of a plan.

    Attributes:
        proposed: what the approximation agent proposed; "" for nothing yet.
        verdict: what the target agent said; "" for nothing yet.
        committed: whether the step is settled.
        cancelled: calls for it that were ended because what they built on did not come to pass.
    """

    proposed: str = ""
    verdict: str = ""
    committed: bool = False
    cancelled: int = 0

    @property
    def mismatched(self) -> bool:
        """Whether the two agents said different things."""
        return bool(self.proposed and self.verdict and self.proposed != self.verdict)

    def drop(self) -> None:
        """Forget what was built on what did not come to pass."""
        self.proposed = self.verdict = ""


@dataclass
class Row:
    """One task.

    Attributes:
        arm: who decides.
        goal: of the task.
        cells: its steps.
        done: the run, once it ended.
    """

    arm: str
    goal: str
    cells: list[Cell] = field(default_factory=list)
    done: Trajectory | None = None

    def take(self, event: Event) -> None:
        """Take what happened."""
        if event.kind is EventKind.DECIDED:
            return
        while len(self.cells) <= event.index:
            self.cells.append(Cell())
        cell = self.cells[event.index]
        if event.kind is EventKind.PROPOSED:
            cell.proposed = event.text
        elif event.kind is EventKind.VERDICT:
            cell.verdict = event.text
            if cell.mismatched:
                for later in self.cells[event.index + 1 :]:
                    later.drop()
        elif event.kind is EventKind.CANCELLED:
            cell.cancelled += 1
        elif event.kind is EventKind.COMMITTED:
            cell.committed = True


class WindowView:
    """The latest tasks, a row of steps each, and the knob."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=_ROWS)
        self.speed: float | None = None
        self.phase = ""

    def begin(self, arm: str, goal: str) -> None:
        """A task begins."""
        self.rows.append(Row(arm, goal))

    def watch(self, _run: int, event: Event) -> None:
        """Something happens to the task that began last; to be handed to a planner."""
        if self.rows:
            self.rows[-1].take(event)

    def end(self, run: Trajectory) -> None:
        """The task that began last is over."""
        if self.rows:
            self.rows[-1].done = run

    def __rich__(self) -> RenderableType:
        """All of it, for people."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, header_style="bold", pad_edge=False)
        grid.add_column("who decides", no_wrap=True)
        # On a narrow screen these give way, on one line each, as their texts do not wrap.
        for name in ("task", "steps"):
            grid.add_column(name)
        for name in ("seconds", "m$", "wasted"):
            grid.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            goal = Text(row.goal[:_GOAL], no_wrap=True, overflow="ellipsis")
            grid.add_row(Text(row.arm), goal, _steps(row), *_sums(row.done))
        knob = "" if self.speed is None else f"   speed {self.speed:g}"
        return Group(Text(f"{self.phase}{knob}", style="bold"), grid, _legend())


def _steps(row: Row) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="ellipsis")
    for cell in row.cells:
        symbol, style = _symbol(cell)
        text.append(symbol, style)
        text.append("x" * min(cell.cancelled, 3), "dim")
        text.append(" ")
    return text


def _symbol(cell: Cell) -> tuple[str, str]:
    if cell.committed or cell.verdict:
        if cell.mismatched:
            return "M", "bold red"
        return ("V", "bold green") if cell.proposed else ("T", "bold")
    return ("p", "yellow") if cell.proposed else (".", "dim")


def _sums(run: Trajectory | None) -> tuple[str, str, str]:
    if run is None:
        return "", "", ""
    dollars, wasted = run.ledger.dollars, run.ledger.wasted.dollars
    share = wasted / dollars if dollars else 0.0
    return f"{run.seconds:.1f}", f"{1e3 * dollars:.3f}", f"{share:.0%}"


def _legend() -> Text:
    from rich.text import Text

    return Text.assemble(
        ("p", "yellow"),
        " proposed   ",
        ("V", "bold green"),
        " verified   ",
        ("M", "bold red"),
        " mismatched   ",
        ("T", "bold"),
        " the target agent's own   ",
        ("x", "dim"),
        " a call cancelled   m$ thousandths of a dollar",
    )
