"""Off-policy estimates against what snapshots are truly worth in the simulator."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from flyball.controller.evaluate import Logged, compare, evaluate
from flyball.controller.gate import FEWEST, no_worse
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.workload import CODE, PROSE, TOOL_CALLS, Length, Phase, Workload
from flyball.policies.off_policy import BLOCKS, half_width, student
from flyball.policies.snapshot import Snapshot
from simulated_logs import Bench

RUNS, DECISIONS = 16, 1000
NOTHING = np.zeros((0, 0), np.float32)
LOGGING = (0.0, 0.0, 0.0, 0.15)
"""Depth 3 seems worse than it is: the policy that logs is not the best."""

_LONG = tuple(replace(kind, output=Length(512, 0.5)) for kind in (TOOL_CALLS, CODE, PROSE))
STEADY = Bench(preset("gpu-7b", workload=Workload((_LONG[1],), (Phase(concurrency=8),))))
"""As many requests at any time, long and of one kind: hardly anything follows from a depth."""

QUEUEING = Bench(preset("gpu-7b", max_num_seqs=32, workload=Workload(phases=(Phase(rate=12.0),))))
"""Requests of three kinds come whatever the engine does, about as fast as it can take them."""


@cache
def logs(bench: Bench, guarded: bool = False) -> list[Logged]:
    policy = bench.snapshot(LOGGING, epsilon=0.1, budget=0.02)
    return bench.logs(policy, RUNS, DECISIONS, guarded)


@cache
def targets(bench: Bench) -> dict[str, tuple[Snapshot, float]]:
    """Snapshots and what each is worth."""
    found = {
        "same": bench.snapshot(LOGGING, epsilon=0.1, budget=0.02),
        "better": bench.snapshot(),
        "worse": bench.snapshot((0.0,) * 5 + (-0.3, -0.4), epsilon=0.05),
        "depth 2": bench.fixed(2),
        "depth 6": bench.fixed(6),
    }
    return {name: (policy, bench.worth(policy)) for name, policy in found.items()}


@pytest.mark.parametrize("guarded", [False, True])
def test_intervals_cover_the_value_where_the_loop_is_hardly_closed(guarded: bool) -> None:
    covered = {"ips": [], "snips": [], "dr": []}
    for policy, true in targets(STEADY).values():
        for data in logs(STEADY, guarded):
            for name, found in evaluate(policy, data).items():
                covered[name].append(found.low <= true <= found.high)
    # Where a guard leaves no choice, snips takes what was never tried for as good as the rest.
    least = {"snips": 0.7 if guarded else 0.85}
    for name, hits in covered.items():
        assert np.mean(hits) >= least.get(name, 0.85), name


@pytest.mark.parametrize("guarded", [False, True])
def test_doubly_robust_is_narrower_than_inverse_propensities(guarded: bool) -> None:
    for name, (policy, _) in targets(STEADY).items():
        found = [evaluate(policy, data) for data in logs(STEADY, guarded)]
        dr, ips = (np.mean([f[kind].high - f[kind].low for f in found]) for kind in ("dr", "ips"))
        assert dr < 0.6 * ips, name


@pytest.mark.parametrize("bench", [STEADY, QUEUEING], ids=["steady", "queueing"])
@pytest.mark.parametrize("guarded", [False, True])
def test_the_gate_lets_the_better_pass_and_never_what_is_clearly_worse(
    bench: Bench, guarded: bool
) -> None:
    (current, before), (better, gain) = targets(bench)["same"], targets(bench)["better"]
    assert gain > before
    for data in logs(bench, guarded):
        compared = compare(better, current, data)
        assert compared.difference.ess > FEWEST
        assert compared.difference.low > 0.0
        assert no_worse(compared)(better, NOTHING) is None
        for name in ("worse", "depth 6"):
            policy, true = targets(bench)[name]
            assert true < before - 0.15
            assert no_worse(compare(policy, current, data))(policy, NOTHING) is not None, name


def test_what_was_never_tried_is_not_let_pass_on_the_word_of_a_candidate() -> None:
    """A policy that hardly explores, as in the long run, and one that goes where it never went."""
    current = STEADY.snapshot(budget=0.0015)
    deep = STEADY.fixed(6)
    for data in STEADY.logs(current, 8, 300):
        compared = compare(deep, current, data)
        assert compared.difference.ess < FEWEST
        assert no_worse(compared)(deep, NOTHING) is not None
        assert no_worse(compare(current, current, data))(current, NOTHING) is None


def test_what_follows_from_a_depth_is_what_the_estimates_miss() -> None:
    """The known limit: states are taken as they came, also for a policy that would change them."""
    missed = {}
    for bench in (STEADY, QUEUEING):
        (current, before), (deep, true) = targets(bench)["same"], targets(bench)["depth 6"]
        found = np.mean([compare(deep, current, data).difference.value for data in logs(bench)])
        missed[bench] = 1.0 - found / (true - before)
    assert abs(missed[STEADY]) < 0.1
    assert 0.2 < missed[QUEUEING] < 0.5


def test_neighbours_that_are_alike_widen_an_interval() -> None:
    rng, covered, naive = np.random.default_rng(0), 0, 0
    for _ in range(300):
        shocks, series = rng.normal(size=1000), np.zeros(1000)
        for i in range(1, 1000):
            series[i] = 0.9 * series[i - 1] + shocks[i]
        covered += abs(series.mean()) <= half_width(series)
        naive += abs(series.mean()) <= 1.96 * series.std(ddof=1) / np.sqrt(1000)
    assert covered >= 0.9 * 300
    assert naive < 0.5 * 300
    assert student(0.95, BLOCKS - 1) == pytest.approx(2.1314, rel=1e-3)
