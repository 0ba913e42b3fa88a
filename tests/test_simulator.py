from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from flyball.inference.simulator.compiling import draw_key, gamma, normal, uniform
from flyball.inference.simulator.engine import Simulator
from flyball.inference.simulator.landing import count_accepted
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.records import REQUEST
from flyball.inference.simulator.settings import SimulatorSettings
from flyball.inference.simulator.traces import Trace
from flyball.inference.simulator.workload import (
    Drift,
    Length,
    Phase,
    RequestClass,
    Workload,
    traced,
)
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH
from flyball.policies.transition import ACCEPTED, CHECKED, COLUMN, ROW_SIZE, TRIED
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

SURVIVAL = DEPTH_SPACE.slice("survival_1", MAX_DEPTH)


def loop(concurrency: int, **changes: object) -> SimulatorSettings:
    return preset("cpu", workload=Workload(phases=(Phase(concurrency=concurrency),)), **changes)


def tiny_trace(n: int = 60, gap: float = 0.05, seed: int = 0) -> Trace:
    rng = np.random.default_rng(seed)
    return Trace(
        rng.exponential(gap, n).cumsum(), rng.integers(1, 120, n), rng.integers(1, 80, n), "tiny"
    )


def run(simulator: Simulator, depth: int | None = None, seed: int = 0, steps: int = 100_000):
    """Drive engines until all are done, at one depth or at random ones."""
    rng = np.random.default_rng(seed)
    n, k_max = simulator.engines, simulator.settings.k_max
    made = []
    for _ in range(steps):
        depths = rng.integers(0, k_max + 1, n) if depth is None else np.full(n, depth)
        made.append(simulator.step(depths))
        if made[-1].done.all():
            break
    return made


short_of_memory = st.fixed_dictionaries(
    {
        "kv_blocks": st.integers(16, 60),
        "max_num_seqs": st.integers(1, 12),
        "max_num_batched_tokens": st.integers(1, 300),
        "interval": st.integers(1, 9),
        "queue": st.integers(1, 64),
    }
)


@hypothesis_settings(max_examples=25, deadline=None)
@given(short_of_memory, st.integers(0, 1000))
def test_every_token_of_every_request_is_emitted_once(limits: dict, seed: int) -> None:
    trace = tiny_trace(seed=seed)
    limits |= {"max_model_len": 240}
    simulator = Simulator(preset("cpu", workload=traced(trace), **limits), engines=2, seed=seed)
    made = run(simulator, seed=seed)
    totals = simulator.totals
    assert made[-1].done.all()
    assert (totals["arrived"] == 60).all()
    assert (totals["finished"] == 60).all()
    assert (totals["started"] == 60).all()
    assert (totals["finished_tokens"] == trace.generated.sum()).all()
    assert (totals["emitted"] + totals["prompted"] == trace.generated.sum()).all()
    assert (totals["prompted"] == 60 + totals["preemptions"]).all() or totals["preemptions"].any()
    assert (totals["prefill"] >= trace.context.sum()).all()
    assert (totals["verified"] >= totals["emitted"]).all()
    engines = simulator._fleet.engines
    assert (engines["free_blocks"] == limits["kv_blocks"]).all()
    assert (engines["running"] + engines["preempted"] + engines["queued"] == 0).all()
    assert (np.sort(simulator._fleet.order) == np.arange(limits["max_num_seqs"])).all()


def test_without_enough_memory_requests_are_preempted_and_finish_all_the_same() -> None:
    settings = preset("cpu", workload=traced(tiny_trace(gap=0.001)), max_model_len=240)
    ample = Simulator(settings)
    short = Simulator(replace(settings, kv_blocks=30))
    run(ample, 2)
    made = run(short, 2)
    assert ample.totals["preemptions"][0] == 0
    assert short.totals["preemptions"][0] > 5
    assert short.totals["finished"][0] == ample.totals["finished"][0] == 60
    assert short.totals["prefill"][0] > ample.totals["prefill"][0]
    usage = [step.observations[0, DEPTH_SPACE.index("kv_usage")] for step in made]
    assert max(usage) > 0.8
    assert max(usage) <= 1.0


def test_rows_add_up() -> None:
    simulator = Simulator(loop(6), engines=3, seed=1)
    made = run(simulator, steps=300)
    rows = np.stack([step.outcomes for step in made]).reshape(-1, ROW_SIZE)
    depth, steps, request_steps = (rows[:, COLUMN[n]] for n in ("depth", "steps", "request_steps"))
    tried, accepted = rows[:, TRIED], rows[:, ACCEPTED]
    assert steps.max() == 8
    assert (rows[:, COLUMN["drafted"]] == depth * request_steps).all()
    assert (rows[:, COLUMN["verified"]] == (1 + depth) * request_steps).all()
    verifies = np.arange(1, MAX_DEPTH + 1) <= depth[:, None]
    assert (rows[:, CHECKED] == verifies * request_steps[:, None]).all()
    assert (tried[:, 1:] <= accepted[:, :-1]).all()
    assert (accepted <= tried).all()
    assert (tried[:, 0] == np.where(depth > 0, request_steps, 0)).all()
    assert (tried * (np.arange(MAX_DEPTH) >= depth[:, None]) == 0).all()
    emitted = rows[:, COLUMN["emitted"]]
    # The last verification of a request may accept more than it may still emit.
    assert (emitted <= request_steps + accepted.sum(1)).all()
    unfinished = rows[:, COLUMN["finished"]] == 0
    assert (emitted == request_steps + accepted.sum(1))[unfinished].all()
    totals = simulator.totals
    for name in ("seconds", "steps", "request_seconds", "emitted", "verified"):
        assert rows[:, COLUMN[name]].sum() <= totals[name].sum()


@pytest.mark.parametrize("planner", ["flyball", "adaspec"])
def test_what_is_cut_short_is_told_by_position(planner: str) -> None:
    simulator = Simulator(replace(loop(6), planner=planner), engines=3, seed=1)
    simulator.speed[:] = 0.0
    rows = np.stack([step.outcomes for step in run(simulator, steps=300)]).reshape(-1, ROW_SIZE)
    request_steps, checked = rows[:, COLUMN["request_steps"]], rows[:, CHECKED]
    assert (rows[:, COLUMN["verified"]] == request_steps + checked.sum(1)).all()
    assert (checked[:, 0] <= request_steps).all()
    assert (checked[:, 1:] <= checked[:, :-1]).all()
    assert (rows[:, TRIED] <= checked).all()
    assert rows[:, COLUMN["verified"]].sum() < (request_steps + rows[:, COLUMN["drafted"]]).sum()


@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0])
def test_what_is_observed_to_be_kept_is_what_is_verified(speed: float) -> None:
    simulator = Simulator(replace(loop(6), planner="flyball"), engines=4, seed=1)
    simulator.speed[:] = speed
    kept_fields = DEPTH_SPACE.slice("kept_1", MAX_DEPTH)
    made = run(simulator, steps=200, depth=4)
    kept = np.stack([step.observations[:, kept_fields] for step in made[50:-1]])
    rows = np.stack([step.outcomes for step in made[51:]])
    assert (kept <= 1).all()
    assert (np.diff(kept) <= 0).all()
    survival = np.stack([step.observations[:, SURVIVAL] for step in made[50:-1]])
    assert (survival <= kept).all()
    verified = rows[..., CHECKED].sum((0, 1)) / rows[..., COLUMN["request_steps"]].sum()
    assert kept.mean((0, 1))[:4] == pytest.approx(verified[:4], abs=0.05)


def test_a_run_of_one_depth_counts_every_decoding_step() -> None:
    simulator = Simulator(loop(4), seed=3)
    rows = np.concatenate([step.outcomes for step in run(simulator, 3, steps=200)])
    totals = simulator.totals[0]
    # All but the step that had nothing to verify yet, of prompts alone.
    for name in ("request_seconds", "request_steps", "emitted", "drafted", "verified"):
        assert rows[:, COLUMN[name]].sum() == pytest.approx(totals[name])


def test_the_same_seed_and_depths_give_the_same_run() -> None:
    simulator = Simulator(loop(5), engines=2, seed=9)
    first = run(simulator, seed=1, steps=50)
    simulator.reset()
    again = run(simulator, seed=1, steps=50)
    other = Simulator(loop(5), engines=2, seed=10)
    apart = run(other, seed=1, steps=50)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.outcomes, b.outcomes)
    assert not np.array_equal(first[-1].outcomes, apart[-1].outcomes)


def test_engine_i_is_the_engine_of_seed_plus_i() -> None:
    rate = preset("cpu", workload=Workload(phases=(Phase(rate=3.0, cv=2.0),), drift=Drift(0.5)))
    three, one = Simulator(rate, engines=3, seed=4), Simulator(rate, seed=5)
    for a, b in zip(run(three, 3, steps=60), run(one, 3, steps=60), strict=True):
        np.testing.assert_array_equal(a.outcomes[1], b.outcomes[0])
        np.testing.assert_array_equal(a.observations[1], b.observations[0])


@given(
    st.lists(st.floats(0, 1), min_size=MAX_DEPTH, max_size=MAX_DEPTH),
    st.integers(0, 2**63 - 1),
    st.integers(0, 1000),
)
def test_a_shallower_draft_meets_the_same_luck(
    acceptance: list[float], key: int, emitted: int
) -> None:
    requests = np.zeros(1, REQUEST)
    requests["key"], requests["emitted"], requests["acceptance"] = key, emitted, acceptance
    deep = count_accepted(requests[0], MAX_DEPTH)
    for depth in range(MAX_DEPTH + 1):
        assert count_accepted(requests[0], depth) == min(deep, depth)


def test_arms_meet_the_same_requests_with_the_same_luck() -> None:
    flat = (RequestClass("flat", (0.6,), effect=0.7, output=Length(60, 0.8)),)
    phases = (Phase(seconds=40.0, rate=4.0, cv=3.0),)
    settings = preset("cpu", workload=Workload(flat, phases, False), k_max=8)
    arms = {depth: Simulator(settings, seed=2) for depth in (0, 1, 4, 8)}
    for depth, simulator in arms.items():
        run(simulator, depth)
    arrived = {int(simulator.totals["arrived"][0]) for simulator in arms.values()}
    assert len(arrived) == 1
    assert arrived.pop() > 60
    steps = [int(simulator.totals["request_steps"][0]) for simulator in arms.values()]
    assert steps == sorted(steps, reverse=True)
    # What each is drawn to be like is in its record, whenever it was admitted to whatever slot.
    luck = []
    for depth, simulator in arms.items():
        simulator.reset()
        seen = set()
        while not simulator.step(np.array([depth])).done.all():
            for r in simulator._fleet.requests[0][simulator._fleet.requests[0]["goal"] > 0]:
                seen.add((int(r["key"]), float(r["arrival"]), int(r["generated"])))
        luck.append(seen)
    alike = set.intersection(*luck)
    assert len(alike) > 30
    assert len(set.union(*luck)) == int(arms[0].totals["arrived"][0])


def test_alone_a_request_takes_the_steps_its_draws_say() -> None:
    flat = (RequestClass("flat", (0.7,), effect=0.0, prompt=Length(16), output=Length(200)),)
    settings = preset(
        "cpu", workload=Workload(flat, (Phase(concurrency=1),)), k_max=8, interval=1, max_num_seqs=1
    )
    steps = {}
    for depth in (1, 4):
        simulator = Simulator(settings, seed=6)
        while simulator.totals["finished"][0] < 1:
            simulator.step(np.array([depth]))
        steps[depth] = int(simulator.totals["request_steps"][0])
        key = np.uint64(simulator._fleet.requests["key"][0, 0])
        emitted, wanted = 1, 0
        while emitted < 200:
            run_of = 0
            while run_of < depth and uniform(key, emitted + run_of) < 0.7:
                run_of += 1
            emitted += run_of + 1
            wanted += 1
        assert steps[depth] == wanted
    assert steps[4] < steps[1]


def test_phases_follow_each_other_with_their_load_and_their_mix() -> None:
    classes = (
        RequestClass("easy", (0.95,), named=True, output=Length(40)),
        RequestClass("hard", (0.1,), named=True, output=Length(40)),
    )
    phases = (
        Phase(seconds=20.0, concurrency=2, mix={"easy": 1.0}),
        Phase(seconds=30.0, concurrency=8, mix={"hard": 1.0}),
    )
    simulator = Simulator(preset("cpu", workload=Workload(classes, phases)), seed=0)
    made = run(simulator, 2, steps=600)
    clock = np.array([step.clock[0] for step in made])
    phase = np.array([step.phase[0] for step in made])
    seen = np.stack([step.observations[0] for step in made])
    assert clock[-1] > 100
    assert (phase[1:] == ((clock[:-1] % 50) >= 20)).all()
    within = (clock % 50 > 6) & (clock % 50 < 20)  # what came before is gone
    assert (seen[within][:, DEPTH_SPACE.index("batch")] == 2).all()
    assert (seen[within][:, DEPTH_SPACE.index("share_4")] > 0.99).mean() > 0.8
    within = clock % 50 > 26
    assert (seen[within][:, DEPTH_SPACE.index("batch")] == 8).all()
    assert (seen[within][:, DEPTH_SPACE.index("share_5")] > 0.99).mean() > 0.8
    first = DEPTH_SPACE.index("first_4")
    assert seen[-1, first] == pytest.approx(0.95, abs=0.1)
    assert seen[-1, first + 1] < 0.3


def test_without_repetition_it_ends_with_the_last_phase() -> None:
    phases = (Phase(seconds=3.0, concurrency=2), Phase(seconds=4.0, rate=1.0))
    simulator = Simulator(preset("cpu", workload=Workload(phases=phases, repeat=False)), engines=2)
    made = run(simulator, 1)
    assert (made[-1].clock >= 6.5).all()
    assert (made[-1].clock < 8.0).all()
    before = made[-1]
    after = simulator.step(np.array([1, 1]))
    assert after.done.all()
    assert not after.outcomes.any()
    np.testing.assert_array_equal(after.observations, before.observations)
    assert not simulator.reset().any() or not simulator.step(np.array([1, 1])).done.any()


@pytest.mark.parametrize(("rate", "cv"), [(2.0, 0.0), (2.0, 1.0), (2.0, 4.0)])
def test_requests_arrive_at_their_rate(rate: float, cv: float) -> None:
    phase = Phase(seconds=600.0, rate=rate, cv=cv, mix={"tool_calls": 1})
    settings = preset("gpu-7b", workload=Workload(phases=(phase,), repeat=False))
    simulator = Simulator(settings, engines=8)
    run(simulator, 1)
    assert simulator.totals["arrived"].mean() == pytest.approx(1200, rel=0.03 + 0.05 * cv)
    spread = simulator.totals["arrived"].std()
    assert spread == pytest.approx(cv * np.sqrt(1200), rel=0.7, abs=1)


def test_an_idle_engine_sleeps_until_the_next_arrival() -> None:
    settings = preset("cpu", workload=Workload(phases=(Phase(rate=0.02),)))
    simulator = Simulator(settings)
    assert simulator.reset()[0, DEPTH_SPACE.index("waiting")] == 1
    made = run(simulator, 4, steps=100)
    assert made[-1].clock[0] > 10 * simulator.totals["seconds"][0]
    assert made[-1].observations[0, DEPTH_SPACE.index("arrivals")] < 0.3


def test_prompts_alone_measure_nothing() -> None:
    long = (RequestClass("long", (0.5,), prompt=Length(3000), output=Length(4)),)
    workload = Workload(long, (Phase(concurrency=1),))
    simulator = Simulator(preset("cpu", workload=workload, max_num_batched_tokens=100))
    step = simulator.step(np.array([2]))
    assert step.outcomes[0, COLUMN["steps"]] == 0
    assert step.outcomes[0, COLUMN["prefill"]] == 0
    assert simulator.totals["prefill"][0] == 800
    assert step.clock[0] > 0


def test_survival_is_of_the_requests_and_true_on_the_average() -> None:
    settings = loop(8)
    simulator = Simulator(settings, engines=16, seed=0)
    made = run(simulator, 6, steps=600)[100:]
    predicted = np.stack([step.observations[:, SURVIVAL] for step in made[:-1]])
    rows = np.stack([step.outcomes for step in made[1:]])
    assert (np.diff(predicted, axis=-1) <= 1e-6).all()
    assert (predicted >= 0).all()
    assert (predicted <= 1).all()
    measured = rows[..., ACCEPTED].sum((0, 1)) / rows[..., TRIED].sum((0, 1))[0]
    np.testing.assert_allclose(predicted.mean((0, 1))[:6], measured[:6], atol=0.01)
    # It tells intervals apart, not just the average.
    its = rows[..., ACCEPTED][..., 0] / np.maximum(rows[..., TRIED][..., 0], 1)
    assert np.corrcoef(predicted[..., 0].ravel(), its.ravel())[0, 1] > 0.3


def test_drift_moves_acceptance() -> None:
    def spread(drift: Drift) -> float:
        classes = (RequestClass("one", (0.6,), effect=0.0, output=Length(50)),)
        workload = Workload(classes, (Phase(concurrency=8),), drift=drift)
        simulator = Simulator(preset("cpu", workload=workload), engines=4)
        made = run(simulator, 4, steps=800)
        return float(np.std([s.observations[:, DEPTH_SPACE.index("acceptance_1")] for s in made]))

    still = spread(Drift())
    assert spread(Drift(1.0, every=20.0)) > 2 * still
    assert spread(Drift(1.0, every=5.0, memory=0.9)) > 2 * still


def test_noise_keeps_the_mean() -> None:
    settings = loop(4)
    noisy = replace(settings, cost_model=replace(settings.cost_model, noise=0.5))
    quiet = replace(settings, cost_model=replace(settings.cost_model, noise=0.0))
    seconds = []
    for one in (noisy, quiet):
        simulator = Simulator(one, engines=8)
        run(simulator, 3, steps=200)
        seconds.append(simulator.totals["seconds"].sum() / simulator.totals["steps"].sum())
    assert seconds[0] == pytest.approx(seconds[1], rel=0.02)
    assert seconds[0] != seconds[1]


@pytest.mark.parametrize("name", ["cpu", "gpu-7b"])
def test_a_step_takes_what_the_cost_model_says(name: str) -> None:
    settings = preset(name, interval=1)
    settings = replace(settings, cost_model=replace(settings.cost_model, noise=0.0))
    simulator = Simulator(settings, seed=1)
    for depth in [0, 0, 1, 1, 6, 6, 3, 3] * 20:
        row = simulator.step(np.array([depth])).outcomes[0]
        if row[COLUMN["steps"]]:
            names = ("request_steps", "context", "verified", "depth", "prefill")
            expected = settings.cost_model.seconds(*(row[COLUMN[n]] for n in names))
            assert row[COLUMN["seconds"]] == pytest.approx(float(expected), rel=1e-9)
            if depth == 0:
                assert simulator.off_seconds(row[None])[0] == pytest.approx(float(expected))


def test_the_speed_is_shown_as_set() -> None:
    simulator = Simulator(loop(2), engines=3)
    simulator.speed[:] = [0.0, 0.3, 1.0]
    step = simulator.step(np.array([1, 1, 1]))
    np.testing.assert_allclose(step.observations[:, -1], [0.0, 0.3, 1.0], atol=1e-7)


def test_draws_are_as_they_should_be() -> None:
    keys = [np.uint64(draw_key(np.uint64(1), 2, i)) for i in range(20_000)]
    uniforms = np.array([uniform(key, 5) for key in keys])
    normals = np.array([normal(key, 1) for key in keys])
    gammas = np.array([gamma(key, 0.25) for key in keys])
    assert np.histogram(uniforms, 10, (0, 1))[0].min() > 1800
    assert abs(np.corrcoef(uniforms[1:], uniforms[:-1])[0, 1]) < 0.03
    assert normals.mean() == pytest.approx(0, abs=0.03)
    assert normals.std() == pytest.approx(1, abs=0.03)
    assert gammas.mean() == pytest.approx(1, abs=0.07)
    assert gammas.std() == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize(
    ("depths", "reason"),
    [([1], "shape"), ([1.0, 2.0], "integers"), ([7, 0], r"\[0, 6\]"), ([-1, 0], r"\[0, 6\]")],
)
def test_depths_that_cannot_be_run_are_refused(depths: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Simulator(loop(1), engines=2).step(np.array(depths))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"k_max": 9}, "k_max"),
        ({"static_depth": 7}, "depth must be in"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"kv_blocks": 10}, "10 blocks of 16 tokens cannot hold"),
        ({"parameter_ratio": 0.0}, "parameter_ratio"),
        ({"horizon": 0.0}, "horizon"),
        ({"max_model_len": 1}, "max_model_len"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        preset("cpu", **changes)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Phase(rate=1.0, concurrency=1), "not both"),
        (lambda: Phase(rate=0.0), "rate must be above 0"),
        (lambda: Phase(concurrency=0), "concurrency must be at least 1"),
        (lambda: Phase(seconds=0.0), "must last"),
        (lambda: Phase(rate=1.0, cv=-1.0), "cv must be"),
        (lambda: Workload(phases=(Phase(),)), "needs a rate or a concurrency"),
        (lambda: Workload(phases=()), "at least one phase"),
        (lambda: Workload(phases=(Phase(rate=1.0),), trace=tiny_trace()), "from the trace"),
        (lambda: Workload(phases=(Phase(rate=1.0, mix={"poem": 1}),)), "no class 'poem' to mix"),
        (lambda: Workload(phases=(Phase(rate=1.0, mix={"code": 0}),)), "weights of a mix"),
        (lambda: Workload(classes=()), "1 to 8 classes"),
        (lambda: RequestClass("x", ()), "acceptance for 1 to 8"),
        (lambda: RequestClass("x", (1.2,)), r"acceptance must be in \[0, 1\]"),
        (lambda: Length(0.5), "mean of at least 1"),
        (lambda: Drift(every=0.0), "every > 0"),
        (lambda: Simulator(loop(1), engines=0), "engines must be at least 1"),
    ],
)
def test_traffic_that_makes_no_sense_is_refused(make, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


def test_importing_flyball_and_its_settings_leaves_numba_out() -> None:
    code = (
        "import sys, flyball, flyball.inference.simulator.presets, flyball.envs;"
        "import flyball.inference.simulator.engine, flyball.inference.simulator.traces;"
        "print('numba' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
