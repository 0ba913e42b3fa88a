"""What a record of ``flyball bench drafters`` says.

Ratios are of throughput, so above 1 is better: seconds per token of each request of the one arm
over those of the other, side by side in every visit, as a geometric mean over phases, each with a
bootstrap interval over its visits. The best single drafter is the best in hindsight, on the very
visits that it is compared on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..stats import Interval, ratio_interval
from .arms import LEARNED_ARM, OFF, SESSIONS, Arm, arms, session_arms
from .record import Record, Visit


def figures(record: Record) -> dict[str, float]:
    """Every figure of what was measured so far."""
    found = dict[str, float]()
    contents = [visit for visit in record.visits if visit.phase != SESSIONS]
    sessions = [visit for visit in record.visits if visit.phase == SESSIONS]
    seed, setup = record.setup.seed, record.setup
    if contents:
        found |= _of_contents(contents, arms(setup.k_max, setup.quick), seed)
    if sessions:
        found |= _of_sessions(sessions, session_arms(setup.k_max, setup.quick), seed)
    turns = [turn for visit in record.visits for turn in visit.turns]
    found |= {"requests": sum(t.requests for t in turns), "failed": sum(t.failed for t in turns)}
    for part in record.offline.values():
        found |= part
    return found


def table(record: Record) -> dict[str, dict[str, Any]]:
    """What each arm did, by phase: milliseconds per token of each request, tokens per second."""
    known = arms(record.setup.k_max, record.setup.quick)
    out: dict[str, dict[str, Any]] = {
        arm.name: {"policy": arm.policy, "drafter": arm.drafter} for arm in known
    }
    for name, said in out.items():
        for phase in record.setup.phases:
            visits = [visit for visit in record.visits if visit.phase == phase]
            turns = [t for visit in visits for t in visit.turns if t.arm == name and t.emitted]
            if turns:
                tokens = sum(t.emitted for t in turns)
                spent = sum(t.request_seconds for t in turns)
                said[phase] = {
                    "ms_per_token": 1e3 * spent / tokens,
                    "tokens_per_second": tokens / sum(t.seconds for t in turns),
                    "verified_per_token": sum(t.verified for t in turns) / tokens,
                }
    return out


def ratio(visits: Sequence[Visit], ours: str, theirs: str, seed: int) -> Interval | None:
    """Throughput of one arm over another's, over the phases of some visits; None without any."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for visit in visits:
        mine, other = per_token(visit, ours), per_token(visit, theirs)
        if mine is not None and other is not None:
            pairs.setdefault(visit.phase, []).append((other, mine))
    return ratio_interval(list(pairs.values()), seed) if pairs else None


def per_token(visit: Visit, arm: str) -> float | None:
    """Seconds per token of each request; None where nothing was measured."""
    turns = [t for t in visit.turns if t.arm == arm and t.emitted and t.request_seconds]
    if not turns:
        return None
    return sum(t.request_seconds for t in turns) / sum(t.emitted for t in turns)


def best(visits: Sequence[Visit], known: Sequence[Arm]) -> str:
    """The drafter that is best for all of some visits, in hindsight."""
    over_off = {arm.name: ratio(visits, arm.name, OFF.name, 0) for arm in known if arm.is_single}
    values = {name: found.value for name, found in over_off.items() if found is not None}
    return max(values, key=lambda name: values[name])


def _of_contents(visits: Sequence[Visit], known: Sequence[Arm], seed: int) -> dict[str, float]:
    out = _over_off(visits, known, "", seed)
    ours = LEARNED_ARM.name
    out |= _figure("learned_over_best_single", ratio(visits, ours, best(visits, known), seed))
    by_class: dict[str, Interval] = {}
    for content in dict.fromkeys(visit.phase.rpartition(" x ")[2] for visit in visits):
        mine = [visit for visit in visits if visit.phase.endswith(f" x {content}")]
        found = ratio(mine, ours, best(mine, known), seed)
        if found is not None:
            by_class[content] = found
            out |= _figure(f"{content}_vs_best_single", found)
        out |= _over_off(mine, known, f"{content}_", seed)
    if by_class:
        worst = min(by_class.values(), key=lambda found: found.value)
        out |= _figure("worst_class_vs_best_single", worst)
    return out


def _of_sessions(visits: Sequence[Visit], known: Sequence[Arm], seed: int) -> dict[str, float]:
    out = _over_off(visits, known, "sessions_", seed)
    out |= _figure("suffix_tool_calls_over_off", ratio(visits, "suffix", OFF.name, seed))
    chosen = ratio(visits, LEARNED_ARM.name, best(visits, known), seed)
    return out | _figure("sessions_vs_best_single", chosen)


def _over_off(
    visits: Sequence[Visit], known: Sequence[Arm], prefix: str, seed: int
) -> dict[str, float]:
    """Each arm's throughput over off's; PREFIX_ARM_over_off, ``suffix_prose_over_off`` as asked."""
    out: dict[str, float] = {}
    for arm in known:
        if arm != OFF:
            name = arm.name.replace(" ", "_")
            figure = f"{prefix}{name}_over_off"
            if figure == "prose_suffix_over_off":
                figure = "suffix_prose_over_off"
            out |= _figure(figure, ratio(visits, arm.name, OFF.name, seed))
    return out


def _figure(name: str, found: Interval | None) -> dict[str, float]:
    if found is None or not np.isfinite((found.value, found.low, found.high)).all():
        return {}
    return found.figures(name)
