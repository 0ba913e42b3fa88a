"""How long after a cold start on a live engine ours is as good as the best depth in hindsight.

In the cold start ours takes turns with one fixed depth, on the same requests: that gives its
latency over that depth's, which the comparison afterwards relates to the best depth of the phase,
by then known from data of their own. A round of all phases gives one such value. Serving is counted
in seconds that ours decided, at any speed; the turns of others teach it nothing and do not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...policies.transition import Floats
from .figures import OFF, OURS, fixed_policies, objectives
from .paired import by_phase, crossfit
from .record import Record, Visit
from .tally import SUMS, Arm, Tally

WINDOW: Final = 60.0
"""Seconds over which regret is taken, as in the simulator."""

SPEED: Final = 1.0
"""Of the arm that serves from the cold start: J is latency."""


_RS, _EMITTED = SUMS.index("request_seconds"), SUMS.index("emitted")


@dataclass(frozen=True)
class Round:
    """One round of all phases, mean over sittings.

    Attributes:
        end: seconds of serving at its end.
        j: of ours at ``SPEED``, off = 1.0, mean over phases.
    """

    end: float
    j: float


def seconds_to_regret(record: Record, limit: float) -> float | None:
    """Seconds of serving after which the regret in latency stays at or under a limit.

    The time by which every later minute's regret against the best fixed depth of each phase is at
    most the limit, mean over sittings. The end of the run, where that is true of no time; None
    where nothing was measured from a cold start, or not yet with what follows it.

    Args:
        record: what was measured.
        limit: such as .05.
    """
    tally = record.tally()
    if Arm(OURS, SPEED) not in tally.arms or not {p for _, p in tally.units} >= _phases(record):
        return None
    rounds = course(record, tally)
    if not rounds or not any(visit.cold for visit in record.visits):
        return None
    return settled(rounds, best_j(tally).mean(), limit)


def settled(rounds: Sequence[Round], best: float, limit: float) -> float:
    """Seconds after which no minute of some rounds has more regret than a limit.

    Args:
        rounds: oldest first.
        best: J without regret.
        limit: on the regret.
    """
    last, late = 0, -1
    starts = [0.0, *(r.end for r in rounds)]
    for first in range(len(rounds)):
        whole = (i for i in range(first, len(rounds)) if starts[i + 1] - starts[first] >= WINDOW)
        stop = next(whole, None)
        if stop is None and first:
            break  # what is left is less than a minute
        last = first
        window = rounds[first : len(rounds) if stop is None else stop + 1]
        if np.mean([r.j for r in window]) / best - 1.0 > limit:
            late = first
    if late < 0:
        return 0.0
    return rounds[-1].end if late == last else rounds[late].end


def best_j(tally: Tally) -> Floats:
    """J at ``SPEED`` of the best fixed depth of each phase, shape (phases,).

    Where every phase was visited more than once it is that of the depth which was best in the
    other visits.
    """
    fixed = objectives(tally, fixed_policies(tally), SPEED)
    assert fixed is not None
    visits = by_phase(tally)
    if min(len(units) for units in visits) < 2:
        return np.array([fixed[:, units].mean(1).min() for units in visits])
    chosen = crossfit(fixed, visits)
    return np.array([chosen[units].mean() for units in visits])


def course(record: Record, tally: Tally) -> list[Round]:
    """J of ours round by round, from the cold start on; incomplete rounds are left out."""
    units = [(tally.units[i][1], i) for i in range(len(tally.units))]
    found: dict[tuple[bool, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    ends: dict[tuple[bool, int], dict[int, float]] = defaultdict(dict)
    for visit, number in _numbered(record):
        key = (not visit.cold, number)
        j = _cold_j(record, tally, visit, units) if visit.cold else _warm_j(record, visit)
        if j is not None:
            found[key][visit.phase].append(j)
            ends[key][visit.sitting] = visit.served + _own_seconds(record, visit)
    whole = [key for key in sorted(found) if set(found[key]) == _phases(record)]
    return [
        Round(
            float(np.mean(list(ends[key].values()))),
            float(np.mean([np.mean(js) for js in found[key].values()])),
        )
        for key in whole
    ]


def _phases(record: Record) -> set[str]:
    return set(record.setup.phases)


def _numbered(record: Record) -> list[tuple[Visit, int]]:
    """Visits with the number of their round in their own sitting."""
    seen: dict[tuple[int, bool, str], int] = defaultdict(int)
    out = []
    for visit in record.visits:
        key = (visit.sitting, visit.cold, visit.phase)
        out.append((visit, seen[key]))
        seen[key] += 1
    return out


def _cold_j(
    record: Record, tally: Tally, visit: Visit, units: Sequence[tuple[str, int]]
) -> float | None:
    """Ours over the fixed depth beside it, times that depth's own J in the phase."""
    by_arm = dict(zip(record.arms, record.sums([visit])[:, 0], strict=True))
    took = {record.arms[turn.arm] for turn in visit.turns}
    beside = next((arm for arm in took if arm.policy in fixed_policies(tally)), None)
    if beside is None or Arm(OURS, SPEED) not in took:
        return None
    ours, other = by_arm[Arm(OURS, SPEED)], by_arm[beside]
    if not (ours[_EMITTED] and other[_EMITTED] and other[_RS]):
        return None
    own = tally.objective(beside, OFF, SPEED)[[i for phase, i in units if phase == visit.phase]]
    ratio = ours[_RS] / ours[_EMITTED] / (other[_RS] / other[_EMITTED])
    return float(ratio * own.mean())


def _warm_j(record: Record, visit: Visit) -> float | None:
    one = Tally(record.arms, [(visit.round, visit.phase)], record.sums([visit])).complete()
    return float(one.objective(Arm(OURS, SPEED), OFF, SPEED)[0]) if one.units else None


def _own_seconds(record: Record, visit: Visit) -> float:
    """Seconds that ours decided in a visit."""
    return sum(t.seconds for t in visit.turns if record.arms[t.arm].policy == OURS)
