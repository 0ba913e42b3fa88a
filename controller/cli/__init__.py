"""The command line; every command imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import __version__
from . import console

app = typer.Typer(
    name="flyball",
    help="A governor for LLM serving: learns online how deep to speculate, trading latency "
    "against dollars along one knob.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flyball {__version__}")
        raise typer.Exit


@app.callback()
def flyball(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A governor for LLM serving: latency against dollars along one knob."""


def _add_commands() -> None:
    from .agents import app as agents
    from .bench import bench
    from .controller import controller
    from .demo import demo
    from .evaluate import evaluate
    from .keys import keys
    from .knob import knob
    from .mode import drafter, mode, pin
    from .models import app as models
    from .policy import app as policy
    from .profile import profile
    from .reward import app as reward
    from .serve import ServeCommand, serve
    from .status import status
    from .tensorboard import tensorboard
    from .warm import warm

    # What follows -- is vLLM's.
    app.command(
        cls=ServeCommand,
        context_settings={"allow_extra_args": True},
        options_metavar="[OPTIONS] [-- VLLM OPTIONS]",
    )(serve)
    app.command()(demo)
    app.add_typer(agents, name="agents")
    # -0.5 is a speed out of range, not an option.
    app.command(context_settings={"ignore_unknown_options": True})(knob)
    app.add_typer(reward, name="reward")
    app.command()(status)
    app.command()(mode)
    app.command()(drafter)
    app.command()(pin)
    app.add_typer(policy, name="policy")
    app.command()(controller)
    app.command()(keys)
    app.add_typer(models, name="models")
    app.command()(tensorboard)
    app.command()(bench)
    app.command()(profile)
    app.command()(evaluate)
    app.command()(warm)


_add_commands()


def main() -> None:
    """Run the command line."""
    console.run(app)
