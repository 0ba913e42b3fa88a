"""What live and simulated comparisons under objectives share: requests, scores, figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from flyball.benchmarks.slo.arms import SIMULATED, live_arms
from flyball.benchmarks.slo.arrivals import sample, short_window, window
from flyball.benchmarks.slo.figures import slo_figures
from flyball.benchmarks.slo.options import LOADS, SCALES, SloOptions
from flyball.benchmarks.slo.promises import CLASSES, promises
from flyball.benchmarks.slo.requests import (
    MOST_OUTPUT,
    MOST_PROMPT,
    WITHOUT,
    ended,
    fitted,
    promised,
    served,
)
from flyball.benchmarks.slo.run import run
from flyball.benchmarks.slo.score import Score, Served, score
from flyball.benchmarks.slo.simulated import serve, site
from flyball.controller.cli.bench import bench
from flyball.inference.arriving import Arrival
from flyball.inference.asking import RequestRecord
from flyball.inference.live_policy import check_policy
from flyball.inference.reports import EngineInfo
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.traces import Trace
from flyball.policies.slo import Slo
from hypothesis import given
from hypothesis import strategies as st

SLOS = promises(1.0, 0.05)


def trace(n: int = 200, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.exponential(1.0, n))
    return Trace(at - at[0], rng.integers(1, 6000, n), rng.integers(1, 800, n))


def tables(**columns: list[float]) -> Served:
    values = {name: np.array(column) for name, column in columns.items()}
    return Served(**values, span=10.0, offered=5.0)


def test_a_score_by_hand() -> None:
    """Five requests: kept; late; slow; loose and kept; without objectives and never ended."""
    found = score(
        tables(
            slo=[0, 0, 0, 1, 2],
            ttft=[0.9, 1.1, 0.5, 4.9, math.inf],
            tpot=[0.05, 0.01, 0.06, 0.14, math.inf],
            end=[3.0, 2.0, 4.0, 9.0, math.inf],
            tokens=[40, 30, 50, 80, 0],
        ),
        SLOS,
    )
    assert found.attained == pytest.approx((1 / 3, 1.0, 0.0))
    assert found.ttft == pytest.approx((2 / 3, 1.0, 1.0))
    assert found.tpot == pytest.approx((2 / 3, 1.0, 1.0))
    assert found.goodput == pytest.approx(2 / 5.0)
    assert found.tokens_per_second == pytest.approx(200 / 10.0)
    assert found.percentiles[0]["end_p50"] == pytest.approx(3.0)
    assert found.percentiles[2]["end_p50"] == 0.0


def test_a_class_that_nobody_is_in_is_named() -> None:
    none = tables(slo=[0, 1], ttft=[1.0, 1.0], tpot=[0.1, 0.1], end=[2.0, 2.0], tokens=[1, 1])
    with pytest.raises(ValueError, match="no request of class 'none' was served"):
        score(none, SLOS)


@given(st.integers(0, 1000), st.integers(3, 60))
def test_shares_are_shares_and_goodput_is_no_more_than_was_offered(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    ttft = rng.exponential(1.0, n)
    tpot = rng.exponential(0.05, n)
    end = np.where(rng.random(n) < 0.2, np.inf, ttft + rng.exponential(5.0, n))
    own = np.arange(n) % 3
    found = score(Served(own, ttft, tpot, end, rng.integers(1, 9, n), 10.0, 5.0), SLOS)
    for i in range(3):
        assert 0.0 <= found.attained[i] <= min(found.ttft[i], found.tpot[i]) <= 1.0
    assert found.goodput <= (own < 2).sum() / 5.0


def record(number: int, slo: Slo, **known: float | str) -> RequestRecord:
    return RequestRecord(number, "code", 10.0 + number, slo=slo, **known)


def test_what_clients_saw_is_scored_and_what_failed_or_did_not_end_attains_nothing() -> None:
    records = [
        record(0, SLOS[0], first=10.5, end=12.5, tokens=101),
        record(1, SLOS[1], first=11.5, end=12.0, error="HTTP 500: no"),
        record(2, SLOS[1], first=12.5),  # broken off
        record(3, SLOS[2], first=14.0, end=14.0, tokens=1),
    ]
    assert [ended(r) for r in records] == [True, False, False, True]
    found = served(records, SLOS, 5.0)
    assert found.slo.tolist() == [0, 1, 1, 2]
    assert found.ttft.tolist() == pytest.approx([0.5, math.inf, 0.5, 1.0])
    assert found.tpot.tolist() == pytest.approx([0.02, math.inf, math.inf, 0.0])
    assert found.end.tolist() == pytest.approx([2.5, math.inf, math.inf, 1.0])
    assert found.tokens.tolist() == [101, 0, 0, 1]
    assert (found.span, found.offered) == (4.0, 5.0)
    assert score(found, SLOS).attained == (1.0, 0.0, 1.0)
    assert served(records, WITHOUT, 5.0).slo.tolist() == [0, 0, 0, 0]


@given(st.floats(0.1, 20.0), st.floats(5.0, 60.0), st.integers(0, 2000), st.integers(2, 300))
def test_a_short_window_has_just_the_load_and_the_bursts_of_the_trace(
    rate: float, seconds: float, seed: int, n: int
) -> None:
    whole = trace(n)
    found = short_window(whole, rate, seconds, seed)
    assert len(found) == max(round(rate * seconds), 1)
    assert found.arrivals[0] == 0.0
    assert (np.diff(found.arrivals) >= 0).all()
    assert found.arrivals[-1] < seconds
    (begin,) = (i for i in range(n) if i == int((0.5 + seed * 0.6180339887) % 1.0 * n))
    places = (begin + np.arange(len(found))) % n
    assert (found.context == whole.context[places]).all()
    assert (found.generated == whole.generated[places]).all()
    inside = len(found) if begin + len(found) < n else max(n - begin, 1)
    ours, theirs = (np.diff(t) for t in (found.arrivals, whole.arrivals[begin:]))
    if inside > 2:  # gaps in proportion, as far as the trace goes without beginning anew
        assert ours[: inside - 1] / ours[0] == pytest.approx(theirs[: inside - 1] / theirs[0])


def test_windows_of_a_trace_have_its_rate_in_the_mean() -> None:
    whole = trace(5000)
    for rate in (0.5, 4.0):
        counts = [len(window(whole, rate, 60.0, seed)) for seed in range(40)]
        assert np.mean(counts) == pytest.approx(rate * 60.0, rel=0.1)
    again = window(whole, 4.0, 60.0, 3)
    assert (again.arrivals == window(whole, 4.0, 60.0, 3).arrivals).all()
    assert len(window(whole, 4.0, 3600.0, 3)) > len(whole)  # it begins anew


def test_a_sample_is_of_the_whole_trace_and_there_at_once() -> None:
    whole = trace(1000)
    found = sample(whole, 11)
    assert found.arrivals.tolist() == [0.0] * 11
    assert found.context[[0, -1]].tolist() == whole.context[[0, -1]].tolist()


def test_lengths_are_fitted_to_the_live_engine() -> None:
    found = fitted(Trace(np.zeros(4), np.array([1, 400, 5000, 9000]), np.array([1, 2, 191, 500])))
    assert found.context.tolist() == [1, 100, MOST_PROMPT, MOST_PROMPT]
    assert found.generated.tolist() == [1, 2, 191, MOST_OUTPUT]


@given(st.integers(3, 100), st.integers(0, 100))
def test_classes_are_drawn_in_equal_shares_and_change_nothing_else(n: int, seed: int) -> None:
    plain = [Arrival(0.1 * i, [i], i + 1, "code") for i in range(n)]
    found = promised(plain, SLOS, seed)
    assert found == promised(plain, SLOS, seed)
    assert [(a.at, a.prompt, a.tokens) for a in found] == [
        (a.at, a.prompt, a.tokens) for a in plain
    ]
    counts = [sum(a.slo.name == name for a in found) for name in CLASSES]
    assert sum(counts) == n
    assert max(counts) - min(counts) <= 1


def scores(**goodput: float) -> dict[tuple[str, float, float, str, int], Score]:
    """Of two loads; AdaSpec's best is the first; at the second everyone has half."""
    return {
        ("t", load, 1.0, arm, seed): Score(
            attained=(0.9 if arm == "flyball" else 0.8, 0.7, 1.0),
            ttft=(1.0, 1.0, 1.0),
            tpot=(1.0, 1.0, 1.0),
            goodput=value * (1.0 if load == 0.9 else 0.5) * (seed + 1),
            tokens_per_second=1.0,
            percentiles=({}, {}, {}),
        )
        for load in (0.9, 1.5)
        for seed in (0, 1)
        for arm, value in goodput.items()
    }


def test_figures_compare_with_the_best_peer_where_adaspec_is_best() -> None:
    found = slo_figures(scores(off=1.0, adaspec=2.0, smartspec=3.0, flyball=3.6), 0)
    assert found["goodput_ratio_to_best_peer"] == pytest.approx(1.2)
    assert found["goodput_ratio_to_best_peer_low"] == pytest.approx(1.2)
    assert found["goodput_ratio_t_1.5"] == pytest.approx(1.2)
    assert found["adaspec_best_load_t"] == 0.9
    assert found["attainment_tight"] == pytest.approx(0.9)
    assert found["attainment_tight_off"] == pytest.approx(0.8)
    assert found["attainment_margin"] == pytest.approx(0.0)


def test_who_attains_nothing_is_not_divided_by() -> None:
    found = slo_figures(scores(off=0.0, adaspec=0.0, flyball=0.0), 0)
    assert found["goodput_ratio_to_best_peer"] == pytest.approx(1.0)


def test_live_arms_are_policies_that_an_engine_takes() -> None:
    info = EngineInfo(
        engine="e", target="t", draft="d", k_max=7, static_depth=2, parameter_ratio=0.05
    )
    arms = live_arms(0.0421)
    assert [arm.name for arm in arms] == [
        *("off", "fixed-1", "fixed-3", "fixed-5", "fixed-7"),
        *("smartspec", "adaspec", "adaspec-slo", "flyball"),
    ]
    for arm in arms:
        assert check_policy(arm.policy, info) == arm.policy
    assert {arm.name for arm in live_arms(0.05, quick=True)} == {"off", "adaspec", "flyball"}
    assert next(a for a in arms if a.name == "adaspec-slo").policy == "adaspec?slo_ms=42.100"


PATH = (Path("trace.csv"),)


def test_sizes_of_runs() -> None:
    usual, live = SloOptions(traces=PATH), SloOptions(traces=PATH, engine="vllm")
    assert (usual.sized_seconds, usual.sized_seeds) == (600.0, 5)
    assert (usual.sized_loads, usual.sized_scales) == (LOADS, SCALES)
    assert (live.sized_seconds, live.sized_rounds) == (60.0, 4)
    assert (live.sized_loads, live.sized_scales) == ((0.9,), (1.0,))
    quick = SloOptions(traces=PATH, engine="vllm", quick=True, rounds=5)
    assert (quick.sized_seconds, quick.sized_rounds) == (15.0, 1)
    given_ones = SloOptions(traces=PATH, loads=(1.0, 0.5, 1.0), scales=(2.0, 0.8, 2.0), seconds=60)
    assert (given_ones.sized_loads, given_ones.sized_scales) == ((0.5, 1.0), (0.8, 2.0))
    tight, loose, none = given_ones.slos(0.04, 2.0)
    assert (tight.ttft, tight.tpot) == (1.0, pytest.approx(0.08))
    assert (loose.ttft, loose.tpot) == (5.0, pytest.approx(0.24))
    assert not none.bound
    absolute = SloOptions(traces=PATH, tpot_ms=30.0)
    assert absolute.sized_scales == (1.0,)
    assert absolute.slos(0.5, 1.0)[0].tpot == pytest.approx(0.03)


def test_the_help_tells_the_turns_that_there_are() -> None:
    told = get_type_hints(bench, include_extras=True)["rounds"].__metadata__[0].help
    assert f"slo's arms, {SloOptions.rounds} by default" in told


def test_a_live_run_in_virtual_time_has_the_sizes_of_one() -> None:
    usual = SloOptions(traces=PATH, preset="embedded")
    assert usual.lifelike
    assert (usual.sized_seconds, usual.sized_seeds, usual.sized_scales) == (20.0, 40, (1.0,))
    quick = SloOptions(traces=PATH, preset="embedded", quick=True, seconds=10.0)
    assert (quick.sized_seconds, quick.sized_seeds) == (10.0, 10)
    assert SloOptions(traces=PATH, preset="embedded", quick=True, seeds=3).sized_seeds == 3
    other = SloOptions(traces=PATH, preset="gpu-7b", quick=True)
    assert (other.lifelike, other.sized_preset, other.sized_seeds) == (False, "gpu-7b", 1)


def test_a_live_run_in_virtual_time_has_its_lengths_and_windows() -> None:
    whole = fitted(trace(400))
    place = site(whole, preset("embedded", k_max=8), 20.0, [0], short=True)
    found = serve(place, SIMULATED[0], 0.9, promises(1.0, place.tpot), 20.0, 3)
    asked = short_window(whole, 0.9 * place.capacity, 20.0, 3)
    assert sorted(found.tokens) == sorted(asked.generated)
    assert found.tokens.max() <= MOST_OUTPUT


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"engine": "gpu"}, "there are vllm, simulator"),
        ({"traces": ()}, "name at least one file with --trace"),
        ({"seeds": 0}, "at least 1"),
        ({"preset": "tpu"}, "no simulated engine 'tpu'; there are cpu, gpu-7b, embedded"),
        ({"preset": "cpu", "profile": Path("p.json")}, "a preset's or a profile's, not of both"),
        ({"rounds": 0}, "at least 1"),
        ({"seconds": 20.0}, r"seconds must be in \[30, 86400\]"),
        ({"engine": "vllm", "seconds": 5.0}, r"seconds must be in \[10, 86400\]"),
        ({"seconds": math.nan}, "seconds must be in"),
        ({"loads": (0.9, 0.0)}, r"loads must be in \[0.05, 10\]"),
        ({"loads": (math.nan,)}, "loads must be in"),
        ({"scales": (-1.0,)}, r"scales must be in \[0.1, 10\]"),
        ({"ttft_ms": 0.0}, "--ttft-ms must be a number of milliseconds from 1 to"),
        ({"tpot_ms": math.inf}, "--tpot-ms must be a number of milliseconds from 0.1 to"),
        ({"tpot_ms": 30.0, "scales": (0.8, 1.2)}, "--scales is of no use with --tpot-ms"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SloOptions(**{"traces": PATH, **wrong})


def test_a_small_simulated_run_from_end_to_end(tmp_path: Path) -> None:
    whole = trace(400)
    path = tmp_path / "small.csv"
    rows = zip(whole.arrivals, whole.context, whole.generated, strict=True)
    lines = (f"{at:.3f},{context},{generated}" for at, context, generated in rows)
    path.write_text("Timestamp,Request tokens,Response tokens\n" + "\n".join(lines))
    options = SloOptions(
        traces=(path,), quick=True, seconds=30.0, loads=(0.9,), scales=(1.0,), plots=tmp_path
    )
    found = run(options, lambda _: None)
    assert len(found["arms"]) == 9
    for arm in found["arms"].values():
        classes = arm["small, load 0.9, scale 1"]["classes"]
        assert list(classes) == list(CLASSES)
        assert classes["none"]["attained"] == 1.0  # whoever waits long enough is served
    figures = found["figures"]
    assert figures["goodput_ratio_small_0.9"] == figures["goodput_ratio_to_best_peer"] > 0.0
    assert figures["allocate_us_p99"] >= figures["allocate_us_p50"] > 0.0
    assert figures["plan_queue_us_p99"] > 0.0
    assert (tmp_path / "slo-small.png").stat().st_size > 0
