"""Intervals and tests for what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..policies.transition import Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def figures(self, name: str) -> dict[str, float]:
        """As entries of a result's figures: NAME, NAME_low, NAME_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(
    groups: Sequence[Sequence[float]], seed: int = 0, resamples: int = 4000, trim: float = 0.0
) -> Interval:
    """The mean over groups of their means, with a percentile bootstrap within the groups.

    Args:
        groups: the measurements of each group; one group is an ordinary bootstrap. Groups are
            given, not sampled: every resample holds all of them in equal shares. Only where
            all have but one measurement are the groups themselves resampled.
        seed: of the resampling.
        resamples: how many.
        trim: share of the measurements of a group that is left out at either end, in [0, 0.5):
            what else a machine does is no part of what is measured.

    Raises:
        ValueError: if there is nothing, or something that is not finite.
    """
    arrays = [np.asarray(group, np.float64) for group in groups]
    if not arrays or any(len(a) == 0 or not np.isfinite(a).all() for a in arrays):
        raise ValueError("an interval needs groups of at least one finite measurement each")
    if all(len(a) == 1 for a in arrays):
        arrays = [np.concatenate(arrays)]
    rng = np.random.default_rng(seed)
    means: Floats = np.zeros(resamples)
    for a in arrays:
        means += _mean(a[rng.integers(len(a), size=(resamples, len(a)))], trim)
    low, high = np.percentile(means / len(arrays), (2.5, 97.5))
    return Interval(float(np.mean([_mean(a, trim) for a in arrays])), float(low), float(high))


def _mean(values: Floats, trim: float) -> Floats:
    """Trimmed means along the last axis."""
    out = int(trim * values.shape[-1])
    kept = np.sort(values)[..., out : values.shape[-1] - out]
    means: Floats = kept.mean(axis=-1)
    return means


def ratio_interval(
    pairs: Sequence[Sequence[tuple[float, float]]],
    seed: int = 0,
    resamples: int = 4000,
    trim: float = 0.0,
) -> Interval:
    """The geometric mean of paired ratios, ours over theirs, with a bootstrap interval.

    Args:
        pairs: per group, (ours, theirs) as measured side by side; all above 0.
        seed: of the resampling.
        resamples: how many.
        trim: share of a group's ratios that is left out at either end.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [[float(np.log(a) - np.log(b)) for a, b in group] for group in pairs]
    of_logs = mean_interval(logs, seed, resamples, trim)
    return Interval(*(float(np.exp(v)) for v in (of_logs.value, of_logs.low, of_logs.high)))


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """A chi-square statistic and its degrees of freedom; sums of independent ones are one."""

    statistic: float = 0.0
    freedom: int = 0

    def __add__(self, other: ChiSquare) -> ChiSquare:
        return ChiSquare(self.statistic + other.statistic, self.freedom + other.freedom)

    @property
    def p(self) -> float:
        """Probability of at least this much if both samples come from one distribution."""
        if self.freedom < 1:
            return 1.0
        import torch

        half = torch.tensor([self.freedom, self.statistic], dtype=torch.float64) / 2
        return float(torch.special.gammaincc(half[0], half[1]))


def chi_square(
    ours: Iterable[Hashable], theirs: Iterable[Hashable], least: float = 5.0
) -> ChiSquare:
    """The two-sample chi-square test of homogeneity, rare categories pooled into one.

    Args:
        ours: one sample of categories.
        theirs: another.
        least: expected count that a category must have in both samples to stand alone.
    """
    a, b = Counter(ours), Counter(theirs)
    names = sorted(a.keys() | b.keys(), key=repr)
    table = np.array([[a[name], b[name]] for name in names], np.float64).reshape(-1, 2)
    if not table.sum(axis=0).all():
        raise ValueError("a chi-square test needs two samples that are not empty")
    share = table.sum(axis=0) / table.sum()
    rare = table.sum(axis=1) * share.min() < least
    pooled = table[rare].sum(axis=0)
    table = np.vstack([table[~rare], pooled]) if pooled.any() else table[~rare]
    expected = table.sum(axis=1, keepdims=True) * share
    # A pool that is still rare goes to the smallest category that is not.
    if len(table) > 1 and pooled.any() and expected[-1].min() < least:
        smallest = int(table[:-1].sum(axis=1).argmin())
        table[smallest] += table[-1]
        table = table[:-1]
        expected = table.sum(axis=1, keepdims=True) * share
    statistic = float(((table - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, len(table) - 1)
