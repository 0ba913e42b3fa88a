"""How long passes take in an engine: of a chain's models at first, of the target as it serves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Final

from ....policies.chains.times import Pass, PassTimes, fit_times
from .level import Level

BATCHES: Final = (1, 4, 16)
"""Requests in the passes that are profiled."""
WIDTHS: Final = (1, 3, 9)
"""Tokens of each request in them."""
_CONTEXT: Final = 128  # tokens of a request before that
_WARM: Final = 2  # passes before those that count
_REPEATS: Final = 5
_KEPT: Final = 15  # latest passes of the target of one shape
_ENOUGH: Final = 3  # of them, from which they count


def profile(level: Level, vocabulary: int, seconds: float) -> PassTimes:
    """Time a model's passes, over slots that nobody uses yet.

    Args:
        level: the model; its slots are empty again afterwards.
        vocabulary: tokens to draw from.
        seconds: after which no further batch size is begun; the first is always timed.
    """
    began = time.perf_counter()
    rng = Random(0)
    passes: list[Pass] = []
    context = min(_CONTEXT, level.capacity - max(WIDTHS) - 1)
    for batch in (b for b in BATCHES if b <= len(level.held)):
        if passes and time.perf_counter() - began > seconds:
            break
        texts = [[rng.randrange(vocabulary) for _ in range(context)] for _ in range(batch)]
        passes += _timed(level, texts)
    for slot in range(min(max(BATCHES), len(level.held))):
        level.clear(slot)
    return fit_times(passes)


def _timed(level: Level, texts: Sequence[list[int]]) -> list[Pass]:
    """Passes of every width over one batch, each the median of some."""
    slots, found = range(len(texts)), []
    for width in (w for w in WIDTHS if w < len(texts[0])):
        took = []
        for _ in range(_WARM + _REPEATS):
            start = time.perf_counter()
            level.read(slots, texts, [width] * len(texts))
            took.append(time.perf_counter() - start)
        found.append(Pass(len(texts), width, median(took[_WARM:])))
    return found


class TargetTimes:
    """Seconds of the target's steps by batch and by tokens verified, as they are met.

    What has not been met yet is taken from a first guess, scaled by what has.

    Args:
        guess: of its passes.
    """

    def __init__(self, guess: PassTimes) -> None:
        self._guess = guess
        self._met: dict[tuple[int, int], deque[float]] = {}

    def add(self, batch: int, tokens: float, seconds: float) -> None:
        """One step.

        Args:
            batch: requests.
            tokens: of each, on average.
            seconds: from the end of one draft to the beginning of the next.
        """
        shape = (batch, max(round(tokens), 1))
        self._met.setdefault(shape, deque(maxlen=_KEPT)).append(seconds)

    def times(self) -> PassTimes:
        """What is known by now.

        A median is what counts of each shape: prompts and pauses fall between some drafts.
        """
        met = {shape: median(took) for shape, took in self._met.items() if len(took) >= _ENOUGH}
        if not met:
            return self._guess
        scale = median(took / self._guess.seconds(*shape) for shape, took in met.items())
        batches = {batch for batch, _ in met}
        passes = [Pass(*shape, took) for shape, took in met.items()]
        for batch in batches | {*BATCHES}:
            widths = {width for other, width in met if other == batch}
            if len(widths) < 2:
                # No line through one point: its steepness is the guess's.
                at = next(iter(widths), None)
                own = scale if at is None else met[batch, at] / self._guess.seconds(batch, at)
                passes += [
                    Pass(batch, width, own * self._guess.seconds(batch, width))
                    for width in WIDTHS
                    if width != at
                ]
        return fit_times(passes)
