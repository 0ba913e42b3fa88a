"""Compiling in this package: what is older than any source that it rests on is removed first."""

from __future__ import annotations

from pathlib import Path

from ..compiling import compiled, forget_stale

__all__ = ["compiled"]

_HERE = Path(__file__).parent

forget_stale(_HERE, [*_HERE.glob("*.py"), *_HERE.parent.glob("*.py")])
