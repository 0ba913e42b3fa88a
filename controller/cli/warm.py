"""``flyball warm``: learn in the simulator of a profile, to start well on its engine."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from . import options
from .console import CliError, progress_bar, refusals, say


def warm(
    profile: Annotated[Path, typer.Option(help="File of `flyball profile`.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File for the start. Default: runs/warm/PROFILE.safetensors."),
    ] = None,
    prices: options.Prices = "compute",
    episodes: Annotated[
        int, typer.Option(help="Different traffics to learn from, each of 96 intervals.")
    ] = 32,
    seed: options.Seed = 0,
) -> None:
    """Learn in a simulator of the profile's engine, under traffic of every kind, and keep that.

    It takes a minute or two and no engine. `flyball serve --profile FILE --start FILE` then begins
    with what was learned, and learns on.

    Example: flyball warm --profile profile.json --out start.safetensors
    """
    from ...inference.profile import load_profile
    from ...policies.prices import price_list
    from ..warm_start import FOLDER
    from ..warming import WarmingOptions, drafter_share, warm_up

    path = out or FOLDER / f"{profile.stem}.safetensors"
    with refusals(), TemporaryDirectory() as scratch:
        found = load_profile(profile)
        price_list(prices, drafter_share(found))
        chosen = WarmingOptions(profile=profile, prices=prices, episodes=episodes, seed=seed)
        if path.is_dir():  # better known before than after minutes
            raise CliError(f"--out must name a file; {path} is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress_bar() as progress:
            start = warm_up(found, chosen, Path(scratch), progress)
        start.save(path)
    say(f"learned from {start.origin.transitions} simulated decisions; written to {path}")
