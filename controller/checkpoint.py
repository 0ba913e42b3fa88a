"""Checkpoints: a folder of safetensors and one JSON file, written whole or not at all.

``checkpoint`` is the newest, ``checkpoint.previous`` the one before, from which a learner resumes
where the newest is damaged. A damaged one is set aside as ``<name>.damaged-<time>``, never deleted
and never read again.
"""

from __future__ import annotations

import logging
import shutil
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

log = logging.getLogger(__name__)

SCHEMA: Final = 1
Tensors = dict[str, npt.NDArray[Any]]
State = TypeVar("State", bound=msgspec.Struct)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, with the reason."""


class _Manifest(msgspec.Struct):
    """What a checkpoint consists of: the state, and a checksum of every tensor file."""

    state: msgspec.Raw
    files: dict[str, int]
    schema: int = SCHEMA


def write(folder: Path, state: msgspec.Struct, groups: Mapping[str, Tensors]) -> None:
    """Replace the checkpoint at ``folder`` at once; the one before is kept beside it.

    Args:
        folder: where it goes.
        state: everything that is not a tensor.
        groups: tensors by file name, without its ending.
    """
    partial, previous = _beside(folder, "partial"), _beside(folder, "previous")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    files = {}
    for name, tensors in groups.items():
        data = save_tensors({key: np.asarray(array, order="C") for key, array in tensors.items()})
        (partial / f"{name}.safetensors").write_bytes(data)
        files[name] = zlib.crc32(data)
    manifest = _Manifest(msgspec.Raw(msgspec.json.encode(state)), files)
    (partial / "state.json").write_bytes(msgspec.json.encode(manifest))
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    partial.rename(folder)


def read(folder: Path, kind: type[State]) -> tuple[State, dict[str, Tensors]]:
    """The state and the tensor groups of a checkpoint.

    Raises:
        CheckpointError: saying what is wrong with it.
    """
    try:
        manifest = msgspec.json.decode((folder / "state.json").read_bytes(), type=_Manifest)
        if manifest.schema != SCHEMA:
            raise CheckpointError(f"schema {manifest.schema}, this flyball reads {SCHEMA}")
        state = msgspec.json.decode(manifest.state, type=kind)
        groups = {name: _tensors(folder, name, crc) for name, crc in manifest.files.items()}
    except (OSError, SafetensorError, msgspec.DecodeError, TypeError) as e:
        raise CheckpointError(f"{folder}: {e}") from None
    return state, groups


def find(folder: Path) -> list[Path]:
    """The checkpoints to resume from, the newest first.

    It is the previous one alone where a writer was killed between setting that aside and putting
    the new one in its place.
    """
    return [there for there in (folder, _beside(folder, "previous")) if there.exists()]


def set_aside(folder: Path, reason: str) -> Path:
    """Give a damaged checkpoint another name, and say so; its new name."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = _beside(folder, f"damaged-{stamp}")
    for count in range(1, 1000):
        if not aside.exists():
            break
        aside = _beside(folder, f"damaged-{stamp}-{count}")
    folder.rename(aside)
    log.error("damaged checkpoint set aside as %s: %s", aside, reason)
    return aside


def _tensors(folder: Path, name: str, checksum: int) -> Tensors:
    if not name.isidentifier():
        raise CheckpointError(f"{folder}: unexpected file name {name!r}")
    data = (folder / f"{name}.safetensors").read_bytes()
    if zlib.crc32(data) != checksum:
        raise CheckpointError(f"{folder}: {name}.safetensors does not match its checksum")
    return load_tensors(data)


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(f"{folder.name}.{ending}")
