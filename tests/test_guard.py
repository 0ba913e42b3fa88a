"""The guard: it stands when arms are equal, and falls back, with numbers, when they are not."""

from __future__ import annotations

import logging
from random import Random

import numpy as np
import pytest
from flyball.inference.guard import Guard
from flyball.inference.guard_state import GuardSettings
from flyball.inference.losses import OffTimes, bucket, yardstick
from flyball.inference.sequential import CLIP, RatioSums, SequentialTest, compare
from flyball.policies.prices import Prices, compute_prices, engine_time_prices
from flyball.policies.transition import Reason
from guarding import Stream
from hypothesis import given, settings
from hypothesis import strategies as st


class TestEvidence:
    def test_false_alarms_are_rarer_than_the_level_however_often_one_looks(self) -> None:
        level, alarms = 0.1, 0
        for seed in range(300):
            rng, test = np.random.default_rng(seed), SequentialTest(level)
            gains = rng.uniform(-CLIP, CLIP, 1500)  # a mean of nought is the hardest that is true
            for gain in gains.tolist():
                test.add(gain)
                if test.alarm:
                    alarms += 1
                    break
        assert alarms <= 0.1 * 300

    def test_the_wealth_is_a_fair_games(self) -> None:
        wealths = []
        for seed in range(4000):
            rng, test = np.random.default_rng(seed), SequentialTest(0.01)
            for gain in (0.3 * rng.choice([-1.0, 1.0], 40)).tolist():
                test.add(gain)
            wealths.append(test.wealth)
        mean, error = np.mean(wealths), np.std(wealths) / np.sqrt(len(wealths))
        assert abs(mean - 0.5) < 4 * error  # the half of the capital that is in play by then

    def test_a_late_change_is_found_after_a_long_good_time(self) -> None:
        rng, test = np.random.default_rng(0), SequentialTest(0.01)
        for _ in range(20000):
            test.add(float(np.clip(rng.normal(-0.1, 0.2), -CLIP, CLIP)))
        assert not test.alarm
        for _count in range(400):
            test.add(float(np.clip(rng.normal(0.15, 0.2), -CLIP, CLIP)))
            if test.alarm:
                break
        assert test.alarm

    @given(gains=st.lists(st.floats(-CLIP, CLIP), max_size=300))
    def test_no_sequence_ruins_it(self, gains: list[float]) -> None:
        test = SequentialTest(0.01)
        for gain in gains:
            test.add(gain)
        assert test.wealth > 0.0
        assert np.isfinite(test.wealth)


class TestRatioSums:
    def test_is_the_ratio_of_sums_and_its_interval_covers(self) -> None:
        covered = 0
        for seed in range(400):
            rng, a, b = np.random.default_rng(seed), RatioSums(1.0), RatioSums(1.0)
            for sums, factor in ((a, 1.3), (b, 1.0)):
                for y in rng.integers(5, 40, 100).tolist():
                    sums.add(factor * y * float(rng.normal(1.0, 0.3)), y)
            found = compare(a, b)
            assert found is not None
            covered += found[1] <= 1.3 <= found[2]
        assert 0.91 <= covered / 400 <= 0.98

    def test_says_nothing_before_it_knows(self) -> None:
        assert compare(RatioSums(0.9), RatioSums(0.9)) is None


class TestYardstick:
    def test_off_is_one_at_every_speed_and_under_every_price_list(self) -> None:
        outcome = Stream()._outcome(0)  # eight steps without speculation
        for prices in (compute_prices(0.05), engine_time_prices(), Prices(2e-7, 1e-8, 0, 1e-5)):
            for speed in (0.0, 0.4, 1.0):
                measure = yardstick(outcome.seconds / outcome.steps, 4, speed, prices)
                x, y = measure.measure(outcome)
                assert x / y == pytest.approx(1.0)

    @given(
        batch=st.integers(1, 300),
        slope=st.floats(0.0, 0.2),
        depths=st.lists(st.integers(0, 8), min_size=60, max_size=60),
    )
    @settings(max_examples=50)
    def test_off_is_read_off_the_depths_that_were_run(
        self, batch: int, slope: float, depths: list[int]
    ) -> None:
        times = OffTimes()
        assert times.seconds(batch) is None
        for depth in [0, 8, *depths]:
            times.add(batch, depth, 0.02 * (1.0 + slope * depth))
        off = times.seconds(batch)
        assert off is not None
        assert 0.02 * 0.6 <= off <= 0.02 * 1.25

    def test_a_stall_does_not_move_it_far(self) -> None:
        times = OffTimes()
        for _ in range(50):
            times.add(4, 2, 0.02)
        before = times.seconds(4)
        times.add(4, 2, 30.0)
        assert times.seconds(4) == pytest.approx(before, rel=0.08)

    def test_buckets(self) -> None:
        assert [bucket(b) for b in (0, 1, 2, 3, 4, 7, 8, 256, 10**6)] == [0, 0, 1, 1, 2, 2, 3, 8, 9]


class TestWatching:
    @pytest.mark.parametrize("depth", [1, 4])
    def test_equal_arms_are_let_be(self, depth: int) -> None:
        settings = GuardSettings(level=0.05)
        runs = [Stream(depth, 1.0, 0.1, seed, settings).run(1500) for seed in range(40)]
        assert sum(run is not None for run in runs) <= 0.05 * 40

    def test_a_better_policy_is_let_be(self) -> None:
        assert all(Stream(4, 0.8, seed=seed).run(1500) is None for seed in range(10))

    @pytest.mark.parametrize(("depth", "epsilon"), [(4, 0.0), (1, 0.0), (4, 0.1)])
    def test_a_policy_a_fifth_worse_is_caught_within_a_thousand_intervals(
        self, depth: int, epsilon: float
    ) -> None:
        runs = [Stream(depth, 1.2, epsilon, seed).run(1000) for seed in range(20)]
        assert all(run is not None for run in runs), runs
        assert np.median([run for run in runs if run]) < 500

    def test_waste_is_caught_at_speed_nought_where_time_is_not_counted(self) -> None:
        # As fast per token as the static depth, but every third draft's price is lost.
        assert Stream(6, 1.0, seed=1).run(1500, speed=0.0) is not None
        assert Stream(0, 1.5, seed=1).run(1500, speed=0.0) is None

    def test_a_policy_that_turns_bad_after_a_long_good_time_is_caught(self) -> None:
        stream = Stream(4, 0.9, seed=2)
        assert stream.run(3000) is None
        stream.factor = 1.3
        assert stream.run(1500) is not None

    def test_propensities_are_the_frequencies_of_what_was_applied(self) -> None:
        settings = GuardSettings(share=0.2)
        guard, rng = Guard(2, 6, settings), Random(0)
        epsilon, counts, said = 0.3, np.zeros(7), {}
        chances = [epsilon / 7 + (1 - epsilon) * (k == 4) for k in range(7)]
        policy = np.random.default_rng(0)
        for _ in range(20000):
            explores = policy.random() < epsilon
            action = int(policy.integers(7)) if explores else 4
            reason = Reason.EXPLORE if explores else Reason.POLICY
            applied, propensity, reason = guard.mix(
                (action, chances[action], reason), epsilon, chances[2], rng
            )
            counts[applied] += 1
            said[applied] = propensity
            assert (reason is Reason.REFERENCE) <= (applied == 2)
        frequencies = counts / counts.sum()
        assert np.allclose(frequencies, [said[k] for k in range(7)], atol=0.012)
        assert sum(said.values()) == pytest.approx(1.0)


class TestFallingBack:
    def test_it_says_why_in_numbers_and_how_long(self, caplog: pytest.LogCaptureFixture) -> None:
        stream = Stream(4, 1.3, seed=3)
        with caplog.at_level(logging.WARNING, "flyball"):
            stream.run(2000)
        state = stream.guard.state(True, stream.now)
        assert state.state == "fallen back"
        assert 29.0 < state.seconds_left <= 30.0
        assert state.falls == 1
        assert state.ratio is not None
        assert state.low is not None
        assert state.high is not None
        assert 1.1 < state.ratio < 1.6
        assert state.low < state.ratio < state.high
        assert f"{state.ratio:.3f}" in state.reason
        assert "times that of depth 2" in state.reason
        assert f"fallen back to depth 2 for 30 s: {state.reason}" in caplog.text
        decision = stream.step()
        assert (decision.applied, decision.reason, decision.propensity) == (2, Reason.GUARD, 1.0)

    def test_tries_again_after_the_dwell_and_stays_if_the_policy_is_good_now(self) -> None:
        stream = Stream(4, 1.3, seed=4)
        stream.run(2000)
        stream.factor = 0.9
        while stream.guard.held(stream.now) is not None:
            stream.step()
        again = len(stream.decisions)
        assert stream.now >= 30.0
        assert stream.run(1500) is None
        early = stream.decisions[again : again + 40]
        late = stream.decisions[-1000:]
        referred = [sum(d.reason is Reason.REFERENCE for d in part) for part in (early, late)]
        assert referred[0] / 40 > 0.25  # the governed arm begins at a half
        assert referred[1] / 1000 < 0.1
        assert stream.guard.state(True, stream.now).state == "watching"

    def test_dwells_double_with_relapses_to_a_limit_and_start_anew_after_a_good_time(self) -> None:
        settings = GuardSettings(dwell=10.0, longest=35.0)
        stream, dwells = Stream(4, 1.5, seed=5, settings=settings), []
        for _ in range(4):
            assert stream.run(4000) is not None
            left = stream.guard.state(True, stream.now).seconds_left
            dwells.append(left)
            stream.now += left
        assert dwells == pytest.approx([10.0, 20.0, 35.0, 35.0])
        stream.factor = 0.8
        while stream.guard.held(stream.now) is not None:
            stream.step()
        resumed = stream.now
        while stream.now < resumed + 40.0:
            stream.step()
        stream.factor = 1.5
        assert stream.run(4000) is not None
        assert stream.guard.state(True, stream.now).seconds_left == pytest.approx(10.0)

    def test_falls_back_to_another_depth_only_if_that_was_surely_better(self) -> None:
        # At speed nought a token of depth 1 is cheaper than one of depth 2, and depth 1 was run.
        stream = Stream(1, 1.0, seed=6)
        assert stream.run(600, speed=0.0) is None
        stream.depth = 6
        assert stream.run(3000, speed=0.0) is not None
        assert stream.guard.depth == 1
        assert "that of depth 2" in stream.guard.reason

    def test_is_off_where_no_policy_decides(self) -> None:
        assert Stream().guard.state(False, 0.0).state == "off"


class TestExploring:
    def test_a_budget_holds_however_much_the_policy_wants(self) -> None:
        stream = Stream(2, epsilon=0.9, seed=7)
        stream.run(1200)
        explored = [d.reason is Reason.EXPLORE for d in stream.decisions]
        assert 0.3 < np.mean(explored[:200]) <= 0.52
        assert 0.08 < np.mean(explored[400:]) <= 0.16

    def test_a_policy_that_explores_little_is_not_touched(self) -> None:
        guard, rng = Guard(2, 6), Random(0)
        for i in range(2000):
            assert guard.may_explore() or i == 0
            reason = Reason.EXPLORE if i % 20 == 10 else Reason.POLICY
            guard.mix((4, 0.5, reason), 0.05, 0.01, rng)


@pytest.mark.parametrize(
    "options",
    [{"share": 0.0}, {"share": 0.6}, {"explore": 1.5}, {"level": 0.0}, {"dwell": 1000.0}],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        GuardSettings(**options)
