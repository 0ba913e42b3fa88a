"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LOG_SECONDS = 30.0


def say(text: str, console: Console | None = None) -> None:
    """One line about work that has no pace to show."""
    (console or Console()).print(text, highlight=False, soft_wrap=True)


class Meter:
    """Shows tokens done of tokens to do, the pace, and what is left; use as a context manager."""

    def __init__(
        self, title: str, total: int, done: int = 0, console: Console | None = None
    ) -> None:
        self.title, self.total, self.done = title, total, done
        self.console = console or Console()
        self.started, self.began_at, self.said = time.monotonic(), done, 0.0
        self.bar: Progress | None = None
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self.console,
                speed_estimate_period=120,
            )
            self.task = self.bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Meter:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: int, note: str) -> None:
        """Say how many tokens are done, with a note (the loss, say)."""
        now = time.monotonic()
        pace = max(1.0, (done - self.began_at) / max(1e-9, now - self.started))
        self.done = done
        note = f"{done / 1e6:.2f} M tokens, {pace:,.0f}/s, {note}"
        if self.bar is not None:
            self.bar.update(self.task, completed=done, note=note)
        elif now - self.said > LOG_SECONDS or done >= self.total:
            left = max(0, self.total - done) / pace / 60
            self.said = now
            self.console.print(
                f"{self.title}: {note}, {left:.0f} min left", highlight=False, soft_wrap=True
            )
