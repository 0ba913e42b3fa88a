"""Windows of arrival traces: when requests come, and how long they are."""

from __future__ import annotations

from typing import Final

import numpy as np

from ...inference.simulator.traces import Trace

_GOLDEN: Final = 0.6180339887  # spreads any number of beginnings evenly


def window(trace: Trace, rate: float, seconds: float, seed: int) -> Trace:
    """Some seconds of a trace at a rate; each seed begins elsewhere in it.

    Args:
        trace: of which it is a part; after its end it begins anew.
        rate: requests per second, mean over the whole trace.
        seconds: of the window.
        seed: of the beginning.
    """
    n = len(trace)
    length = _length(trace)
    scale = n / length / rate
    begin = _begin(trace, seed)
    rounds = int(np.ceil(seconds / (length * scale))) + 1
    at = np.concatenate([trace.arrivals + r * length for r in range(rounds + 1)]) * scale
    own = (at >= at[begin]) & (at < at[begin] + seconds)
    return _part(trace, np.flatnonzero(own), at[own] - at[begin])


def short_window(trace: Trace, rate: float, seconds: float, seed: int) -> Trace:
    """As many requests as come at a rate in some seconds; each seed begins elsewhere in the trace.

    In so short a part of a trace as a live engine has time for, how many requests come is a matter
    of luck. Here it is not: the gaps between those that follow each other in the trace are
    stretched to the window, so that its load is what it is said to be and only its bursts are the
    trace's.

    Args:
        trace: of which it is a part; after its end it begins anew.
        rate: requests per second.
        seconds: of the window.
        seed: of the beginning.
    """
    count = max(round(rate * seconds), 1)
    places = _begin(trace, seed) + np.arange(count + 1)
    at = trace.arrivals[places % len(trace)] + places // len(trace) * _length(trace)
    at -= at[0]
    scale = seconds / at[-1] if at[-1] > 0.0 else 0.0
    return _part(trace, places[:-1], at[:-1] * scale)


def sample(trace: Trace, count: int) -> Trace:
    """Requests from all over a trace that are all there at once."""
    places = np.linspace(0, len(trace) - 1, count).astype(np.int64)
    return _part(trace, places, np.zeros(count))


def _part(trace: Trace, places: np.ndarray, at: np.ndarray) -> Trace:
    places = places % len(trace)
    return Trace(at, trace.context[places], trace.generated[places], trace.name)


def _begin(trace: Trace, seed: int) -> int:
    return int((0.5 + seed * _GOLDEN) % 1.0 * len(trace))


def _length(trace: Trace) -> float:
    """Seconds of a trace until it begins anew."""
    n = len(trace)
    return float(trace.arrivals[-1]) * n / max(n - 1, 1)
