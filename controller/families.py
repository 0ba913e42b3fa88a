"""Families of Prometheus metrics from rows of a status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
Table = tuple[tuple[str, str, str], ...]
"""Name of a metric, what it is, and under which key its value stands."""


def single(kind: Kind, of: str, rows: Table, values: Mapping[str, Any]) -> Iterator[Metric]:
    """Metrics of what there is one of; those without a value are left out.

    Args:
        kind: gauges or counters.
        of: what they are of, in their names.
        rows: the metrics.
        values: by key.
    """
    for name, about, key in rows:
        if values.get(key) is not None:
            yield kind(f"flyball_{of}_{name}", about, value=values[key])


def labelled(
    kind: Kind, of: str, rows: Table, entries: Sequence[Mapping[str, Any]]
) -> Iterator[Metric]:
    """Metrics of what there are many of.

    Args:
        kind: gauges or counters.
        of: what they are of, in their names; the label, and the key of an entry's own name.
        rows: the metrics.
        entries: values by key, of each.
    """
    for name, about, key in rows:
        family = kind(f"flyball_{of}_{name}", about, labels=[of])
        for entry in entries:
            if entry[key] is not None:
                family.add_metric([entry[of]], entry[key])
        yield family
