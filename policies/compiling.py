"""Compiling of what is too fast for Python: the planning of engine steps and the simulator.

Numba keeps what it compiled beside the sources, and by itself notices a change of a function's own
file only, not of what it calls or of constants. So what is older than any source of its package
is removed, before it would be loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function when it is first called; the result is kept on disk.

    It keeps the interpreter's lock: an engine's thread that gave it up for some microseconds could
    wait milliseconds to get it back.
    """
    compiling: Callable[[F], F] = njit(cache=True, error_model="numpy")
    return compiling(function)


def forget_stale(folder: Path, sources: Iterable[Path]) -> None:
    """Remove what was compiled in a folder before the latest change of any source.

    Args:
        folder: of the compiled sources.
        sources: all that their code or constants come from.
    """
    kept = [*(folder / "__pycache__").glob("*.nb[ci]")]
    with suppress(OSError):  # where nothing can be removed, numba keeps nothing either
        newest = max(path.stat().st_mtime for path in sources)
        if any(path.stat().st_mtime < newest for path in kept):
            for path in kept:
                path.unlink(missing_ok=True)


_HERE = Path(__file__).parent

forget_stale(_HERE, _HERE.glob("*.py"))
