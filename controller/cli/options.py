"""Options that more than one command has; a command may give its own default."""

from pathlib import Path
from typing import Annotated, Final

import typer

ADDRESS: Final = "tcp://127.0.0.1:5757"
HTTP: Final = "127.0.0.1:8757"

Address = Annotated[
    str, typer.Option(help="tcp://HOST:PORT of the controller, the first of three ports.")
]
Http = Annotated[str, typer.Option(help="HOST:PORT of the controller's HTTP API.")]
Run = Annotated[
    Path | None,
    typer.Option(help="Folder of the run; resumed if it has a checkpoint. Default: a new one."),
]
Reward = Annotated[
    str | None,
    typer.Option(
        help="A name of `flyball reward list`, or pkg.module:Class. "
        "Default: the run's or latency-cost."
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(
        help="Knob at start, in [0, 1]: 0 = cheapest, 1 = fastest. Default: the run's or 0.5."
    ),
]
Prices = Annotated[str, typer.Option(help="Cost model: compute or engine_time.")]
Profile = Annotated[
    Path | None,
    typer.Option(help="File of `flyball profile`: the step times that the learner starts from."),
]
Start = Annotated[
    Path | None,
    typer.Option(help="File of `flyball warm`, made from that profile: a new run begins with it."),
]
Seed = Annotated[int, typer.Option(help="Of everything random.", min=0, max=(1 << 32) - 1)]
LearnerShare = Annotated[
    float, typer.Option(help="Share of one core that training may take, in (0, 1].")
]
Keys = Annotated[
    Path | None, typer.Option(help="Folder of `flyball keys`; needed beyond loopback.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="File with the HTTP bearer token (or FLYBALL_TOKEN), beyond loopback."),
]
