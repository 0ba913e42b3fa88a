"""``flyball keys``: keys for serving beyond this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import refusals, say


def keys(directory: Annotated[Path, typer.Argument(help="Folder to make them in.")]) -> None:
    """Make the CURVE key pairs of a controller and its engines.

    The controller takes the folder as --keys DIR; engines and environments take a copy of it
    without server.key_secret, as FLYBALL_KEYS=DIR.

    Example: flyball keys ~/.flyball/keys
    """
    from ..security import make_keys

    with refusals():
        for file in make_keys(directory):
            say(str(file))
