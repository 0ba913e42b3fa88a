"""Folders of runs: ``runs/{what}__{seed}__{time}``."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

RUNS: Final = Path("runs")
_EVENTS: Final = "events.out.tfevents.*"  # TensorBoard's files


class RunError(ValueError):
    """A run's folder that cannot be used, with the reason."""


def new_run(what: str, seed: int, root: Path = RUNS) -> Path:
    """A name for a new run; the folder is not made yet."""
    return root / f"{what}__{seed}__{time.strftime('%Y%m%d-%H%M%S')}"


def newest_run(root: Path = RUNS) -> Path:
    """The run that was written to last.

    Raises:
        RunError: if there is none.
    """
    events = list(root.rglob(_EVENTS))
    if not events:
        raise RunError(f"no run in {root.resolve()}; `flyball serve` makes one, or name a folder")
    return max(events, key=lambda file: file.stat().st_mtime).parent


def check_run(folder: Path) -> Path:
    """A folder that TensorBoard can show, as it was given.

    Raises:
        RunError: if it is not there, or nothing was written for TensorBoard in or below it.
    """
    if not folder.is_dir():
        raise RunError(f"no folder {folder}; give the folder of a run")
    if next(folder.rglob(_EVENTS), None) is None:
        raise RunError(
            f"{folder} is no run: there is nothing for TensorBoard in or below it; without a "
            "folder, the run that was written to last is shown"
        )
    return folder


class RunLock:
    """One controller per run: held from construction until it is released.

    Raises:
        RunError: if another process holds it or the folder cannot be written.
    """

    def __init__(self, run: Path) -> None:
        try:
            run.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(run / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as e:
            raise RunError(f"cannot write to the run {run}: {e.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise RunError(
                f"another controller works on the run {run}; give another --run"
            ) from None

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)
