"""When ours is as good as the best depth in hindsight, seen from a cold start."""

from __future__ import annotations

import live_runs
import numpy as np
import pytest
from flyball.benchmarks.depth.beginning import Round, best_j, course, seconds_to_regret, settled
from flyball.benchmarks.depth.record import Record

TURN = 10.0  # seconds, so that a cold round of two phases is 20


def run(bad: dict[int, float], cold: int = 8, warm: int = 3, sittings: int = 1) -> Record:
    """A run whose cold rounds are worse by a factor, where one is given."""
    rng = np.random.default_rng(0)
    record = live_runs.record(0)
    for sitting in range(sittings):
        served = 0.0
        for n in range(cold + warm):
            for phase in live_runs.PHASES:
                one = live_runs.visit(
                    n if n < cold else n - cold + warm * sitting,
                    phase,
                    rng,
                    cold=n < cold,
                    sitting=sitting,
                    served=served,
                    factor={"learned": bad.get(n, 1.0)},
                    seconds=TURN,
                )
                record.visits.append(one)
                served += TURN * (1 if n < cold else 2)
    return record


def test_ours_is_related_to_the_best_depth_on_a_machine_of_any_speed() -> None:
    record = run({0: 1.3})
    rounds = course(record, record.tally())
    assert best_j(record.tally()).tolist() == pytest.approx([0.5, 0.7])
    assert rounds[0].j == pytest.approx(0.6 * 1.3)
    assert [r.j for r in rounds[1:]] == pytest.approx([0.6] * 10)
    assert [r.end for r in rounds] == [20.0 * n for n in range(1, 9)] + [200.0, 240.0, 280.0]


@pytest.mark.parametrize(
    ("bad", "seconds"),
    [
        ({}, 0.0),
        (dict.fromkeys(range(4), 1.3), 80.0),
        (dict.fromkeys(range(11), 1.04), 0.0),
        (dict.fromkeys(range(11), 1.3), 280.0),
        ({3: 1.2}, 80.0),
    ],
)
def test_seconds_end_with_the_last_bad_minute(bad: dict[int, float], seconds: float) -> None:
    assert seconds_to_regret(run(bad), 0.05) == pytest.approx(seconds)


def test_sittings_are_averaged_and_begin_at_nothing_each() -> None:
    record = run({0: 1.5}, sittings=2)
    rounds = course(record, record.tally())
    assert len(rounds) == 11
    assert rounds[0] == Round(20.0, pytest.approx(0.9))


def test_a_round_that_was_broken_off_is_left_out() -> None:
    record = run({})
    record.visits.pop()
    assert len(course(record, record.tally())) == 10


def test_nothing_is_said_without_a_cold_start_or_without_all_phases() -> None:
    assert seconds_to_regret(live_runs.record(2), 0.05) is None
    record = run({})
    record.visits = [v for v in record.visits if v.cold or v.phase == live_runs.PHASES[0]]
    assert seconds_to_regret(record, 0.05) is None
    record.visits = [v for v in record.visits if v.cold]
    assert seconds_to_regret(record, 0.05) is None


def test_less_than_a_minute_is_judged_as_a_whole() -> None:
    rounds = [Round(20.0, 0.7), Round(40.0, 0.6)]
    assert settled(rounds, 0.6, 0.05) == 40.0
    assert settled(rounds, 0.6, 0.10) == 0.0
