"""``flyball tensorboard``: look at a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import CliError, refusals, say


def tensorboard(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of a run. Default: the one written to last.")
    ] = None,
    port: Annotated[int, typer.Option(help="To serve the page on.", min=1, max=65535)] = 6006,
    root: Annotated[Path, typer.Option(help="Folder in which runs are.")] = Path("runs"),
) -> None:
    """Open TensorBoard on a run; Ctrl-C or SIGTERM ends it.

    Example: flyball tensorboard
    """
    from ..runs import check_run, newest_run
    from ..supervise import Stopped, stoppable

    with refusals():
        folder = check_run(run) if run else newest_run(root)
    say(f"{folder}: http://127.0.0.1:{port}/#custom_scalars")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with stoppable():
        process = subprocess.Popen(command)
        try:
            code = process.wait()
        except Stopped:
            return
        finally:
            process.terminate()
            process.wait()
    if code:
        raise CliError(f"TensorBoard ended with code {code}; is port {port} in use? see --port")
