"""What a run of ``flyball bench drafters`` has measured so far, whole after every visit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from ...policies.files import replace_file

SCHEMA: Final = 1


class RecordError(ValueError):
    """A record that cannot be used, with the reason."""


class Turned(msgspec.Struct, frozen=True):
    """What an arm used and gave in one turn.

    Attributes:
        arm: its name.
        seconds: of engine steps that decoded.
        request_seconds: the same, times the requests in them.
        emitted: tokens.
        verified: positions that the target ran.
        requests: that ended.
        failed: of them.
    """

    arm: str
    seconds: float
    request_seconds: float
    emitted: int
    verified: int
    requests: int
    failed: int


class Visit(msgspec.Struct, frozen=True):
    """One kind of traffic, in which arms took turns on the same requests.

    Attributes:
        round: from 0.
        phase: name of the traffic.
        turns: in order.
    """

    round: int
    phase: str
    turns: list[Turned]


class Setup(msgspec.Struct, frozen=True):
    """What has to be the same for visits to be compared.

    Attributes:
        target: name of the target model.
        draft: name of the draft model.
        k_max: greatest depth, tokens.
        seed: of order and traffic.
        quick: whether it is a rough answer.
        phases: names of the traffic's kinds.
        machine: what it ran on.
        versions: of what it depends on.
    """

    target: str
    draft: str
    k_max: int
    seed: int
    quick: bool
    phases: list[str]
    machine: dict[str, Any]
    versions: dict[str, str]


class Record(msgspec.Struct):
    """Everything measured.

    Attributes:
        setup: how.
        visits: that are over, oldest first.
        offline: figures of what needs no engine, by part.
        states: of the engine's drafters at the end of the latest sitting, as its status has them.
        schema: version of this form.
    """

    setup: Setup
    visits: list[Visit] = []
    offline: dict[str, dict[str, float]] = {}
    states: dict[str, dict[str, Any]] = {}
    schema: int = SCHEMA

    def left(self, number: int) -> list[str]:
        """Phases that a round has not visited yet."""
        seen = {visit.phase for visit in self.visits if visit.round == number}
        return [phase for phase in self.setup.phases if phase not in seen]

    def save(self, path: Path) -> None:
        """Write it so that it is there wholly or as it was before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(self))


def load_record(path: Path, setup: Setup) -> Record:
    """A record from its file, to go on with.

    Raises:
        RecordError: if it is none, or was measured otherwise, saying in what.
        OSError: if it cannot be read.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
        _check(record)
    except (msgspec.DecodeError, ValueError) as e:
        raise RecordError(f"{path} is no record of `flyball bench drafters`: {e}") from None
    then, now = msgspec.to_builtins(record.setup), msgspec.to_builtins(setup)
    other = [f"{key} {then[key]!r} then, {now[key]!r} now" for key in now if then[key] != now[key]]
    if other:
        raise RecordError(f"the record was measured otherwise: {'; '.join(other)}")
    return record


def _check(record: Record) -> None:
    """Refuse what no run could have written."""
    if record.schema != SCHEMA:
        raise ValueError(f"its form is version {record.schema}, not {SCHEMA}")
    for visit in record.visits:
        if visit.phase not in record.setup.phases:
            raise ValueError(f"it has no phase {visit.phase!r}")
        for turn in visit.turns:
            values = (turn.seconds, turn.request_seconds, turn.emitted, turn.verified)
            if not np.isfinite(values).all() or min(values) < 0:
                raise ValueError(f"a turn of {turn.arm} has {values}, which are no sums")
