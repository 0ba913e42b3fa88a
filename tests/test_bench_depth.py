"""The benchmark of depth policies: its arithmetic, and a small run in which ours has to win."""

from __future__ import annotations

import numpy as np
import pytest
from factories import State, World
from flyball.benchmarks.depth.figures import (
    OFF,
    at_speed,
    curve,
    depth_figures,
    hypervolume,
    worst_phase,
)
from flyball.benchmarks.depth.live import fixed_depth, total
from flyball.benchmarks.depth.plots import draw
from flyball.benchmarks.depth.run import DepthOptions
from flyball.benchmarks.depth.scenarios import changing, of_trace, scenarios
from flyball.benchmarks.depth.settling import BIN, WINDOW, seconds_to_regret
from flyball.benchmarks.depth.simulated import Course, SimulatedRun
from flyball.benchmarks.depth.tally import SUMS, Arm, Tally, collect, sums
from flyball.controller.benchmark import Maker, ingest_per_second
from flyball.controller.intake import outcome_rows
from flyball.policies.prices import compute_prices


def tally(**factors: tuple[float, float]) -> Tally:
    """Arms that take and cost so many times what off does, in three noisy units."""
    rng = np.random.default_rng(0)
    parts = {}
    for unit in [(0, "a"), (0, "b"), (1000, "a")]:
        scale = rng.uniform(1.0, 3.0)
        for name, (latency, cost) in {"off": (1.0, 1.0), **factors}.items():
            speeds = [None] if name.startswith(("off", "fixed")) else [0.0, 1.0]
            for speed in speeds:
                sums_ = [100 * scale * latency, 100.0, 2e-6 * scale * cost, 60.0, 30.0, 20.0]
                parts[Arm(name.replace("_", "?depth="), speed), unit] = np.array(sums_)
    return collect(parts)


def test_components_are_relative_to_off_and_paired() -> None:
    found = tally(fixed_2=(0.5, 1.4), learned=(0.4, 1.2))
    assert np.allclose(found.components(Arm("learned", 1.0), OFF), [0.4, 1.2])
    assert np.allclose(found.objective(Arm("fixed?depth=2"), OFF, 0.5), 0.95)
    assert found.arm("fixed?depth=2", 0.5) == Arm("fixed?depth=2")
    assert found.switches_per_minute(Arm("learned", 1.0)) == pytest.approx(30.0)
    with pytest.raises(KeyError, match="no arm"):
        found.of(Arm("nobody"))


def test_figures_name_the_best_in_hindsight() -> None:
    found = tally(fixed_2=(0.5, 1.4), fixed_6=(0.6, 2.0), goodput=(0.45, 1.5), learned=(0.4, 1.0))
    fast, cheap = at_speed(found, 1.0, 0), at_speed(found, 0.0, 0)
    assert fast["best_static_ratio"].value == pytest.approx(0.5 / 0.4)
    assert fast["best_peer_ratio"].value == pytest.approx(0.45 / 0.4)
    assert fast["regret"].value == pytest.approx(0.4 / 0.5 - 1.0)
    assert cheap["best_static_ratio"].value == pytest.approx(1.0)  # off
    figures = depth_figures(found, [0.0, 1.0], 0)
    assert figures["j_1"] == pytest.approx(0.4)
    assert {"j_1_low", "j_1_high", "regret_0", "hypervolume_ratio_to_best_peer"} <= set(figures)
    assert worst_phase(found, "learned", [0.0, 1.0]) == pytest.approx(1.0)
    assert hypervolume(found, "learned", [0.0, 1.0]) == pytest.approx(0.6 * 2.0)
    assert curve(found, "goodput", [1.0]) == [(pytest.approx(0.45), pytest.approx(1.5))]


def test_peers_that_were_measured_at_one_speed_only() -> None:
    found = tally(goodput=(0.45, 1.5), learned=(0.4, 1.0), fixed_2=(0.5, 1.4))
    kept = [i for i, arm in enumerate(found.arms) if arm != Arm("goodput", 0.0)]
    fewer = Tally([found.arms[i] for i in kept], found.units, found.sums[kept])
    figures = depth_figures(fewer, [0.0, 1.0], 0)
    assert figures["best_peer_ratio_1"] == pytest.approx(0.45 / 0.4)
    assert "best_peer_ratio_0" not in figures


def test_plots_are_drawn(tmp_path) -> None:
    found = tally(goodput=(0.45, 1.5), learned=(0.4, 1.0), fixed_2=(0.5, 1.4))
    files = draw(found, [0.0, 1.0], tmp_path)
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files)


def test_units_without_a_token_are_left_out() -> None:
    found = tally(learned=(0.5, 1.0))
    found.sums[1, 2, SUMS.index("emitted")] = 0.0
    assert found.complete().units == [(0, "a"), (0, "b")]


def test_sums_are_those_of_the_outcomes() -> None:
    world = World()
    transitions = [world.transition(State(), k) for k in (0, 3)]
    prices = compute_prices(world.parameter_ratio)
    values = sums(outcome_rows(transitions), prices)
    assert np.allclose(values.sum(0), total(transitions, prices))
    outcome = transitions[1].outcome
    dollars = prices.verified * outcome.verified + prices.drafted * outcome.drafted
    expected = [outcome.request_seconds, outcome.emitted, dollars, outcome.seconds, 0, 1]
    assert np.allclose(values[1], expected)
    assert (total([], prices) == 0).all()


def test_seconds_to_regret_end_with_the_last_bad_minute() -> None:
    ends = np.arange(1, 601, dtype=float)[None]  # an interval a second for ten minutes
    one = np.zeros((1, 600, len(SUMS)))
    one[..., :2] = 1.0, 10.0
    bad = one.copy()
    bad[:, :200, 0] = 2.0  # twice as slow for 200 seconds
    fixed = {0: Course(ends, one)}
    best, phases = [[0, 0]], [300.0, 300.0]
    assert seconds_to_regret(Course(ends, one), fixed, best, phases, 0.05) == 0.0
    found = seconds_to_regret(Course(ends, bad), fixed, best, phases, 0.05)
    assert 200.0 - WINDOW * BIN < found <= 200.0 + BIN


def test_arms_that_hold_a_depth() -> None:
    assert [fixed_depth(Arm(p)) for p in ("off", "fixed?depth=3", "goodput")] == [0, 3, None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "sglang"}, "vllm, simulator"),
        ({"seeds": 0}, "seeds and rounds"),
        ({"seconds": 5.0}, "at least 60"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said) -> None:
    with pytest.raises(ValueError, match=said):
        DepthOptions(**options)


def test_scenarios(tmp_path) -> None:
    trace = tmp_path / "calm.csv"
    rows = [f"2023-11-16 18:00:{s:02d}.0000000,100,20" for s in range(60)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows) + "\n")
    found = of_trace(trace)
    assert found.name == "calm"
    assert found.horizon == pytest.approx(59.0)
    assert len(found.workload.phases) == 6
    assert len(scenarios([], 90.0)[0].workload.phases) == 9
    assert scenarios([trace, trace], None)[1].name == "calm"


def test_the_learner_beats_every_fixed_depth_where_load_and_content_change(tmp_path) -> None:
    run = SimulatedRun(changing(270.0), Maker(tmp_path), [1.0], [7], lambda _: None)
    fixed = [f"fixed?depth={k}" for k in range(1, 7)]
    found, courses = run.run(["off", *fixed, "learned"])
    found = found.complete()
    ours = found.objective(Arm("learned", 1.0), OFF, 1.0).mean()
    others = [found.objective(Arm(name), OFF, 1.0).mean() for name in fixed]
    assert ours < 0.98 * min(others)
    assert len(courses["learned"].clock) == 1
    # Off costs nothing that could be saved: then there is nothing to explore, either.
    cheap, _ = SimulatedRun(changing(90.0), Maker(tmp_path / "b"), [0.0], [7], lambda _: None).run(
        ["off", "learned"]
    )
    assert cheap.complete().objective(Arm("learned", 0.0), OFF, 0.0).max() <= 1.01


def test_reports_are_taken_in() -> None:
    assert ingest_per_second(200) > 0
