"""Sums and moving averages of what an engine does, and the time that its governor takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import exp
from typing import TYPE_CHECKING

import numpy as np

from .reports import Totals

if TYPE_CHECKING:
    from .flight import Flight


class Meters:
    """Sums and moving averages of what the engine does, and the time that decisions take."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.arrivals = 0
        self.rate = 0.0
        self.step_ms = 0.0
        self.per_request = 1.0
        self.prefill = 0.0
        self._since = 0.0
        self._decided = Durations()
        self._prepared = Durations()
        self._planned = Durations()
        self._planned_cpu = Durations()

    def step(self, flight: Flight, seconds: float, emitted: int, finished: int) -> None:
        """One engine step."""
        decoding = len(flight.requests)
        self._add(flight, decoding, seconds, emitted, finished)
        self.step_ms += 0.1 * (min(1e3 * seconds, 1e3) - self.step_ms)
        self.prefill += 0.1 * (flight.prefill - self.prefill)
        if decoding:
            self.per_request += 0.1 * (emitted / decoding - self.per_request)

    def _add(
        self, flight: Flight, decoding: int, seconds: float, emitted: int, finished: int
    ) -> None:
        totals = self.totals
        totals.seconds += seconds
        totals.steps += 1
        totals.request_seconds += seconds * decoding
        totals.request_steps += decoding
        totals.emitted += emitted
        totals.drafted += flight.depth * decoding
        totals.verified += flight.verified
        totals.prefill += flight.prefill
        totals.finished += finished

    def read(self, now: float) -> tuple[float, float, float, float]:
        """Arrivals per second, milliseconds per step, tokens per request, prompt tokens."""
        elapsed = now - self._since
        if elapsed > 0.05:
            weight = 1.0 - exp(-min(elapsed, 60.0) / 5.0)
            self.rate += weight * (self.arrivals / elapsed - self.rate)
            self.arrivals, self._since = 0, now
        return self.rate, self.step_ms, self.per_request, self.prefill

    def decided(self, nanoseconds: int) -> None:
        """How long a decision held the engine up."""
        self._decided.add(nanoseconds)

    def prepared(self, nanoseconds: int) -> None:
        """How long it took to decide while the model ran."""
        self._prepared.add(nanoseconds)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Takes the time that a step's plan takes, and how long the thread is running in it."""
        started, worked = time.perf_counter_ns(), time.thread_time_ns()
        yield
        worked = time.thread_time_ns() - worked
        self._planned.add(time.perf_counter_ns() - started)
        self._planned_cpu.add(worked)

    def plan_us(self) -> tuple[float, float]:
        """Median and 99th percentile of the last 1,024 plans, microseconds."""
        return self._planned.percentiles()

    def plan_cpu_us(self) -> tuple[float, float]:
        """The same of the processor's time in them."""
        return self._planned_cpu.percentiles()

    def decide_us(self) -> tuple[float, float]:
        """Median and 99th percentile of the last 1,024 decisions, microseconds."""
        return self._decided.percentiles()

    def prepare_us(self) -> tuple[float, float]:
        """The same of what was decided while the model ran."""
        return self._prepared.percentiles()


class Durations:
    """The last 1,024 durations. A list, as one thread writes while another reads."""

    def __init__(self) -> None:
        self._nanoseconds: list[int] = [0] * 1024
        self._count = 0

    def add(self, nanoseconds: int) -> None:
        """Take a duration."""
        self._nanoseconds[self._count & 1023] = nanoseconds
        self._count += 1

    def percentiles(self) -> tuple[float, float]:
        """Median and 99th percentile, microseconds."""
        if not self._count:
            return 0.0, 0.0
        p50, p99 = np.percentile(self._nanoseconds[: min(self._count, 1024)], (50, 99)) / 1e3
        return float(p50), float(p99)
