"""Batches that training went wrong on, kept beside the run for whoever looks for the cause."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from safetensors.numpy import save as save_tensors

from ..policies.replay import Rows
from ..policies.transition import OutcomeBatch

FOLDER: Final = "offending"
KEPT: Final = 5
"""Files kept; of more, the oldest go."""


def keep_batch(run: Path, batch: Rows, what: str, update: int) -> str:
    """Write a batch to ``RUN/offending/WHAT-UPDATE.safetensors``.

    It holds the columns of ``Rows``; its metadata names those of the outcomes.

    Args:
        run: folder of the run.
        batch: as it was trained on.
        what: what went wrong: loss or candidate.
        update: gradient steps so far.

    Returns:
        "; the batch is in PATH", or why it is not: a full disk must not end the learner.
    """
    folder = run / FOLDER
    path = folder / f"{what}-{update}.safetensors"
    columns = {f.name: np.ascontiguousarray(getattr(batch, f.name)) for f in fields(batch)}
    counts = ("checked_1...", "tried_1...", "accepted_1...")
    names = msgspec.json.encode([*OutcomeBatch.SCALARS, *counts]).decode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save_tensors(columns, {"outcomes": names}))
        files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-KEPT]:
            old.unlink()
    except OSError as e:
        return f"; its batch could not be kept: {e}"
    return f"; the batch is in {path}"
