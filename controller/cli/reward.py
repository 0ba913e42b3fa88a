"""``flyball reward``: show, list or swap the reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import DEFAULT_URL, OwnUrl, Url, controller, say

if TYPE_CHECKING:
    from ...inference.client import ControllerClient

app = typer.Typer(
    help="Show, list or swap what is rewarded, of engines and of planners of agents.\n\n"
    "Example: flyball reward use goodput",
    invoke_without_command=True,
    no_args_is_help=False,
)


@app.callback()
def show(context: typer.Context, url: Url = DEFAULT_URL) -> None:
    """Show the reward in force, list what there is, or swap it on the running system."""
    context.obj = url
    if context.invoked_subcommand is None:
        with controller(url) as client:
            say(client.reward())
            _tell_planners(client)


@app.command()
def use(
    context: typer.Context,
    spec: Annotated[
        str,
        typer.Argument(help="A name of `flyball reward list`, or pkg.module:Class."),
    ],
    url: OwnUrl = None,
) -> None:
    """Use a reward on the running system; what was seen so far is relabelled at once.

    The controller imports and runs it in its own process: a module is looked for where the
    controller was started, and a reward that blocks holds the controller up (never an engine).
    A reward that cannot be used is refused with the reason, and the old one stays in force.
    Planners of agents follow one that needs no more than latency, cost and speed, of the mean
    plan; else they are rewarded by latency-cost.

    Example: flyball reward use mypkg.mymodule:MyReward
    """
    with controller(url or context.obj) as client:
        say(client.set_reward(spec))
        _tell_planners(client)


@app.command("list")
def list_() -> None:
    """List the built-in rewards and those of installed packages."""
    from ...envs.reward_loading import available

    for name in available():
        say(name)


def _tell_planners(client: ControllerClient) -> None:
    """Say where planners are rewarded for something else; to people, not to scripts."""
    plan = client.plan_reward()
    if plan is not None and plan != client.reward():
        typer.echo(f"planners of agents are rewarded by {plan}", err=True)
