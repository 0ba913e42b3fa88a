"""The manifest of the shipped weights: every file's hash, and the figures they were made with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .family import NAMES

FILE = "manifest.json"
VERSION = 1


def write(weights: Path, figures: dict[str, Any]) -> None:
    """Write the manifest of what is in the model folders now."""
    files = {
        file.relative_to(weights).as_posix(): {"sha256": digest(file), "bytes": file.stat().st_size}
        for file in _files(weights)
    }
    content = {"version": VERSION, "files": files, "figures": figures}
    (weights / FILE).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def read(weights: Path) -> dict[str, Any]:
    """Read the manifest.

    Raises:
        ValueError: It is missing, broken, or of another version.
    """
    try:
        content = json.loads((weights / FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{weights} has no {FILE}; `flyball models train` writes it") from None
    except ValueError as error:
        raise ValueError(f"{weights / FILE} is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise ValueError(f"{weights / FILE} has no table of files")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{weights / FILE} has version {content.get('version')}, this flyball reads {VERSION}"
        )
    return content


def problems(weights: Path) -> list[str]:
    """Return what differs from the manifest, a line each; empty when all is as it was shipped."""
    try:
        expected = read(weights)["files"]
    except ValueError as error:
        return [str(error)]
    found = {file.relative_to(weights).as_posix(): file for file in _files(weights)}
    missing = [f"{name} is missing" for name in expected if name not in found]
    unknown = [f"{name} is not in the manifest" for name in found if name not in expected]
    damaged = [
        f"{name} is damaged: its SHA-256 is {digest(found[name])}, not {one['sha256']}"
        for name, one in expected.items()
        if name in found and digest(found[name]) != one["sha256"]
    ]
    return missing + unknown + damaged


def digest(file: Path) -> str:
    """Return a file's SHA-256, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(weights: Path) -> list[Path]:
    return sorted(file for name in NAMES for file in (weights / name).rglob("*") if file.is_file())
