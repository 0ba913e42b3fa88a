from __future__ import annotations

import numpy as np
import pytest
from flyball.benchmarks.stats import ChiSquare, Interval, chi_square, mean_interval, ratio_interval
from hypothesis import given, settings
from hypothesis import strategies as st


def test_an_interval_holds_the_mean_of_most_samples() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        interval = mean_interval([rng.normal(3.0, 1.0, 30).tolist()], seed, resamples=400)
        held += interval.low <= 3.0 <= interval.high
    assert 170 <= held <= 200  # 95 % less the bootstrap's own optimism at n = 30


def test_groups_count_the_same_whatever_their_size() -> None:
    assert mean_interval([[1.0] * 10, [3.0]]).value == 2.0


def test_differences_between_groups_do_not_widen_the_interval() -> None:
    interval = mean_interval([[1.0, 1.0], [100.0, 100.0]])
    assert interval.low == interval.high == 50.5


@given(
    scale=st.floats(1e-6, 1e6),
    ratio=st.floats(0.1, 10.0),
    theirs=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=8),
)
@settings(max_examples=30, deadline=None)
def test_a_constant_ratio_is_found_whatever_the_scale(
    scale: float, ratio: float, theirs: list[float]
) -> None:
    interval = ratio_interval([[(ratio * t * scale, t * scale) for t in theirs]], resamples=50)
    for value in (interval.value, interval.low, interval.high):
        assert value == pytest.approx(ratio)


def test_drift_that_both_share_cancels_in_pairs() -> None:
    drift = np.linspace(1.0, 5.0, 12)
    interval = ratio_interval([[(1.02 * d, d) for d in drift]])
    assert interval.low > 1.01


def test_single_measurements_are_one_group() -> None:
    assert mean_interval([[1.0], [2.0], [3.0]]) == mean_interval([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("bad", [[], [[]], [[float("nan")]], [[float("inf")]]])
def test_nothing_or_not_finite_is_refused(bad: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="finite measurement"):
        mean_interval(bad)


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="finite measurement"):
        ratio_interval([[(1.0, 0.0)]])


def test_figures_are_named_with_low_and_high() -> None:
    figures = Interval(1.0, 0.9, 1.1).figures("throughput_ratio")
    assert figures == {
        "throughput_ratio": 1.0,
        "throughput_ratio_low": 0.9,
        "throughput_ratio_high": 1.1,
    }


# Quantiles from the tables of the chi-square distribution.
@pytest.mark.parametrize(
    ("statistic", "freedom", "p"),
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (18.307, 10, 0.05), (23.209, 10, 0.01), (0.0, 3, 1.0)],
)
def test_p_values_are_those_of_the_tables(statistic: float, freedom: int, p: float) -> None:
    assert ChiSquare(statistic, freedom).p == pytest.approx(p, abs=2e-4)


def test_samples_of_one_distribution_are_rejected_about_as_often_as_p_says() -> None:
    rng = np.random.default_rng(1)
    weights = 1.0 / np.arange(1, 200)
    weights /= weights.sum()
    rejected = 0
    for _ in range(400):
        a, b = rng.choice(199, 800, p=weights), rng.choice(199, 500, p=weights)
        rejected += chi_square(a.tolist(), b.tolist()).p < 0.05
    assert 4 <= rejected <= 40  # 20 expected


def test_another_distribution_is_rejected() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 50, 2000), rng.integers(0, 40, 2000)
    assert chi_square(a.tolist(), b.tolist()).p < 1e-6


def test_a_sample_that_holds_the_rare_alone_is_rejected() -> None:
    common, rare = [0] * 500, list(range(1, 501))
    assert chi_square(common, rare).p < 1e-6


def test_rare_categories_are_pooled() -> None:
    a = [0] * 100 + list(range(1, 21))
    b = [0] * 100 + list(range(101, 121))
    test = chi_square(a, b)
    assert test.freedom == 1
    assert test.statistic == pytest.approx(0.0)


def test_statistics_of_independent_tests_add_up() -> None:
    total = ChiSquare(3.0, 2) + ChiSquare(4.0, 3)
    assert (total.statistic, total.freedom) == (7.0, 5)


def test_one_category_alone_says_nothing() -> None:
    assert chi_square([1, 1], [1, 1, 1]).p == 1.0


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="not empty"):
        chi_square([], [1])


def test_trimming_leaves_out_what_is_far_off() -> None:
    values = [1.0] * 8 + [100.0, -50.0]
    assert mean_interval([values], trim=0.2).value == 1.0
    assert mean_interval([values]).value == pytest.approx(5.8)
    assert mean_interval([[1.0, 2.0]], trim=0.2).value == 1.5, "too few to leave any out"
