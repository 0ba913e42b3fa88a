from __future__ import annotations

import io
import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from flyball.benchmarks.arms import ARMS, OFF, PHASES, Arm, Phase, Slice, slice_of
from flyball.benchmarks.demo import DemoOptions, Schedule
from flyball.benchmarks.engines import BenchError
from flyball.benchmarks.plots import draw_all
from flyball.benchmarks.result import check, write
from flyball.benchmarks.summary import KnobTurn, Measured, burden, in_force, latency, summarise
from flyball.benchmarks.table import tables
from flyball.policies.prices import compute_prices
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.transition import Decision, Outcome, Reason, Transition
from rich.console import Console

PRICES = compute_prices(0.05)
STATUS = {
    "learner": {"transitions": 900, "updates": 3000, "snapshot": 40},
    "engines": [
        {"decisions": 950, "dropped": 0, "faults": 0, "decide_us_p50": 30.0, "decide_us_p99": 80.0}
    ],
}


def transition(number: int, depth: int = 2, speed: float = 0.5, pin: int = 0) -> Transition:
    raw = DEPTH_SPACE.zeros()
    raw[DEPTH_SPACE.index("batch")] = (1, 4, 16)[number // 40 % 3]
    decision = Decision(
        number, 1000.0 + 0.2 * number, raw.tobytes(), depth, depth, 1.0, 1, speed,
        Reason.EXPLORE if number % 9 == 0 else Reason.POLICY, pin,
    )  # fmt: skip
    none, checked = (0,) * MAX_DEPTH, (32,) * depth + (0,) * (MAX_DEPTH - depth)
    outcome = Outcome(
        *(0.16, 8, 0.64, 32, 32 + 16 * depth, 32 * depth, 32 * (depth + 1), 0, 0, 0),
        *(checked, none, none),
    )
    return Transition(decision, outcome, raw.tobytes())


def made(visit: int, phase: Phase, arm: Arm) -> Slice:
    """Deeper is faster and dearer; the governed arm goes from depth 0 to 4 with the speed."""
    depth = arm.depth if arm.depth is not None else 4 * arm.speed
    seconds, emitted = 2.0 * (1 + 0.02 * visit), round(100 * (1 + 0.2 * depth))
    dollars = 1e-5 * (1 + depth) ** 1.2
    return Slice(visit, phase, arm, 10, seconds, 4 * seconds, emitted, dollars, float(depth))


@pytest.fixture
def measured() -> Measured:
    number = count()
    visits = [(next(number), phase) for _ in range(2) for phase in PHASES]
    return Measured(
        slices=[made(visit, phase, arm) for visit, phase in visits for arm in ARMS],
        turns=[KnobTurn(1000.0, 1.0, 0.2), KnobTurn(1001.0, 0.0)],
        tour=[transition(i, i % 7, i % 3 / 2) for i in range(120)],
        requests=50,
        failed=[],
        status=STATUS,
        prices=PRICES,
    )


def test_a_slice_sums_up_its_intervals() -> None:
    found = [transition(i, depth=2) for i in range(3)]
    one = slice_of(0, PHASES[0], OFF, found, PRICES)
    assert one is not None
    assert one.tokens_per_second == pytest.approx(64 / 0.16)
    assert one.seconds_per_token == pytest.approx(0.64 / 64)
    dollars = PRICES.verified * 96 + PRICES.drafted * 64
    assert one.dollars_per_token == pytest.approx(dollars / 64)
    assert one.depth == pytest.approx(2.0)


def test_an_empty_slice_is_none() -> None:
    assert slice_of(0, PHASES[0], OFF, [], PRICES) is None


def test_off_is_one_and_the_burden_weighs_by_the_speed() -> None:
    off, deep = made(0, PHASES[0], OFF), made(0, PHASES[0], ARMS[2])
    assert burden(0.3)(off, off) == pytest.approx(1.0)
    assert burden(1.0)(deep, off) == pytest.approx(latency(deep, off))


def test_the_summary_holds_every_phase_and_arm_and_is_in_the_form_of_a_result(
    measured: Measured, tmp_path: Path
) -> None:
    summary = summarise(measured, seed=0, seconds=300.0)
    check(
        {key: summary[key] for key in ("bench", "machine", "versions", "seed", "arms", "figures")}
    )
    assert [phase["phase"] for phase in summary["phases"]] == [phase.name for phase in PHASES]
    assert all(set(p["arms"]) == {arm.name for arm in ARMS} for p in summary["phases"])
    assert summary["figures"]["throughput_over_off_at_1"] == pytest.approx(1.8)
    assert summary["figures"]["burden_over_off_at_0"] == pytest.approx(1.0)
    assert summary["figures"]["knob_seconds_max"] == pytest.approx(0.2)
    assert summary["best_fixed"]["0"] == "off"
    assert summary["best_fixed"]["1"] == "depth 6"
    assert summary["figures"]["burden_over_best_fixed_at_1"] > 1.0  # it says so when it is worse
    write(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_visits_without_all_arms_are_left_out(measured: Measured) -> None:
    lame = [s for s in measured.slices if not (s.visit == 3 and s.arm is OFF)]
    summary = summarise(Measured(**{**vars(measured), "slices": lame}), 0, 1.0)
    assert summary["figures"]["visits"] == 17
    with pytest.raises(BenchError, match="more seconds"):
        summarise(Measured(**{**vars(measured), "slices": lame[:2]}), 0, 1.0)


def test_every_plot_is_drawn_and_shows_something(measured: Measured, tmp_path: Path) -> None:
    from matplotlib.image import imread

    files = draw_all(summarise(measured, 0, 300.0), tmp_path)
    assert [file.name for file in files] == ["throughput.png", "plane.png", "knob.png"]
    for file in files:
        image = imread(file)
        assert image.shape[1] == 1500
        assert len(np.unique(image[::4, ::4, :3].reshape(-1, 3), axis=0)) > 20


def test_plots_of_a_short_demo_are_drawn_too(measured: Measured, tmp_path: Path) -> None:
    few = [s for s in measured.slices if s.visit == 0]
    summary = summarise(Measured(**{**vars(measured), "slices": few, "tour": []}), 0, 30.0)
    assert len(draw_all(summary, tmp_path)) == 3


@pytest.mark.parametrize(("seconds", "phases"), [(90.0, 3), (330.0, 9), (3600.0, 9)])
def test_a_schedule_fits_its_time(seconds: float, phases: int) -> None:
    schedule = Schedule.of(seconds, phases)
    start, tour = 40.0, 3 * (0.7 + 4 * schedule.tour)
    warm_up = phases * (schedule.warm_up + 0.7)
    visit = 0.7 + len(ARMS) * schedule.slice
    assert start + warm_up + phases * visit + tour < 1.05 * seconds
    assert 0.4 <= schedule.slice <= 3.0


def test_a_turn_is_in_force_when_the_engine_first_says_so_afterwards() -> None:
    speeds = [(99.0, 1.0), (100.2, 1.0), (100.5, 1.0), (101.0, 0.0)]
    (turn,) = in_force([KnobTurn(100.0, 1.0)], speeds)
    assert turn.effect == pytest.approx(0.2)
    assert np.isnan(in_force([KnobTurn(102.0, 1.0)], speeds)[0].effect)
    overtaken, _ = in_force([KnobTurn(100.0, 1.0), KnobTurn(100.1, 0.0)], speeds)
    assert np.isnan(overtaken.effect), "the next turn came first"


@pytest.mark.parametrize("wrong", [{"seconds": 1.0}, {"k_max": 9}])
def test_options_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be in"):
        DemoOptions(**wrong)


def test_the_tables_show_every_phase_and_what_was_gained(measured: Measured) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables(summarise(measured, 0, 300.0)))
    text = console.export_text()
    assert all(phase.name.replace("_", " ") in text for phase in PHASES)
    assert "1.800 [1.800, 1.800]" in text
    assert "900 transitions, 3,000 updates, 40 snapshots" in text
