"""How an engine's drafters fare, for Prometheus and TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..inference.drafter_records import DrafterBeat
from ..inference.reports import Beat

_COUNTERS: Final = (
    ("assigned_steps", "steps of requests that a drafter was to draft for", "assigned"),
    ("explored_steps", "those of them to learn how it fares", "explored"),
    ("drafts", "drafts used", "steps"),
    ("verified_tokens", "tokens of them that were verified", "verified"),
    ("accepted_tokens", "those that were accepted", "accepted"),
    ("scored_drafts", "drafts that were only scored", "scored"),
    ("scored_tokens", "tokens of them", "scored_tokens"),
    ("scored_accepted_tokens", "those that the target then emitted", "scored_accepted"),
    ("faults", "faults of a drafter", "faults"),
)


def drafter_families(engines: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Metrics of every drafter of every engine.

    Args:
        engines: of a status.
    """
    labels = ["engine", "drafter"]
    for name, about, key in _COUNTERS:
        family = CounterMetricFamily(f"flyball_engine_drafter_{name}", about, labels=labels)
        for engine in engines:
            for drafter, counts in engine["drafters"].items():
                family.add_metric([engine["engine"], drafter], counts[key])
        yield family
    seconds = GaugeMetricFamily(
        "flyball_engine_drafter_seconds", "seconds per draft asked for, moving mean", labels=labels
    )
    for engine in engines:
        for drafter, counts in engine["drafters"].items():
            seconds.add_metric([engine["engine"], drafter], 1e-6 * counts["draft_us"])
    yield seconds


class DrafterPoints:
    """Scalars of what all engines' drafters did between two points."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], DrafterBeat] = {}

    def since(self, beats: Mapping[str, Beat]) -> dict[str, float]:
        """By tag, what was done since this was last called.

        Args:
            beats: the latest of each engine.
        """
        assigned: dict[str, int] = {}
        yields: dict[str, tuple[int, int]] = {}
        for engine, beat in beats.items():
            for name, now in beat.drafters.items():
                before = self._before.get((engine, name), DrafterBeat())
                if now.assigned < before.assigned or now.scored < before.scored:
                    before = DrafterBeat()  # the engine was started again
                self._before[engine, name] = now
                assigned[name] = assigned.get(name, 0) + now.assigned - before.assigned
                made, accepted = yields.get(name, (0, 0))
                made += now.steps + now.scored - before.steps - before.scored
                accepted += now.accepted + now.scored_accepted
                yields[name] = made, accepted - before.accepted - before.scored_accepted
        total = sum(assigned.values())
        points = {f"drafters/share_{_tag(n)}": k / total for n, k in assigned.items() if total}
        return points | {
            f"drafters/accepted_{_tag(name)}": accepted / made
            for name, (made, accepted) in yields.items()
            if made
        }


def _tag(name: str) -> str:
    """A drafter's name, as a tag's part."""
    return name.replace(":", ".").replace("/", ".")
