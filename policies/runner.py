"""A snapshot made ready to run in an engine: one observation at a time, in microseconds.

``Snapshot`` is written for batches, and pays for some fifty NumPy calls per observation. Here the
scalars stay Python floats and only the network is left to NumPy, with buffers of its own; both
give the same scores.
"""

from __future__ import annotations

from math import isfinite, log1p, log2
from random import Random
from struct import Struct
from typing import Final

import numpy as np

from .exploration import chances_of_one, quickest
from .snapshot import VALUES, Snapshot, SnapshotError
from .spaces import DEPTH_SPACE
from .transition import Reason

HEAD: Final = DEPTH_SPACE.index("depth") + 1
"""Fields before this one have ranges of their own; those after it are shares in [0, 1]."""

_SURVIVAL: Final = DEPTH_SPACE.index("survival_1")
_HOPE: Final = DEPTH_SPACE.index("hope_1")
_KEPT: Final = DEPTH_SPACE.index("kept_1")
_BATCH: Final = DEPTH_SPACE.index("batch")
_CONTEXT: Final = DEPTH_SPACE.index("context")
_DEPTH: Final = DEPTH_SPACE.index("depth")

if any((f.low, f.high, f.log) != (0.0, 1.0, False) for f in DEPTH_SPACE.fields[HEAD:]):
    raise AssertionError("the fields after the head must be normalised as they are")


class Runner:
    """Runs one snapshot. Not for use by two threads at once.

    Args:
        snapshot: what to run.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.explored = 0.0  # chance of another depth than the best, at the latest decision
        self._best = 0  # at the latest decision
        self._hopes: list[float] | None = None  # scores at best
        self._chances: list[float] | None = None  # at the latest decision; None if it was certain
        meta = snapshot.meta
        self._depths = meta.k_max + 1
        self._linear, self._gamma = meta.linear, meta.gamma
        self._epsilon, self._budget = meta.epsilon, meta.budget * meta.unit
        self._certain = not (meta.epsilon or meta.budget)
        # Biases become one more row, met by a constant 1 at the end of each layer's input.
        layers = [
            np.vstack((snapshot.weights[f"layer{i}.weight"].T, snapshot.weights[f"layer{i}.bias"]))
            for i in range(len(snapshot.weights) // 2)
        ]
        inputs = [np.ones(len(layer), np.float32) for layer in layers]
        self._input = inputs[0].data.cast("B")
        self._output = np.empty(layers[-1].shape[1], np.float32)
        outputs = [*(x[:-1] for x in inputs[1:]), self._output]
        # Bound methods and arrays of the right type spare NumPy's dispatch and conversions.
        self._layers = [
            (x.dot, layer, out, np.zeros_like(out))
            for x, layer, out in zip(inputs, layers, outputs, strict=True)
        ]
        self._head = [(f.low, 1.0 / _span(f.low, f.high, f.log), f.log) for f in _HEAD_FIELDS]
        self._coefficients = [float(c) for c in snapshot.step_time]
        self._grid = snapshot.grid[:, : self._depths].tolist()
        self._switch = meta.switch
        self._quickest = quickest(snapshot.seen[:, : self._depths]).tolist()
        prices = meta.prices
        self._second, self._draft, self._position = prices.second, prices.drafted, prices.verified

    def act(
        self, observation: list[float], rng: Random, explore: bool = True
    ) -> tuple[int, float, Reason]:
        """Choose a depth: action, its propensity, the reason.

        Args:
            observation: raw, in the order of ``DEPTH_SPACE``, the speed set.
            rng: for exploration.
            explore: False always takes the best action.

        Raises:
            SnapshotError: if the scores are not finite.
        """
        scores, hopes = self.scores(observation), self._hopes
        best = scores.index(max(scores))
        if not isfinite(scores[best]):
            number = self.snapshot.meta.number
            raise SnapshotError(f"snapshot {number} gave values that are not finite")
        self._chances, self.explored = None, 0.0
        if not explore or self._certain:
            self._best = best
            return best, 1.0, Reason.POLICY
        chances = chances_of_one(scores, hopes, self._budget, self._epsilon)
        self._chances = chances
        self.explored = 1.0 - chances[best]
        left = rng.random()
        for action, chance in enumerate(chances):
            left -= chance
            if left < 0.0 and action != best:
                return action, chance, Reason.EXPLORE
            if left < 0.0:
                break
        return best, chances[best], Reason.POLICY

    def probability(self, depth: int) -> float:
        """With what chance ``act`` would have chosen a depth at its latest decision."""
        if self._chances is None:
            return float(depth == self._best)
        return self._chances[depth]

    def scores(self, observation: list[float]) -> list[float]:
        """What is maximised, one number per depth."""
        values = self._network(observation)
        if not self._linear:
            return values[2::VALUES]
        speed = observation[-1]
        known, hoped = self._structure(observation, speed)
        corrections = [
            -(speed * values[i] + (1.0 - speed) * values[i + 1])
            for i in range(0, len(values), VALUES)
        ]
        self._hopes = [own - base for own, base in zip(corrections, hoped, strict=True)]
        return [own - base for own, base in zip(corrections, known, strict=True)]

    def _network(self, observation: list[float]) -> list[float]:
        """The learned correction: VALUES numbers per depth, flat."""
        normal = []
        for value, (low, scale, log) in zip(observation, self._head, strict=False):
            x = (log1p(max(value - low, 0.0)) if log else value - low) * scale
            normal.append(0.0 if x < 0.0 else 1.0 if x > 1.0 else x)
        _FILL(self._input, 0, *normal, *observation[HEAD:])
        for dot, layer, out, zeros in self._layers:
            dot(layer, out)
            if out is not self._output:
                np.maximum(out, zeros, out)
        values: list[float] = self._output.tolist()
        return values

    def _structure(self, observation: list[float], speed: float) -> tuple[list[float], list[float]]:
        """Speed x latency + (1 - speed) x cost of every depth, long run, by the structure.

        As it is, and at best: by what survival and step times may yet turn out to be.
        """
        one, requests, depth, verify, _, context, draft = self._coefficients
        batch = max(observation[_BATCH], 1.0)
        fixed = one + batch * (requests + context * observation[_CONTEXT])
        of_pass, of_draft = depth + batch * draft, batch * verify
        dollars = self._second / batch
        grid = self._factors(batch)
        held, switch = int(observation[_DEPTH]), self._switch
        off = max(fixed * grid[0], 1e-4)
        off_spent = self._position + dollars * off
        dear = (1.0 - speed) / off_spent
        paced = speed / off + dear * dollars
        quickest = self._quickest[int(_row(batch, len(self._grid)) + 0.5)]
        emitted, hope, verified, known, hoped = 1.0, 1.0, 0.0, [], []
        for k in range(self._depths):
            if k:
                emitted += observation[_SURVIVAL + k - 1]
                hope += observation[_HOPE + k - 1]
                verified += observation[_KEPT + k - 1]
            seconds = max((fixed + of_pass * k + of_draft * verified) * grid[k], 1e-4)
            lost = switch if k != held else 0.0
            paid = dear * (self._position * (1.0 + verified) + self._draft * k)
            known.append((paid + paced * (seconds + lost)) / emitted)
            hoped.append((paid + paced * (seconds * quickest[k] + lost)) / hope)
        if self._gamma:
            now, after = 1.0 - self._gamma, self._gamma * min(known)
            known = [now * value + after for value in known]
            hoped = [now * value + after for value in hoped]
        return known, hoped

    def _factors(self, batch: float) -> list[float]:
        """The grid's correction at a batch size, between two of its rows."""
        at = _row(batch, len(self._grid))
        low = int(at)
        share = at - low
        return [
            a + share * (b - a) for a, b in zip(self._grid[low], self._grid[low + 1], strict=True)
        ]


def _row(batch: float, rows: int) -> float:
    """Where a batch size of at least 1 is among the grid's rows, between two of them."""
    return min(log2(batch), rows - 1.001)


def _span(low: float, high: float, log: bool) -> float:
    return log1p(high - low) if log else high - low


_HEAD_FIELDS: Final = DEPTH_SPACE.fields[:HEAD]
_FILL: Final = Struct(f"={DEPTH_SPACE.size}f").pack_into
