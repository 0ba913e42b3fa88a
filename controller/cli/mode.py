"""``flyball mode``, ``flyball drafter`` and ``flyball pin``: what one engine or planner does."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import DEFAULT_URL, CliError, Url, controller, say

_Engine = Annotated[
    str, typer.Argument(help="Name of the engine or planner, as in `flyball status`.")
]


def mode(
    engine: _Engine,
    mode: Annotated[str, typer.Argument(help="off, observe, shadow, apply or freeze.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Set the mode of an engine, or of a planner of agents.

    off: static depth, no report. observe: static depth, reported. shadow: decide, but apply the
    static depth. apply: decide and apply. freeze: apply, without exploring or learning. A
    planner's static depth is that of no steps ahead.

    Example: flyball mode engine-0 shadow
    """
    with controller(url) as client:
        say(f"{engine}: mode {client.set_mode(engine, mode)}")


def drafter(
    engine: Annotated[str, typer.Argument(help="Name of the engine, as in `flyball status`.")],
    name: Annotated[
        str | None,
        typer.Argument(help="One of the engine's drafters, none, learned or random."),
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="As it was started.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Say who drafts for an engine's requests that ask for nobody in particular.

    learned: whoever is best for each request, by what each drafter yields and takes. random:
    anyone, drawn anew for every request and step.

    Example: flyball drafter engine-0 suffix
    """
    if (name is None) != release:
        raise CliError("give a NAME, or --release to let the engine go by its own setting")
    with controller(url) as client:
        client.set_drafter(engine, name)
    say(f"{engine}: released" if release else f"{engine}: drafter {name}")


def pin(
    engine: _Engine,
    depth: Annotated[
        int | None,
        typer.Argument(help="Draft depth, tokens, in [0, k_max]; of a planner: steps ahead."),
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="Let it go.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Pin an engine's depth, or a planner's steps ahead, until it is released.

    Example: flyball pin engine-0 3
    """
    if (depth is None) != release:
        raise CliError("give a DEPTH to pin, or --release to let it go")
    with controller(url) as client:
        number = client.pin(engine, depth)
    say(f"{engine}: released" if release else f"{engine}: depth {depth} (pin {number})")
