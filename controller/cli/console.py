"""What the commands share: how errors are said, and the client to a running controller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ...inference.client import ControllerClient

Url = Annotated[
    str, typer.Option("--url", envvar="FLYBALL_URL", help="HTTP address of the controller.")
]
"""Where the controller is; every command that talks to it has this option."""

OwnUrl = Annotated[str | None, typer.Option("--url", help="The same, after the subcommand.")]
"""For subcommands, whose command has the option already."""

DEFAULT_URL = "http://127.0.0.1:8757"


class CliError(Exception):
    """Something the user has to change, in one line."""


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a check refuses into one line and exit code 2."""
    try:
        yield
    except OSError as e:
        named = e.strerror and e.filename
        raise CliError(f"{e.strerror}: {e.filename}" if named else str(e)) from e
    except ValueError as e:
        raise CliError(str(e)) from e


@contextmanager
def controller(url: str) -> Iterator[ControllerClient]:
    """The running controller; what it refuses becomes one line and exit code 2."""
    from ...inference.client import ControllerClient, ControllerError

    try:
        with ControllerClient(url) as client:
            yield client
    except ControllerError as e:
        raise CliError(str(e)) from e


@contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """A progress bar on standard error, told of the share that is done and of what goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)


def say(text: str) -> None:
    """One line for people, or for a script that reads it."""
    typer.echo(text)


def run(app: typer.Typer) -> None:
    """Run the command line: an error is one clear line on standard error and exit code 2."""
    try:
        app()
    except CliError as e:
        from rich.console import Console

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print("error:", style="bold red", end=" ")
        console.print(str(e), markup=False)
        sys.exit(2)
