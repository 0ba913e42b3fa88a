"""Checkpoints that are whole or not there: written beside, then renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save(file: Path, content: dict[str, Any]) -> None:
    """Write plain data and tensors."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".partial")
    torch.save(content, beside)
    beside.replace(file)


def load(file: Path) -> dict[str, Any] | None:
    """Read a checkpoint, on the CPU; None when there is none."""
    if not file.exists():
        return None
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content
