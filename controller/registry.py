"""The registry: every promoted snapshot as a numbered file, and which one is current."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from ..policies.files import replace_file
from ..policies.snapshot import SnapshotError

log = logging.getLogger(__name__)

SNAPSHOTS: Final = "snapshots"
"""Name of the registry's folder in a run's."""


class RegistryError(KeyError):
    """There is no such snapshot; the message says which there are."""

    def __str__(self) -> str:
        return str(self.args[0])


class Numbered(Protocol):
    """A snapshot, of whichever control point."""

    @property
    def meta(self) -> Any:
        """What it says of itself, its ``number`` at least."""
        ...

    def save(self, path: Path) -> None:
        """Write to a file, atomically."""
        ...


_Snapshot = TypeVar("_Snapshot", bound=Numbered)


class Registry(Generic[_Snapshot]):
    """Snapshots ``00000042.safetensors`` in a folder, and a file ``current`` naming one.

    Numbers only grow, across restarts too. The newest ``keep`` stay, of the older ones every
    ``every``-th, and the current one always.

    Args:
        folder: made if it is not there.
        keep: how many of the newest stay.
        every: which of the older ones do.
        load: reads a snapshot's file; raises ``SnapshotError``.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 500,
        every: int = 100,
        *,
        load: Callable[[Path], _Snapshot],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.keep = keep
        self.every = every
        self._load = load
        self._numbers = sorted(
            int(path.stem) for path in folder.glob("*.safetensors") if path.stem.isdigit()
        )
        self._next = max(self._numbers, default=0) + 1
        self._current = self._read_current()

    @property
    def next_number(self) -> int:
        """The number of the next snapshot."""
        return self._next

    @property
    def numbers(self) -> list[int]:
        """Numbers that can be had, ascending."""
        return list(self._numbers)

    @property
    def current(self) -> _Snapshot | None:
        """The one in force."""
        return self._current

    def reserve(self, number: int) -> None:
        """Numbers continue above this one, even if its file is gone."""
        self._next = max(self._next, number + 1)

    def add(self, snapshot: _Snapshot) -> None:
        """Store a snapshot numbered ``next_number`` and make it current.

        Raises:
            ValueError: if it has another number.
        """
        number = snapshot.meta.number
        if number != self._next:
            raise ValueError(f"the next snapshot is number {self._next}, not {number}")
        snapshot.save(self._path(number))
        self._numbers.append(number)
        self._next = number + 1
        self._point(snapshot)
        self._prune()

    def get(self, number: int) -> _Snapshot:
        """A snapshot by its number.

        Raises:
            RegistryError: if there is none of that number.
            SnapshotError: if its file is damaged.
        """
        if number not in self._numbers:
            raise RegistryError(f"no snapshot {number!r}; there {_listed(self._numbers)}")
        return self._load(self._path(number))

    def promote(self, number: int) -> _Snapshot:
        """Make a stored snapshot current again.

        Raises:
            RegistryError: if there is none of that number.
            SnapshotError: if its file is damaged.
        """
        snapshot = self.get(number)
        self._point(snapshot)
        return snapshot

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.safetensors"

    def _point(self, snapshot: _Snapshot) -> None:
        replace_file(self.folder / "current", f"{snapshot.meta.number}\n".encode())
        self._current = snapshot

    def _read_current(self) -> _Snapshot | None:
        """The current one; if it cannot be used, the newest that can."""
        try:
            text = (self.folder / "current").read_text().strip()
            pointed = [int(text)] if text.isdecimal() else []
        except (OSError, UnicodeDecodeError):
            pointed = []
        reasons = []
        found = None
        for number in dict.fromkeys(pointed + self._numbers[::-1]):
            try:
                found = self.get(number)
                break
            except (RegistryError, SnapshotError) as e:
                reasons.append(f"snapshot {number} cannot be used: {e}")
        if reasons:
            others = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            instead = f"snapshot {found.meta.number} is" if found else "none is"
            log.error("%s%s; %s in force", reasons[0], others, instead)
        return found

    def _prune(self) -> None:
        current = self._current.meta.number if self._current else 0
        gone = [n for n in self._numbers[: -self.keep] if n % self.every and n != current]
        for number in gone:
            self._path(number).unlink(missing_ok=True)
        self._numbers = [n for n in self._numbers if n not in gone]


def _listed(numbers: list[int]) -> str:
    if not numbers:
        return "are none yet"
    if len(numbers) <= 10:
        return "are " + ", ".join(map(str, numbers))
    return f"are {len(numbers)}, the newest " + ", ".join(map(str, numbers[-10:]))
