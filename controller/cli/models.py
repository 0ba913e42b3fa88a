"""``flyball models``: the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import CliError, refusals, say

app = typer.Typer(help="Train or verify the embedded models.", no_args_is_help=True)


@app.command()
def train(
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints; a run goes on from those it finds there."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder for the finished family. Default: the package's.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or any that PyTorch knows.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.")] = 0,
) -> None:
    """Reproduce the family from nothing: tokenizer, target, drafters, distillation, measures.

    It takes about 50 minutes on two cores with units for bfloat16 matrices (AMX), hours on others;
    stopped at any time, the same command goes on where it was.

    Example: flyball models train --device cuda
    """
    from ...inference.models.family import WEIGHTS
    from ...inference.models.train import WORK, Options, train_family

    with refusals():
        options = Options(
            work=work or WORK, weights=weights or WEIGHTS, device=device, threads=threads
        )
        options.work.mkdir(parents=True, exist_ok=True)
        begun = any(options.work.iterdir())
    start = "what is there already" if begun else "nothing"
    say(f"the family is trained in {options.work}, from {start}")
    try:
        train_family(options)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on from what is in {options.work}")
        raise typer.Exit(130) from None


@app.command()
def verify(
    weights: Annotated[
        Path | None, typer.Option(help="Folder of the family. Default: the package's.")
    ] = None,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Check hashes alone, in seconds.")
    ] = False,
) -> None:
    """Check hashes and print held-out perplexity and acceptance per drafter, class and position.

    It takes about ten minutes on two cores, most of them for agents that solve tasks.

    Example: flyball models verify
    """
    from ...inference.models.family import WEIGHTS
    from ...inference.models.verify import verify_family

    with refusals():
        sound = verify_family(weights or WEIGHTS, measure=not hashes)
    if sound is False:
        raise CliError("the family is not as it was shipped; `flyball models train` makes it")
