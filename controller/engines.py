"""What the controller knows of every engine: its last beat and what it lately measured."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from ..inference.attainment import Attained
from ..inference.drafter_records import DrafterBeat
from ..inference.reports import Beat, EngineInfo, Totals, check_engine_name
from ..policies.prices import Prices
from ..policies.slo import MOST_CLASSES, is_class_name
from ..policies.spaces import MAX_DEPTH, check_depth, check_speed
from ..policies.transition import Transition

WINDOW: Final = 10.0
"""Seconds over which rates are averaged."""

LIVE: Final = 3.0
"""Seconds without a beat after which an engine counts as gone."""

MOST_ENGINES: Final = 256
MOST_DRAFTERS: Final = 32
_LONGEST: Final = 256  # characters of a drafter's name
_HELD: Final = 256  # transitions kept of an engine that did not yet say who it is


def check_beat(beat: Beat) -> None:
    """Refuse a beat that no engine could have sent.

    Raises:
        ValueError: saying what is wrong.
    """
    info = beat.info
    check_engine_name(info.engine)
    if not 1 <= info.k_max <= MAX_DEPTH:
        raise ValueError(f"k_max must be in [1, {MAX_DEPTH}], not {info.k_max}")
    check_depth(info.static_depth, info.k_max)
    check_depth(beat.depth, info.k_max)
    check_speed(beat.speed)
    totals = msgspec.structs.astuple(beat.totals)
    held_up = (beat.decide_us_p50, beat.decide_us_p99, beat.prepare_us_p50, beat.prepare_us_p99)
    scores = [s for s in (beat.survival_brier, beat.survival_ece) if s is not None]
    guard = beat.guard
    told = (guard.ratio or 0.0, guard.low or 0.0, guard.high or 0.0)
    guarded = (guard.falls, guard.seconds_left, guard.evidence, guard.explored, *told)
    figures = (info.parameter_ratio, beat.at, beat.ignored, *held_up, *guarded, *totals, *scores)
    if not all(math.isfinite(f) and f >= 0 for f in figures):
        raise ValueError(f"figures of a beat must be finite and not negative, got {figures}")
    if max(scores, default=0.0) > 1.0:
        raise ValueError(f"scores of predicted survival must be in [0, 1], got {scores}")
    _check_slo(beat.slo)
    _check_drafters(beat.drafters)


def _check_drafters(drafters: dict[str, DrafterBeat]) -> None:
    if len(drafters) > MOST_DRAFTERS or any(len(name) > _LONGEST for name in drafters):
        raise ValueError(
            f"there can be {MOST_DRAFTERS} drafters, with names of {_LONGEST} characters"
        )
    for beat in drafters.values():
        figures = [f for f in msgspec.structs.astuple(beat) if isinstance(f, (int, float))]
        if not all(math.isfinite(f) and f >= 0 for f in figures):
            raise ValueError(f"figures of a drafter must be finite and not negative, got {figures}")


def _check_slo(classes: dict[str, Attained]) -> None:
    if len(classes) > MOST_CLASSES + 1:  # and requests without a class
        raise ValueError(f"there can be {MOST_CLASSES} SLO classes, not {len(classes)}")
    for name, counts in classes.items():
        if name and not is_class_name(name):
            raise ValueError(f"no name of an SLO class: {name[:80]!r}")
        figures = msgspec.structs.astuple(counts)
        if not all(0 <= figure <= counts.finished for figure in figures):
            raise ValueError(f"requests of an SLO class must be in [0, finished], got {figures}")


@dataclass
class EngineView:
    """One engine.

    Attributes:
        name: its name.
        beat: the last one; None before the first.
        seen: when it arrived, in seconds of the controller's monotonic clock.
        held: transitions that arrived before the first beat.
        last: the latest transition.
    """

    name: str
    beat: Beat | None = None
    seen: float = 0.0
    held: list[Transition] = field(default_factory=list)
    last: Transition | None = None
    _totals: deque[tuple[float, Totals]] = field(default_factory=lambda: deque(maxlen=256))
    _recent: deque[tuple[float, Transition]] = field(default_factory=lambda: deque(maxlen=8192))

    @property
    def info(self) -> EngineInfo:
        """Who it says it is, once there was a beat."""
        assert self.beat is not None
        return self.beat.info

    def hear(self, beat: Beat, now: float) -> None:
        """Take a beat."""
        self.beat, self.seen = beat, now
        if self._totals:
            at, totals = self._totals[-1]
            if beat.totals.steps < totals.steps or beat.at < at:
                self._totals.clear()  # the engine was started again, or its clock set back
        # By the engine's clock: beats that waited for a controller all arrive at once.
        self._totals.append((beat.at, beat.totals))

    def hold(self, transitions: Iterable[Transition]) -> int:
        """Keep transitions until the first beat says whose they are; those that had no room."""
        self.held.extend(transitions)
        over = max(len(self.held) - _HELD, 0)
        del self.held[:over]
        return over

    def measured(self, transitions: Iterable[Transition], now: float) -> None:
        """Take what the engine measured."""
        for transition in transitions:
            self._recent.append((now, transition))
            self.last = transition

    def is_live(self, now: float) -> bool:
        """Whether it was heard of lately."""
        return self.beat is not None and now - self.seen < LIVE

    def recent(self, now: float) -> list[Transition]:
        """What it measured within the window, oldest first."""
        while self._recent and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()
        return [transition for _, transition in self._recent]

    def status(self, now: float, prices: Prices) -> dict[str, Any]:
        """Everything about it, for people; JSON-able."""
        assert self.beat is not None
        beat = msgspec.to_builtins(self.beat)
        info = beat.pop("info")
        beat.pop("schema")
        totals = beat.pop("totals")
        totals = dict(zip(Totals.__struct_fields__, totals, strict=True))
        beat["slo"] = {name: msgspec.structs.asdict(c) for name, c in self.beat.slo.items()}
        totals["dollars"] = _dollars(self.beat.totals, prices)
        return {
            **info,
            **beat,
            "age_s": now - self.seen,
            "live": self.is_live(now),
            **self._rates(now, prices),
            **shares_of(self.recent(now)),
            "totals": totals,
        }

    def _rates(self, now: float, prices: Prices) -> dict[str, float | None]:
        """By the beats within the window; None for what is not known."""
        end, last = self._totals[-1]
        while len(self._totals) > 2 and end - self._totals[0][0] > WINDOW:
            self._totals.popleft()
        start, first = self._totals[0]
        if now - self.seen > WINDOW:
            first = last  # nothing was heard, so nothing is known
        emitted = last.emitted - first.emitted
        latency = last.request_seconds - first.request_seconds
        dollars = _dollars(last, prices) - _dollars(first, prices)
        return {
            "tokens_per_second": emitted / max(end - start, 0.5),
            "seconds_per_token": latency / emitted if emitted else None,
            "dollars_per_token": dollars / emitted if emitted else None,
        }


def _dollars(used: Totals, prices: Prices) -> float:
    return (
        prices.verified * used.verified
        + prices.drafted * used.drafted
        + prices.second * used.seconds
    )


def shares_of(transitions: list[Transition]) -> dict[str, Any]:
    """How some intervals' drafts fared, and at which depths; None for what is not known.

    Args:
        transitions: of one engine.
    """
    outcomes = [t.outcome for t in transitions]
    tried = np.sum([o.tried for o in outcomes] or [(0,) * MAX_DEPTH], axis=0)
    accepted = np.sum([o.accepted for o in outcomes] or [(0,) * MAX_DEPTH], axis=0)
    depths = np.bincount([t.decision.applied for t in transitions], minlength=MAX_DEPTH + 1)
    intervals = len(transitions)
    return {
        "intervals": intervals,
        "acceptance": [float(a / n) if n else None for a, n in zip(accepted, tried, strict=True)],
        "depth_shares": (depths / intervals).tolist() if intervals else None,
    }
