"""``flyball controller``: the learner's process alone."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .console import refusals


def controller(
    run: options.Run = None,
    address: options.Address = options.ADDRESS,
    http: options.Http = options.HTTP,
    reward: options.Reward = None,
    speed: options.Speed = None,
    prices: options.Prices = "compute",
    profile: options.Profile = None,
    start: options.Start = None,
    seed: options.Seed = 0,
    learner_share: options.LearnerShare = 0.25,
    keys: options.Keys = None,
    token_file: options.TokenFile = None,
    nice: Annotated[int, typer.Option(help="Added to the process's niceness, 0 to 19.")] = 0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the controller alone; engines find it by FLYBALL_CONTROLLER=ADDRESS.

    Ends on Ctrl-C or SIGTERM with a last checkpoint.

    Example: flyball controller --run runs/mine --speed 0.8
    """
    from ...policies.spaces import check_speed
    from .. import logs
    from ..runs import new_run
    from ..service import Service, ServiceOptions

    with refusals():
        logs.set_up(log_level)
        chosen = ServiceOptions(
            run=run or new_run("controller", seed),
            address=address,
            http=http,
            reward=reward,
            speed=None if speed is None else check_speed(speed),
            prices=prices,
            profile=profile,
            start=start,
            seed=seed,
            learner_share=learner_share,
            keys=keys,
            token_file=token_file,
            nice=nice,
        )
        service = Service(chosen)
    service.stop_on_signals()
    service.run()
