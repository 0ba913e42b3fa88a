"""What a live run has measured so far, in a file that is whole after every visit.

A run may end early, and may be continued by another: with another start of the engine, its
sittings, of which each begins cold. What is kept are sums, so that every figure can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from ...policies.files import replace_file
from ...policies.transition import Floats
from .tally import SUMS, Arm, Tally

SCHEMA: Final = 1


class RecordError(ValueError):
    """A record that cannot be used, with the reason."""


class Turned(msgspec.Struct, frozen=True, array_like=True):
    """What an arm used and gave in one turn.

    Attributes:
        arm: its place among the arms of the setup.
        seconds: how long it decided.
        sums: what ``tally.SUMS`` names.
    """

    arm: int
    seconds: float
    sums: tuple[float, ...]


class Visit(msgspec.Struct, frozen=True):
    """One phase of traffic, in which arms took turns.

    Attributes:
        sitting: start of the engine, from 0.
        round: visits of every phase make a round, from 0 in the run; those from a cold start
            have numbers of their own, from 0 in every sitting.
        phase: name of the phase.
        cold: whether it is of the cold start, in which only some arms take turns.
        served: seconds in which ours had decided before it, in this sitting.
        turns: in order.
    """

    sitting: int
    round: int
    phase: str
    cold: bool
    served: float
    turns: list[Turned]


class Setup(msgspec.Struct, frozen=True):
    """What has to be the same for visits to be compared.

    Attributes:
        target: name of the target model.
        draft: name of the draft model.
        k_max: greatest depth, tokens.
        max_tokens: per request.
        guard: whether the guard holds ours.
        slice_seconds: of engine steps, per arm and visit.
        cold_seconds: of every learning arm's own deciding before anything is compared.
        arms: policy and speed of what is compared.
        phases: names of the traffic's kinds.
        machine: what it ran on.
        versions: of what it depends on.
    """

    target: str
    draft: str
    k_max: int
    max_tokens: int
    guard: bool
    slice_seconds: float
    cold_seconds: float
    arms: list[tuple[str, float | None]]
    phases: list[str]
    machine: dict[str, Any]
    versions: dict[str, str]


class Record(msgspec.Struct):
    """Everything measured.

    Attributes:
        setup: how.
        seed: of order and traffic.
        visits: that are over, oldest first.
        sittings: starts of the engine.
        requests: that ended.
        failed: of them.
        schema: version of this form.
    """

    setup: Setup
    seed: int
    visits: list[Visit] = []
    sittings: int = 0
    requests: int = 0
    failed: int = 0
    schema: int = SCHEMA

    @property
    def arms(self) -> list[Arm]:
        """What is compared."""
        return [Arm(*arm) for arm in self.setup.arms]

    def warm(self) -> list[Visit]:
        """Visits in which everything is compared."""
        return [visit for visit in self.visits if not visit.cold]

    def left(self, number: int) -> list[str]:
        """Phases that a round has not visited yet."""
        seen = {visit.phase for visit in self.warm() if visit.round == number}
        return [phase for phase in self.setup.phases if phase not in seen]

    def sums(self, visits: Sequence[Visit]) -> Floats:
        """What every arm used and gave, shape (arms, visits, len(SUMS)); 0 without a turn."""
        table = np.zeros((len(self.setup.arms), len(visits), len(SUMS)))
        for i, visit in enumerate(visits):
            for turn in visit.turns:
                table[turn.arm, i] += turn.sums
        return table

    def tally(self) -> Tally:
        """Sums of every arm in every round and phase, where all of them emitted something."""
        visits = self.warm()
        units = [(visit.round, visit.phase) for visit in visits]
        return Tally(self.arms, units, self.sums(visits)).complete()

    def save(self, path: Path) -> None:
        """Write it so that it is there wholly or as it was before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(self))


def load_record(path: Path) -> Record:
    """A record from its file.

    Raises:
        RecordError: if it is none, saying why.
        OSError: if it cannot be read.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        _check(record)
    except (msgspec.DecodeError, ValueError) as e:
        raise RecordError(f"{path} is no record of `flyball bench depth`: {e}") from None
    return record


def check_setup(record: Record, setup: Setup) -> None:
    """Refuse to go on with a record that was measured otherwise.

    Raises:
        RecordError: naming what differs.
    """
    then, now = msgspec.to_builtins(record.setup), msgspec.to_builtins(setup)
    other = [f"{key} {then[key]!r} then, {now[key]!r} now" for key in now if then[key] != now[key]]
    if other:
        raise RecordError(f"the record was measured otherwise: {'; '.join(other)}")


def _check(record: Record) -> None:
    """Refuse what no run could have written."""
    setup = record.setup
    if record.schema != SCHEMA:
        raise ValueError(f"its form is version {record.schema}, not {SCHEMA}")
    if not setup.arms or not setup.phases:
        raise ValueError("its setup has no arms or no phases")
    for visit in record.visits:
        if visit.phase not in setup.phases:
            raise ValueError(f"it has no phase {visit.phase!r}")
        for turn in visit.turns:
            _check_turn(turn, len(setup.arms))


def _check_turn(turn: Turned, arms: int) -> None:
    if not 0 <= turn.arm < arms:
        raise ValueError(f"it has no arm {turn.arm}")
    values = [turn.seconds, *turn.sums]
    if len(turn.sums) != len(SUMS) or not np.isfinite(values).all() or min(values) < 0:
        raise ValueError(f"sums must be {len(SUMS)} finite numbers from 0, not {turn.sums}")
