"""``flyball policy``: show, list or swap what decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import DEFAULT_URL, CliError, OwnUrl, Url, controller, say

if TYPE_CHECKING:
    from ...inference.client import ControllerClient

app = typer.Typer(
    help="Show, list or swap what decides.\n\nExample: flyball policy use goodput",
    invoke_without_command=True,
    no_args_is_help=False,
)


@app.callback()
def show(context: typer.Context, url: Url = DEFAULT_URL) -> None:
    """Show the policy of every engine and planner, list policies, or swap one while it runs."""
    context.obj = url
    if context.invoked_subcommand is None:
        with controller(url) as client:
            status = client.status()
            for engine in status["engines"]:
                say(f"{engine['engine']}: {engine['policy']}")
            for planner in status["planners"]:
                say(f"{planner['planner']}: {planner['policy']}")


@app.command()
def use(
    context: typer.Context,
    spec: Annotated[
        str,
        typer.Argument(
            help="A name of `flyball policy list`, with ?OPTION=VALUE&... if wanted; for a "
            "planner one of `flyball agents policies`, with :OPTION=VALUE,... if wanted."
        ),
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            help="Name of the engine or planner, as in `flyball status`. Default: the only engine; "
            "where there is none, the only planner."
        ),
    ] = None,
    url: OwnUrl = None,
) -> None:
    """Let another policy decide, from the next interval on.

    What a policy learned is kept in its engine until that ends, by name and options: one that
    returns goes on from there. `learned` is what the learner's snapshots say, and the default.

    Example: flyball policy use 'ucb?c=0.5&objective=throughput'

    Example: flyball policy use dsp:tau=.9 --engine small-large@4711.1
    """
    if not spec:
        raise CliError("name a policy; `flyball policy list` shows them")
    with controller(url or context.obj) as client:
        name = engine or _only_engine(client)
        say(f"{name}: policy {client.set_policy(name, spec)}")


@app.command("list")
def list_() -> None:
    """List the policies, each with its options and their defaults."""
    from ...inference.reports import LEARNED
    from ...policies.catalogue.registry import describe, names

    say(f"{LEARNED}: the learner's snapshots (default)")
    for name in names():
        entry = describe(name)
        say(f"{name}: {entry.about}")
        for option in entry.options:
            default = "" if option.default in (None, "") else f" [{option.default}]"
            say(f"    {option.name}{default}: {option.about}")


def _only_engine(client: ControllerClient) -> str:
    """The only live engine, or the only live planner where no engine is."""
    status = client.status()
    live = [engine["engine"] for engine in status["engines"] if engine["live"]]
    live = live or [planner["planner"] for planner in status["planners"] if planner["live"]]
    if len(live) != 1:
        listed = f"there are {', '.join(live)}" if live else "none is live"
        raise CliError(f"name the engine with --engine; {listed}")
    return str(live[0])
