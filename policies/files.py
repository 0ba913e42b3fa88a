"""Files that are there wholly or as they were before, whatever happens in the middle."""

from __future__ import annotations

from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place, then put it there.

    Raises:
        OSError: if that is not possible.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
