"""Stores on disk, in safetensors: a file per tenant; what cannot be read is set aside, not used."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ....policies.files import replace_file
from ....policies.transition import Floats
from .generation import Generation
from .keeping import Generations

log = logging.getLogger("flyball")

FORMAT: Final = "flyball-suffix/1"
_DTYPES: Final[Mapping[str, type]] = {
    "tokens": np.uint32,
    "order": np.uint32,
    "starts": np.int64,
    "sessions": np.int64,
    "uses": np.int64,
    "hashes": np.uint64,
    "hash_documents": np.int64,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a store.

    Attributes:
        generations: newest first.
        right: counts of ``Trust.tables``.
        accepted: the same.
    """

    generations: Generations
    right: Floats
    accepted: Floats


class StoreError(ValueError):
    """A file that is no store for this tenant and tokenizer, with the reason."""


def store_path(folder: Path, tenant: str) -> Path:
    """The file of a tenant's store; its name tells nothing of the tenant's."""
    return folder / f"{_digest(tenant.encode())[:32]}.safetensors"


def save(path: Path, kept: Kept, tenant: str, tokenizer: str) -> None:
    """Write a store, so that it is there wholly or as it was.

    Args:
        path: where to; a folder that is made for it is its owner's alone.
        kept: what to write.
        tenant: whose it is.
        tokenizer: fingerprint of what the ids mean.

    Raises:
        OSError: if that is not possible.
    """
    arrays = {
        f"{number}.{name}": np.ascontiguousarray(getattr(generation, name))
        for number, generation in enumerate(kept.generations)
        for name in _DTYPES
    }
    arrays |= {"right": kept.right, "accepted": kept.accepted}
    said = {
        "format": FORMAT,
        "tenant": _digest(tenant.encode()),
        "tokenizer": tokenizer,
        "generations": str(len(kept.generations)),
        "digest": _digest_of(arrays),
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, save_tensors(arrays, said))


def load(path: Path, tenant: str, tokenizer: str) -> Kept:
    """Read a store; arguments as of ``save``.

    Raises:
        StoreError: if it is damaged, or another tenant's or tokenizer's.
        OSError: if it cannot be read.
    """
    data = path.read_bytes()
    try:
        arrays = load_tensors(data)
        said = _said(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"it is damaged: {error}") from error
    right = {"format": FORMAT, "tenant": _digest(tenant.encode()), "tokenizer": tokenizer}
    for name, value in right.items():
        if said.get(name) != value:
            raise StoreError(f"its {name} is {said.get(name)!r}, not {value!r}")
    if said.get("digest") != _digest_of(arrays):
        raise StoreError("it is damaged: its contents are not those that were written")
    try:
        generations = (_generation(arrays, number) for number in range(int(said["generations"])))
        return Kept(tuple(generations), arrays["right"], arrays["accepted"])
    except (KeyError, ValueError) as error:
        raise StoreError(f"it lacks {error}") from error


def load_or_set_aside(path: Path, tenant: str, tokenizer: str) -> Kept | None:
    """Read a store; none where there is none, or where it had to be set aside, which is logged."""
    if not path.exists():
        return None
    try:
        return load(path, tenant, tokenizer)
    except (StoreError, OSError) as error:
        aside = _free(path)
        try:
            path.replace(aside)
        except OSError as failure:
            log.warning("suffix memory %s cannot be used or moved: %s; %s", path, error, failure)
        else:
            log.warning("suffix memory %s set aside as %s: %s; starting empty", path, aside, error)
        return None


def _free(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    return aside


def _generation(arrays: Mapping[str, Any], number: int) -> Generation:
    found = {name: arrays[f"{number}.{name}"] for name in _DTYPES}
    for name, dtype in _DTYPES.items():
        if found[name].dtype != dtype or found[name].ndim != 1:
            raise ValueError(f"a one-dimensional {name} of {np.dtype(dtype)}")
    return Generation(**found)


def _said(data: bytes) -> dict[str, str]:
    """The metadata, which the header has as JSON after its length in eight bytes."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said: dict[str, str] = header["__metadata__"]
    return said


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _digest_of(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}".encode())
        digest.update(memoryview(arrays[name]))
    return digest.hexdigest()
