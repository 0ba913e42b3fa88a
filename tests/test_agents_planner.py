"""The planner: whatever agents and policies do, what T alone would do is done, and nothing else."""

import asyncio
import math
from itertools import pairwise

import pytest
from flyball.inference.agents.budget import Budget, Ticket
from flyball.inference.agents.costs import Fate
from flyball.inference.agents.planner import Planner
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.agents.terms import Limits
from flyball.inference.agents.trajectory import EventKind, PlanError
from flyball.policies.plan.fixed import Fixed
from flyball.policies.plan.rule import Survival
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_agents import (
    FAULTS,
    PRICES,
    Approximation,
    Choosing,
    Records,
    Script,
    Target,
    alone,
    done,
)

LIMITS = Limits(approximation_seconds=50.0, retries=2, backoff=1.0)

SECONDS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=7).map(tuple)
SCRIPTS = st.builds(
    Script,
    seed=st.integers(0, 5),
    length=st.integers(1, 7),
    effects=st.frozensets(st.integers(0, 6), max_size=3),
    right=st.lists(
        st.one_of(st.just(True), st.just(True), st.just(False), st.sampled_from(FAULTS)),
        min_size=1,
        max_size=7,
    ).map(tuple),
    a_seconds=SECONDS,
    t_seconds=SECONDS,
    faults=st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=7).map(tuple),
    tool_seconds=st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=1, max_size=7).map(tuple),
)
POLICIES = st.builds(
    Choosing,
    st.lists(st.integers(0, 8), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([None, None, 0.0, 1.0, 5.0]),
)


class Stage:
    """Everything of one run, to be looked at afterwards."""

    def __init__(self, script, policy, limit=math.inf, **options):
        self.script = script
        self.policy = policy
        self.records = Records(script)
        self.a, self.t = Approximation(), Target()
        self.budget = Budget(limit)
        self.planner = Planner(
            self.a,
            self.t,
            self.records,
            policy,
            PRICES,
            budget=self.budget,
            limits=LIMITS,
            **options,
        )

    async def run(self):
        trajectory = await self.planner.run(self.script)
        self.check_end()
        return trajectory

    def check_end(self):
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert self.a.running == self.t.running == 0
        assert self.budget.in_flight == 0
        assert self.budget.free == self.budget.limit
        assert self.budget.runs == 0
        assert len(self.policy.runs) == 1

    def check_ledger(self, trajectory):
        ledger = trajectory.ledger
        for kind, agent in (("A", self.a), ("T", self.t)):
            total = ledger.total(kind)
            assert total.calls == agent.calls
            assert total.usage.prompt == agent.tokens["prompt"]
            assert total.usage.cached == agent.tokens["cached"]
            assert total.usage.completion == agent.tokens["completion"]
            assert total.dollars == pytest.approx(agent.dollars)
            assert agent.calls == sum(call.kind == kind for call in self.policy.calls)
        assert ledger.dollars == pytest.approx(self.a.dollars + self.t.dollars)
        committed, wasted = ledger.committed, ledger.wasted
        assert committed.dollars == pytest.approx(sum(s.dollars for s in trajectory.steps))
        assert committed.dollars + wasted.dollars == pytest.approx(ledger.dollars)
        assert ledger.total("T", Fate.USED).calls == len(trajectory.steps)
        assert ledger.total("A", Fate.USED).calls == sum(bool(s.matched) for s in trajectory.steps)
        assert self.policy.runs[0].dollars == pytest.approx(committed.dollars)
        assert self.policy.runs[0].wasted == pytest.approx(wasted.dollars)


def effects(steps):
    return [action for action, _ in steps if action.tool == "write"]


@settings(max_examples=100)
@given(SCRIPTS, POLICIES, st.sampled_from([1, 2, 3, math.inf]))
def test_whatever_happens_t_alone_would_have_done_the_same(script, policy, limit):
    stage = Stage(script, policy, limit)
    trajectory = run_virtual(stage.run())
    expected = alone(script)
    assert done(trajectory) == expected
    assert trajectory.complete
    assert stage.records.effects == effects(expected)
    assert policy.matched == [step.matched for step in trajectory.steps]
    stage.check_ledger(trajectory)
    assert trajectory.greatest_concurrency <= limit
    times = [event.seconds for event in trajectory.events]
    assert times == sorted(times)
    assert trajectory.seconds == trajectory.steps[-1].committed
    started = [event for event in trajectory.events if event.kind is EventKind.STARTED]
    assert len(started) == stage.a.calls + stage.t.calls


@settings(max_examples=60)
@given(SCRIPTS, POLICIES, st.sampled_from([1, 3, math.inf]), st.floats(0.0, 40.0))
def test_cancelled_at_any_time_nothing_is_left(script, policy, limit, seconds):
    stage = Stage(script, policy, limit)

    async def cancelled():
        running = asyncio.create_task(stage.planner.run(script))
        await asyncio.wait([running], timeout=seconds)
        running.cancel()
        try:
            return await running
        except asyncio.CancelledError:
            return None
        finally:
            if policy.runs:  # none where it was cancelled before it began
                stage.check_end()

    trajectory = run_virtual(cancelled())
    expected = effects(alone(script))
    assert stage.records.effects == expected[: len(stage.records.effects)]
    assert stage.a.calls + stage.t.calls == len(policy.calls)
    if policy.runs:
        assert policy.runs[0].complete == (trajectory is not None)
        charged = policy.runs[0].dollars + policy.runs[0].wasted
        assert charged == pytest.approx(stage.a.dollars + stage.t.dollars)


@settings(max_examples=50)
@given(SCRIPTS, POLICIES, st.integers(0, 6))
def test_a_target_that_fails_too_often_ends_the_run_with_what_was_committed(script, policy, bad):
    faults = tuple(99 if index == bad else 0 for index in range(7))
    script = Script(**{**vars(script), "faults": faults})
    stage = Stage(script, policy)
    expected = alone(script)
    if bad >= len(expected):
        assert done(run_virtual(stage.run())) == expected
        return
    with pytest.raises(PlanError, match=f"step {bad + 1}: .*overloaded") as failed:
        run_virtual(stage.run())
    assert done(failed.value.trajectory) == expected[:bad]
    assert not failed.value.trajectory.complete
    stage.check_ledger(failed.value.trajectory)
    assert failed.value.trajectory.ledger.total("T", Fate.FAILED).calls >= 1
    assert failed.value.trajectory.ledger.total("T", Fate.RETRIED).calls >= LIMITS.retries


@settings(max_examples=40)
@given(
    st.lists(SCRIPTS, min_size=2, max_size=5),
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_many_runs_share_a_budget_and_none_starves(scripts, choices, limit):
    async def together():
        budget = Budget(limit)
        stages = [Stage(script, Choosing(choices), limit) for script in scripts]
        a, t = Approximation(), Target()
        planners = [
            Planner(a, t, stage.records, stage.policy, PRICES, budget=budget, limits=LIMITS)
            for stage in stages
        ]
        trajectories = await asyncio.gather(
            *(planner.run(script) for planner, script in zip(planners, scripts, strict=True))
        )
        assert a.greatest <= limit
        assert t.greatest <= limit
        assert budget.in_flight == budget.runs == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return trajectories

    for script, trajectory in zip(scripts, run_virtual(together()), strict=True):
        assert done(trajectory) == alone(script)


def timed(policy, **script):
    stage = Stage(Script(**script), policy)
    return run_virtual(stage.run()), stage


def test_alone_the_target_takes_its_time_and_a_is_never_called():
    trajectory, stage = timed(Choosing([0]), length=5)
    assert trajectory.seconds == pytest.approx(50.0)
    assert stage.a.calls == 0
    assert trajectory.ledger.wasted.dollars == 0
    assert trajectory.mean_concurrency == pytest.approx(1.0)


def test_a_rolling_window_that_always_matches_takes_one_verdict_and_a_proposal_per_step():
    trajectory, _ = timed(Choosing([8]), length=5)
    assert trajectory.seconds == pytest.approx(4 * 1.0 + 10.0)
    assert trajectory.greatest_concurrency == 5 + 1  # T of all steps, A of the last
    assert trajectory.ledger.wasted.calls == 0


def test_a_window_of_one_has_two_verdicts_running():
    trajectory, _ = timed(Choosing([1]), length=6, a_seconds=(1.0,))
    # T1 runs to 10, T2 from 1 to 11. A2 may start when the first step is settled, at 10, and ends
    # as T2 does, before it: T3 and T4 run from 11 and from 12, T5 and T6 likewise.
    assert [step.committed for step in trajectory.steps] == [10, 11, 21, 22, 32, 33]
    assert trajectory.ledger.total("T").calls == 6


def test_rounds_wait_for_all_their_verdicts():
    trajectory, _ = timed(Choosing([2], barrier=True), length=5)
    # Two rounds of T at 0 and at 1 seconds, each to the end of its second one; then one step.
    assert trajectory.seconds == pytest.approx(11.0 + 11.0 + 10.0)


def test_a_slow_decision_holds_up_no_first_call():
    trajectory, _ = timed(Choosing([2], barrier=True, slow=4.0), length=4)
    # The second proposal waits for the decision; T is at 0 and at 1, since A's first is there.
    started = [(e.agent, e.index, e.seconds) for e in trajectory.events if e.kind == "started"]
    assert started[:4] == [("T", 0, 0.0), ("A", 0, 0.0), ("T", 1, 4.0), ("A", 1, 4.0)]
    assert trajectory.steps[1].committed == pytest.approx(14.0)


def test_a_mismatch_cancels_at_once_and_starts_anew_from_what_t_said():
    trajectory, stage = timed(Choosing([3]), length=4, right=(False, True, True, True))
    # T1 contradicts at 10; from there A and T go on as from a beginning.
    assert [step.matched for step in trajectory.steps] == [False, True, True, True]
    assert trajectory.steps[0].committed == pytest.approx(10.0)
    assert trajectory.seconds == pytest.approx(10.0 + 2 * 1.0 + 10.0)
    cancelled = [event for event in trajectory.events if event.kind is EventKind.CANCELLED]
    assert {event.seconds for event in cancelled} == {10.0}
    assert trajectory.ledger.total("T", Fate.CANCELLED).calls == len(cancelled)
    assert trajectory.ledger.total("A", Fate.MISMATCH).calls == 1
    stage.check_ledger(trajectory)


def test_a_contradiction_ahead_of_its_turn_cancels_at_once_and_is_built_upon():
    trajectory, _ = timed(
        Choosing([4]), length=4, right=(True, False, True, True), t_seconds=(20.0, 4.0, 9.0, 4.0)
    )
    # T2 contradicts at 5 while T1 runs till 20: T3 starts then, on T's own action, and T4 at 6.
    starts = {
        e.index: e.seconds for e in trajectory.events if e.kind == "started" and e.agent == "T"
    }
    assert starts == {0: 0.0, 1: 1.0, 2: 5.0, 3: 6.0}
    assert trajectory.seconds == pytest.approx(20.0)
    decided = [d for d in trajectory.decisions if d.seconds == 5.0]
    assert [p.judged for p in decided[-1].state.proposed] == [False, True]


def test_what_has_side_effects_waits_and_holds_up_what_follows():
    trajectory, stage = timed(Choosing([8]), length=4, effects=frozenset({1}))
    assert stage.records.effects == [trajectory.steps[1].action]
    starts = {
        e.index: e.seconds for e in trajectory.events if e.kind == "started" and e.agent == "T"
    }
    # T2 starts at 1 and ends at 11; only then is its action executed, and the third step begun.
    assert starts == {0: 0.0, 1: 1.0, 2: 11.0, 3: 12.0}


def test_a_pure_tool_runs_once_per_step_when_all_match():
    _, stage = timed(Choosing([8]), length=6, tool_seconds=(0.5, 0.0))
    assert len(stage.records.executed) == 6


def test_an_answer_is_that_of_t_s_own_action_however_a_wrote_it():
    trajectory, stage = timed(Choosing([8]), length=3, right=("alike", True), t_seconds=(9.0,))
    # The tool says 0.0 where T's own 0 gives 0: what was built on that goes, and begins anew.
    assert done(trajectory) == alone(stage.script)
    assert [step.matched for step in trajectory.steps] == [True, True, True]
    assert trajectory.seconds == pytest.approx(9.0 + 1.0 + 9.0)


def test_the_user_s_own_matching_commits_t_s_action_all_the_same():
    script = Script(length=4, right=(False,))
    stage = Stage(script, Choosing([8]), matching=lambda a, t: a.tool == t.tool)
    trajectory = run_virtual(stage.run())
    assert done(trajectory) == alone(script)
    assert [step.matched for step in trajectory.steps] == [True, True, True, False]
    assert stage.policy.matched == [True, True, True, False]


def test_an_a_that_never_answers_costs_nothing_but_itself():
    trajectory, _ = timed(Choosing([8]), length=3, right=("hangs",))
    assert [step.matched for step in trajectory.steps] == [None, None, None]
    assert trajectory.seconds == pytest.approx(30.0)


@pytest.mark.parametrize(("fault", "in_vain"), [("unknown tool", 3), ("raises", 3), (False, 0)])
def test_an_answer_of_no_use_is_told_as_a_mismatch_and_is_none_in_the_trajectory(fault, in_vain):
    trajectory, stage = timed(Choosing([8]), length=3, right=(fault,))
    assert stage.policy.in_vain == in_vain
    assert {step.matched for step in trajectory.steps} == {None if in_vain else False}


def test_an_a_that_proposes_what_no_tool_does_is_called_ever_less():
    policy = Survival()

    def calls(seed):
        script = Script(seed=seed, length=6, right=("unknown tool",))
        a, t = Approximation(), Target()
        planner = Planner(a, t, Records(script), policy, PRICES, speed=0.8)
        assert done(run_virtual(planner.run(script))) == alone(script)
        return a.calls

    per_task = [calls(seed) for seed in range(12)]
    assert per_task[0] >= 2
    assert sum(per_task[6:]) <= 0.25 * 6 * per_task[0], per_task


def test_faults_of_t_are_retried_after_longer_and_longer():
    trajectory, _ = timed(Choosing([0]), length=1, faults=(2,))
    assert trajectory.seconds == pytest.approx(10 + 1 + 10 + 2 + 10)
    assert trajectory.ledger.total("T", Fate.RETRIED).calls == 2


def test_the_knob_turns_while_a_run_goes_on():
    stage = Stage(Script(length=3), Choosing([0]), speed=0.25)

    async def turned():
        running = asyncio.create_task(stage.planner.run(stage.script))
        await asyncio.sleep(5.0)
        stage.planner.speed = 0.75
        return await running

    trajectory = run_virtual(turned())
    assert [decision.state.speed for decision in trajectory.decisions] == [0.25, 0.75, 0.75]
    with pytest.raises(ValueError, match="speed"):
        stage.planner.speed = 2.0


def test_every_decision_belongs_to_one_step():
    trajectory, _ = timed(Choosing([2, 5, 1]), length=6, right=(True, True, False))
    ranges = [step.decisions for step in trajectory.steps]
    assert ranges[0].start == 0
    assert ranges[-1].stop == len(trajectory.decisions)
    assert all(one.stop == other.start for one, other in pairwise(ranges))


def test_a_run_with_too_many_steps_is_returned_as_not_complete():
    stage = Stage(Script(length=7), Choosing([4]))
    stage.planner = Planner(
        stage.a, stage.t, stage.records, stage.policy, PRICES, limits=Limits(steps=3)
    )
    trajectory = run_virtual(stage.planner.run(stage.script))
    assert done(trajectory) == alone(stage.script)[:3]
    assert not trajectory.complete
    assert stage.t.calls == 3


def test_a_policy_that_raises_leaves_nothing_running():
    class Broken(Choosing):
        def settled(self, state, index, matched):
            raise ZeroDivisionError

    stage = Stage(Script(), Broken([4]))

    async def broken():
        with pytest.raises(ZeroDivisionError):
            await stage.planner.run(stage.script)
        stage.check_end()

    run_virtual(broken())


@pytest.mark.parametrize("steps", [-1, 9])
def test_a_policy_that_goes_too_far_is_refused(steps):
    stage = Stage(Script(), Choosing([steps]))
    with pytest.raises(ValueError, match="0 to 8"):
        run_virtual(stage.run())
    with pytest.raises(ValueError, match="0 to 8"):
        Fixed(steps)


def test_a_tool_that_raises_ends_the_run_with_what_was_committed():
    class Breaking(Records):
        def observe(self, action):
            if action.arguments.get("index") == 2:
                raise OSError("disk full")
            return super().observe(action)

    for seconds in (0.0, 1.0):
        stage = Stage(Script(length=5, tool_seconds=(seconds,)), Choosing([8]))
        stage.planner = Planner(
            stage.a, stage.t, Breaking(stage.script), stage.policy, PRICES, budget=stage.budget
        )
        with pytest.raises(PlanError, match="step 3: look failed: disk full") as failed:
            run_virtual(stage.run())
        assert len(failed.value.trajectory.steps) == 2


@pytest.mark.parametrize("answer", [None, 7, b"bytes", ["a", "list"]])
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_tool_that_gives_no_text_ends_the_run_with_what_was_committed(answer, seconds):
    class Odd(Records):
        def observe(self, action):
            text = super().observe(action)
            return answer if action.arguments.get("index") == 2 else text

    stage = Stage(Script(length=5, tool_seconds=(seconds,)), Choosing([8]))
    stage.planner = Planner(
        stage.a, stage.t, Odd(stage.script), stage.policy, PRICES, budget=stage.budget
    )
    reason = f"step 3: look failed: a tool must give text, got {type(answer).__name__}$"
    with pytest.raises(PlanError, match=reason) as failed:
        run_virtual(stage.run())
    assert isinstance(failed.value.__cause__, TypeError)
    assert len(failed.value.trajectory.steps) == 2


def test_everything_is_watched_as_it_happens():
    seen = []
    stage = Stage(Script(), Choosing([3]), watch=lambda run, event: seen.append((run, event)))
    trajectory = run_virtual(stage.run())
    assert [event for _, event in seen] == list(trajectory.events)
    assert {run for run, _ in seen} == {trajectory.run}


def test_a_watch_that_raises_is_told_no_more_and_the_run_goes_on(caplog):
    seen = []

    def watch(run, event):
        seen.append(event.kind)
        if seen.count(EventKind.PROPOSED) == 3:
            raise ZeroDivisionError

    stage = Stage(Script(length=6), Fixed(4), watch=watch)
    trajectory = run_virtual(stage.planner.run(stage.script))
    assert done(trajectory) == alone(stage.script)
    assert seen == [event.kind for event in trajectory.events][: len(seen)]
    assert seen.count(EventKind.PROPOSED) == 3
    assert len([record for record in caplog.records if record.exc_info]) == 1


class Stop(BaseException):
    """Nothing guards against it."""


@pytest.mark.parametrize(
    ("raised", "reaches"), [(ZeroDivisionError, asyncio.CancelledError), (Stop, Stop)]
)
def test_a_plan_cancelled_under_a_watch_that_raises_leaves_nothing_running(raised, reaches):
    def watch(run, event):
        if event.kind is EventKind.CANCELLED:
            raise raised

    stage = Stage(Script(), Choosing([4]), watch=watch)

    async def cancelled():
        running = asyncio.create_task(stage.planner.run(stage.script))
        await asyncio.sleep(3.5)
        assert stage.budget.in_flight > 1
        running.cancel()
        with pytest.raises(reaches):
            await running
        stage.check_end()

    run_virtual(cancelled())


@pytest.mark.parametrize("right", [(True,), (False,), (True, False)])
@pytest.mark.parametrize("limit", [1, 2])
def test_a_freed_slot_goes_to_no_call_that_is_not_wanted_any_more(limit, right):
    stage = Stage(Script(length=6, right=right), Choosing([1]), limit)
    trajectory = run_virtual(stage.run())
    assert done(trajectory) == alone(stage.script)
    assert all(call.seconds > 0 for call in stage.policy.calls)
    if limit == 1:  # T's slot is never free before T has settled the step
        assert stage.a.calls == 0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_handling_that_raises_keeps_no_slot(limit):
    class Broken(Choosing):
        def ended(self, call, state):
            super().ended(call, state)
            raise ZeroDivisionError

    stage = Stage(Script(t_seconds=(1.0,)), Broken([4]), limit)

    async def broken():
        with pytest.raises(ZeroDivisionError):
            await stage.planner.run(stage.script)
        stage.check_end()
        await asyncio.wait_for(stage.budget.acquire(Ticket(stage.budget.join(), True)), 1.0)

    run_virtual(broken())
    assert len(stage.policy.calls) == stage.a.calls + stage.t.calls


def test_slots_are_free_while_a_run_that_was_cancelled_waits_for_its_slowest():
    class Stubborn(Records):
        async def _after(self, seconds, action):
            try:
                return await super()._after(seconds, action)
            finally:
                await asyncio.sleep(5.0)

    stage = Stage(Script(tool_seconds=(50.0,)), Choosing([4]), 2)
    stage.planner = Planner(
        stage.a, stage.t, Stubborn(stage.script), stage.policy, PRICES, budget=stage.budget
    )

    async def cancelled():
        running = asyncio.create_task(stage.planner.run(stage.script))
        await asyncio.sleep(1.5)
        running.cancel()
        await asyncio.sleep(3.0)
        assert not running.done()
        assert stage.budget.free == stage.budget.limit
        with pytest.raises(asyncio.CancelledError):
            await running
        stage.check_end()

    run_virtual(cancelled())


def test_a_model_without_a_price_is_refused():
    with pytest.raises(ValueError, match=r"no price of model .large.; known are .*small"):
        Planner(
            Approximation(),
            Target(),
            Records(Script()),
            Choosing([1]),
            {"small": PRICES["small"]},
        )


def test_it_runs_in_real_time_too():
    script = Script(length=5, right=(True, False), a_seconds=(0.001,), t_seconds=(0.01,))
    stage = Stage(script, Choosing([3]))
    trajectory = asyncio.run(stage.run())
    assert done(trajectory) == alone(script)
    stage.check_ledger(trajectory)
