"""TensorBoard: learning and serving, live, through Stable-Baselines3's logger."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray
from stable_baselines3.common.logger import HParam, Logger, TensorBoardOutputFormat

from ..inference.attainment import Attained
from ..inference.reports import Beat
from ..policies.columns import concatenate
from ..policies.prices import Prices, dollars
from ..policies.replay import Rows
from ..policies.spaces import MAX_DEPTH
from ..policies.transition import Floats, OutcomeBatch
from .drafters_shown import DrafterPoints

Counts = NDArray[np.int_]

# Rows kept between two points; of more, the newest count.
_WINDOW: Final = 8192
_STALE: Final = 10.0  # seconds after which a beat says nothing of the present


class Board:
    """Collects between points, and writes a point at every ``write``.

    Args:
        run: folder of the run; the events go there.
        options: hyperparameters, shown as a table.
        k_max: greatest depth, for the layout.
    """

    def __init__(self, run: Path, options: Mapping[str, Any], k_max: int = MAX_DEPTH) -> None:
        output = TensorBoardOutputFormat(str(run))
        self.logger = Logger(str(run), [output])
        self._writer = output.writer
        self._parts: list[Rows] = []
        self._beats: dict[str, Beat] = {}
        self._heard: dict[str, float] = {}
        self._emitted: dict[str, tuple[float, int]] = {}  # by engine: when, how many tokens
        self._falls: dict[str, int] = {}  # by engine, those that were told
        self._attained: dict[tuple[str, str], tuple[int, ...]] = {}  # by engine and SLO class
        self._drafters = DrafterPoints()
        self._queue = 0
        self._since = time.monotonic()
        self._last_counts = (0, 0)
        self._writer.add_custom_scalars(layout(k_max))
        table = {name: _cell(value) for name, value in options.items()}
        metrics = {"rollout/reward": 0.0, "rollout/latency": 1.0, "rollout/cost": 1.0}
        self.logger.record("hyperparameters", HParam(table, metrics))
        self.logger.dump(0)

    def add(self, rows: Rows) -> None:
        """Rows that were measured since the last point."""
        self._parts.append(rows)
        while len(self._parts) > 1 and sum(map(len, self._parts)) > _WINDOW:
            self._parts.pop(0)

    def beat(self, beat: Beat, queue: int = 0) -> None:
        """An engine's latest state, and how many messages wait for the learner."""
        engine = beat.info.engine
        if engine in self._beats or len(self._beats) < 256:
            if engine not in self._beats:  # what it did before belongs to no point
                self._attained |= {(engine, name): astuple(c) for name, c in beat.slo.items()}
            self._beats[engine], self._heard[engine] = beat, time.monotonic()
            self._emitted.setdefault(engine, (beat.at, beat.totals.emitted))
        self._queue = queue

    @property
    def dropped(self) -> int:
        """Transitions that the engines dropped, by their latest beats."""
        return sum(beat.dropped for beat in self._beats.values())

    def age(self) -> float:
        """Seconds since the last point."""
        return time.monotonic() - self._since

    def take(self) -> Rows | None:
        """The rows added since it was last called."""
        rows = concatenate(self._parts) if self._parts else None
        self._parts = []
        return rows

    def rollout(self, batch: OutcomeBatch, judged: Floats, prices: Prices) -> None:
        """What intervals were worth and what serving was like.

        Args:
            batch: the outcomes since the last point, at least one.
            judged: their latency, cost and reward, shape (n, 3).
            prices: what things cost.
        """
        record = self.logger.record
        emitted = max(float(batch.emitted.sum()), 1.0)
        for i, name in enumerate(("latency", "cost", "reward")):
            finite = np.isfinite(judged[:, i])
            weights = batch.emitted[finite]
            if weights.sum() > 0:
                record(f"rollout/{name}", float(np.average(judged[finite, i], weights=weights)))
        record("serve/seconds_per_token", float(batch.request_seconds.sum()) / emitted)
        record("serve/dollars_per_token", float(dollars(batch, prices).sum()) / emitted)
        record("serve/batch", float(batch.request_steps.sum() / batch.steps.sum()))
        self._depths(batch)
        with np.errstate(invalid="ignore"):
            acceptance = batch.accepted.sum(0) / batch.tried.sum(0)
        for j in np.flatnonzero(np.isfinite(acceptance)):
            record(f"serve/acceptance_{j + 1}", float(acceptance[j]))

    def _depths(self, batch: OutcomeBatch) -> None:
        steps = np.bincount(batch.depth.astype(np.intp), batch.steps, MAX_DEPTH + 1)
        self.logger.record("serve/depth", batch.depth)
        self.logger.record("serve/depth_mean", float(np.average(batch.depth, weights=batch.steps)))
        for depth, share in enumerate(steps / steps.sum()):
            self.logger.record(f"serve/depth_share_{depth}", float(share))

    def write(self, step: int, updates: int, values: Mapping[str, float]) -> None:
        """Write a point.

        Args:
            step: transitions so far; it goes on growing over restarts.
            updates: gradient steps so far.
            values: further scalars by tag.
        """
        seconds = max(self.age(), 1e-3)
        transitions, before = self._last_counts
        self.logger.record("time/transitions_per_second", (step - transitions) / seconds)
        self.logger.record("time/updates_per_second", (updates - before) / seconds)
        for tag, value in values.items():
            self.logger.record(tag, value)
        self.logger.record("serve/tokens_per_second", self._tokens_per_second())
        self._wire()
        self._guards()
        self._slo()
        for tag, value in self._drafters.since(self._beats).items():
            self.logger.record(tag, value)
        self.logger.dump(step)
        self._last_counts = (step, updates)
        self._since = time.monotonic()

    def start(self, step: int, updates: int) -> None:
        """Count from here: what was resumed was not done now."""
        self._last_counts = (step, updates)

    def close(self) -> None:
        """Close the event file."""
        self.logger.close()

    def _tokens_per_second(self) -> float:
        """What the engines emitted since the last point, by their beats and their clocks."""
        rate = 0.0
        for engine, beat in self._beats.items():
            at, before = self._emitted[engine]
            self._emitted[engine] = beat.at, beat.totals.emitted
            if beat.at > at:
                # Fewer than before: the engine was started again.
                rate += max(beat.totals.emitted - before, 0) / (beat.at - at)
        return rate

    def _wire(self) -> None:
        self.logger.record("wire/queue", self._queue)
        live = self._live()
        for name in ("dropped", "refused", "faults"):
            total = sum(getattr(beat, name) for beat in self._beats.values())
            self.logger.record(f"wire/{name}", total)
        for name in ("running", "waiting"):
            self.logger.record(f"wire/{name}", sum(getattr(beat, name) for beat in live))
        for name in _CALIBRATION:
            scores = [s for beat in live if (s := getattr(beat, name)) is not None]
            if scores:
                self.logger.record(f"serve/{name}", float(np.mean(scores)))
        for name in _MICROSECONDS:
            worst = max((getattr(beat, name) for beat in live), default=0.0)
            self.logger.record(f"wire/{name}", worst)

    def _slo(self) -> None:
        """Of the requests with objectives that ended since the last point, those that had them."""
        sums: dict[str, Counts] = {}
        for engine, beat in self._beats.items():
            for name, counts in beat.slo.items():
                now = astuple(counts)
                before = self._attained.get((engine, name), (0,) * len(now))
                self._attained[engine, name] = now
                # Fewer than before: the engine was started again.
                new = np.subtract(now, before) if now[0] >= before[0] else np.array(now)
                sums[name] = sums.get(name, 0) + new
        for name, new in sums.items():
            if new[0]:
                for i, objective in enumerate(Attained.__struct_fields__[1:], 1):
                    tag = f"slo/{name or 'without_a_class'}_{objective}"
                    self.logger.record(tag, float(new[i] / new[0]))

    def _guards(self) -> None:
        """What the guards of live engines do: the worst of each figure, and how many fell back."""
        guards = [beat.guard for beat in self._live() if beat.guard.state != "off"]
        record = self.logger.record
        record("guard/fallen_back", sum(guard.state == "fallen back" for guard in guards))
        record("guard/falls", sum(beat.guard.falls for beat in self._beats.values()))
        record("guard/seconds_left", max((guard.seconds_left for guard in guards), default=0.0))
        record("guard/evidence", max((guard.evidence for guard in guards), default=0.0))
        record("guard/explored", max((guard.explored for guard in guards), default=0.0))
        known = [guard for guard in guards if guard.ratio is not None]
        if known:
            worst = max(known, key=lambda guard: guard.ratio or 0.0)
            for name in ("ratio", "low", "high"):
                record(f"guard/{name}", getattr(worst, name))
        for beat in self._beats.values():
            self._say_fall(beat)

    def _say_fall(self, beat: Beat) -> None:
        """Why an engine's guard fell back, as text, once per fall."""
        engine, guard = beat.info.engine, beat.guard
        if guard.falls and guard.reason and self._falls.get(engine) != guard.falls:
            self._falls[engine] = guard.falls
            self.logger.record("guard/reason", f"{engine}: {guard.reason}")

    def _live(self) -> list[Beat]:
        fresh = time.monotonic() - _STALE
        return [beat for engine, beat in self._beats.items() if self._heard[engine] > fresh]


def layout(k_max: int) -> dict[str, dict[str, list[Any]]]:
    """Charts of the custom tab, the ones to look at first."""

    def chart(*tags: str) -> list[Any]:
        return ["Multiline", [f"^{tag}$" for tag in tags]]

    shares = [f"serve/depth_share_{k}" for k in range(k_max + 1)]
    positions = [f"serve/acceptance_{j}" for j in range(1, k_max + 1)]
    return {
        "What it brings": {
            "latency and cost (off = 1)": chart("rollout/latency", "rollout/cost"),
            "reward": chart("rollout/reward"),
            "speed": chart("serve/speed"),
            "share of each depth": chart(*shares),
            "tokens per second": chart("serve/tokens_per_second"),
            "seconds per token": chart("serve/seconds_per_token"),
            "dollars per token": chart("serve/dollars_per_token"),
        },
        "What it sees": {
            "acceptance per position": chart(*positions),
            "predicted survival, calibration": chart(*(f"serve/{n}" for n in _CALIBRATION)),
            "batch and queue": chart("serve/batch", "wire/running", "wire/waiting"),
            "share of each drafter": chart("drafters/share_.*"),
            "tokens accepted of each drafter's draft": chart("drafters/accepted_.*"),
            "step-time model, relative error": chart("train/step_time_error"),
        },
        "What it learns": {
            "loss": chart("train/loss", "train/loss_latency", "train/loss_cost"),
            "values": chart("train/q_latency", "train/q_cost", "train/q_reward"),
            "exploration": chart("rollout/explore_budget"),
            "snapshot": chart("serve/version"),
        },
        "What holds it": {
            "policy over static depth (above 1 is worse)": chart(
                "guard/ratio", "guard/low", "guard/high"
            ),
            "evidence against the policy": chart("guard/evidence"),
            "fallen back": chart("guard/fallen_back", "guard/falls"),
            "share explored": chart("guard/explored"),
            "candidate and current snapshot, off-policy": chart(
                "gate/dr_candidate", "gate/dr_current"
            ),
        },
        "Whether it keeps up": {
            "lost": chart("wire/dropped", "wire/refused", "wire/faults"),
            "waiting for the learner": chart("wire/queue"),
            "a decision, microseconds": chart(*(f"wire/{n}" for n in _MICROSECONDS)),
            "per second": chart("time/transitions_per_second", "time/updates_per_second"),
        },
    }


_CALIBRATION = ("survival_brier", "survival_ece")
_MICROSECONDS = (
    *("decide_us_p50", "decide_us_p99", "prepare_us_p50", "prepare_us_p99"),
    *("plan_us_p50", "plan_us_p99"),
)


def _cell(value: Any) -> bool | str | float:
    return value if isinstance(value, bool | str | float | int) else str(value)
