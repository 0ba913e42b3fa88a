"""Plans of single steps: what is verified, who is admitted, what prompts get."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from flyball.benchmarks.snapshots import fixed_snapshot
from flyball.inference import step_planner as planning
from flyball.inference.flight import Flight
from flyball.inference.governor import Governor
from flyball.inference.live_policy import LivePolicy
from flyball.inference.moment import Load
from flyball.inference.orders import Orders
from flyball.inference.reports import EngineInfo, Mode
from flyball.inference.requests import RequestState
from flyball.inference.step_plan import Plan
from flyball.inference.step_planner import StepPlanner
from flyball.inference.wire import Pin
from flyball.policies.admission import PATIENCE, TURN
from flyball.policies.catalogue.registry import make_policy
from flyball.policies.prices import compute_prices
from flyball.policies.runner import Runner
from flyball.policies.slo import NO_SLO, Slo
from flyball.policies.snapshot import analytic
from flyball.policies.step_time import PRIOR
from flyball.policies.structure import Structure
from flyball.policies.survival import SurvivalEstimator
from flyball.policies.verified import Verified

K_MAX = 6
PRICES = compute_prices(0.05)
STRUCTURE = Structure(K_MAX, PRIOR, PRICES)
TIGHT = Slo(ttft=1.0, tpot=0.03, name="tight")


@dataclass
class Queue:
    """An engine's queue, as ``plan.Step`` shows it."""

    decoding: list[RequestState] = field(default_factory=list)
    drafted: list[int] = field(default_factory=list)
    prefilling: list[RequestState] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    waiting: list[RequestState] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)


def request(slo: Slo = NO_SLO, *, age: float = 0.0, emitted: int = 0, paced: float = 0.01):
    """A request that arrived so long ago, its tokens since at a pace."""
    state = RequestState(None, None, slo)
    state.arrived = time.perf_counter() - age
    state.promised = (slo.ttft, slo.tpot, slo.deadline, state.arrived, math.inf)
    if emitted:
        state.emit(1, time.perf_counter() - paced * (emitted - 1))
        state.emitted = emitted
    return state


def easy() -> RequestState:
    state = request(emitted=10)
    state.tried, state.frailty = 5.0, 0.1
    return state


def hard() -> RequestState:
    state = request(emitted=10)
    state.tried, state.frailty = 5.0, 3.0
    return state


def planner(hurried: bool = True) -> StepPlanner:
    found = StepPlanner(estimator())
    found.hurried = hurried
    return found


def estimator() -> SurvivalEstimator:
    """One that has seen drafts of four of which two were accepted, often enough to be sure."""
    found, seen = SurvivalEstimator(), Verified()
    for _ in range(2000):
        for tried, accepted in ((1, 0), (4, 4), (3, 2)):
            seen.add(0, tried, accepted, 1.0, 0.0, found.expected[0][tried])
    found.add(seen)
    found.refresh()
    return found


def settled(plans: StepPlanner, queue: Queue, depth: int = 4, speed: float = 1.0, **more) -> Plan:
    """The plan once the rate of tokens for their cost has settled."""
    for _ in range(20):
        plan = plans.plan(depth, queue, STRUCTURE, speed, 200.0, more.get("cut", True))
    return plan


def test_an_empty_engine_gets_no_plan():
    assert planner().plan(3, Queue(), STRUCTURE, 1.0, 0.0, True) == Plan(3)


def flown(states: list[RequestState], depth: int = 4) -> Flight:
    """A step in which some decode, at a mean context as ``settled`` has it."""
    flight = Flight({str(i): s for i, s in enumerate(states)}, (), 0, 200 * len(states), 100)
    flight.depth = depth
    return flight


def test_a_step_planned_ahead_is_planned_as_it_would_be_in_its_turn():
    states = [easy(), hard()]
    queue, plans = Queue(states, [4, 4]), planner(False)
    expected = settled(plans, queue)
    plans.plan_ahead(4, flown(states), STRUCTURE, 1.0)
    found = plans.take(4, queue)
    assert found is not None
    assert [min(4, k) for k in found.lengths] == list(expected.lengths)
    assert found.depth == expected.depth
    assert plans.take(4, queue) is None  # it is for one step


def test_of_a_request_that_was_not_there_when_it_was_planned_everything_is_verified():
    one, other = hard(), hard()
    plans = planner(False)
    whole = settled(plans, Queue([one], [4]))
    plans.plan_ahead(4, flown([one]), STRUCTURE, 1.0)
    assert plans.take(4, Queue([other, one], [4, 4])).lengths == [4, whole.lengths[0]]


def test_a_plan_of_a_step_of_which_all_is_verified_looks_at_no_queue():
    plans = planner(False)
    settled(plans, Queue([easy()], [1]))
    plans.plan_ahead(1, flown([easy()], 1), STRUCTURE, 1.0)
    assert plans.take(1, None) == Plan(1)


def test_after_a_step_of_prompts_alone_all_is_verified():
    plans = planner(False)
    plans.plan_ahead(3, flown([]), STRUCTURE, 1.0)
    assert plans.take(3, None) == Plan(3)


def test_a_plan_made_ahead_is_of_no_use_at_another_depth_or_once_somebody_is_in_a_hurry():
    plans = planner(False)
    plans.plan_ahead(4, flown([easy()]), STRUCTURE, 1.0)
    assert plans.take(3, Queue([easy()], [4])) is None
    plans.plan_ahead(4, flown([easy()]), STRUCTURE, 1.0)
    plans.hurried = True
    assert plans.take(4, Queue([easy()], [4])) is None


def test_the_easy_are_verified_further_than_the_hard():
    plan = settled(planner(False), Queue([easy(), hard()], [4, 4]))
    assert plan.depth == 4
    assert plan.lengths[0] > plan.lengths[1]
    assert plan.prompt_tokens is None
    assert plan.order is None


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_the_overhead_is_measured_with_everything_verified(speed):
    hopeless = hard()
    hopeless.frailty = 50.0
    queue = Queue([hopeless, easy()], [4, 4])
    free = fixed_snapshot(K_MAX, 4).structure
    assert planner().plan(4, queue, free, speed, 100.0, True).lengths == [4, 4]
    assert planner().plan(4, queue, STRUCTURE, speed, 100.0, True).lengths[0] < 4


def test_nothing_is_left_unverified_where_that_is_not_allowed():
    plan = settled(planner(), Queue([easy(), hard()], [4, 4]), cut=False)
    assert plan.lengths is None


def test_prompts_wait_for_whom_they_would_make_late():
    calm = settled(planner(), Queue([request(emitted=10)], [0]))
    behind = request(TIGHT, age=1.0, emitted=10, paced=0.065)
    late = settled(planner(), Queue([behind], [0]))
    assert calm.prompt_tokens is None
    seconds = STRUCTURE.coefficients
    step = seconds[0] + seconds[1] + 4 * (seconds[2] + seconds[6]) + 200.0 * seconds[5]
    assert late.prompt_tokens == pytest.approx(0.05 / 0.95 * step / seconds[4], rel=0.1)


def test_prompts_run_on_the_credit_of_those_ahead():
    ahead = request(TIGHT, age=1.0, emitted=40, paced=0.01)
    plan = settled(planner(), Queue([ahead], [0]))
    behind = request(TIGHT, age=1.0, emitted=10, paced=0.065)
    assert plan.prompt_tokens > 2 * settled(planner(), Queue([behind], [0])).prompt_tokens


def test_first_tokens_that_press_are_not_held_back():
    behind = request(TIGHT, age=1.0, emitted=10, paced=0.065)
    calm = settled(planner(), Queue([behind], [0])).prompt_tokens
    plans = planner()
    plans.landed(Flight({}, [], 1000, 0, 0), 0.05)  # prompts were fast
    queue = Queue([behind], [0], waiting=[request(TIGHT, age=0.9)], prompts=[1500])
    assert settled(plans, queue).prompt_tokens > calm


def test_an_objective_that_cannot_be_met_is_given_up_and_said_so():
    hopeless = request(TIGHT, age=100.0, emitted=10, paced=5.0)
    in_time = request(TIGHT, age=0.5, emitted=10, paced=0.01)
    waited = request(TIGHT, age=2.0)
    plans = planner()
    plan = settled(plans, Queue([hopeless, in_time], [0, 0], waiting=[waited], prompts=[10]))
    assert (hopeless.missed, in_time.missed, waited.missed) == ("ttft", "", "ttft")
    # Nobody hurries for it any more.
    assert settled(planner(), Queue([hopeless], [0])).prompt_tokens is None
    assert plan.prompt_tokens is not None


def test_what_was_given_up_is_taken_up_again_when_it_can_be_met():
    state = request(Slo(tpot=0.03), age=9.0, emitted=10, paced=1.0)
    plans, queue = planner(), Queue([state], [0])
    settled(plans, queue)
    assert state.missed == "tpot"
    state.emitted = 10_000
    settled(plans, queue)
    assert state.missed == ""


def test_the_slack_is_observed():
    plans = planner()
    settled(plans, Queue([request(TIGHT, age=0.5, emitted=11, paced=0.02)], [0]))
    assert plans.slack == pytest.approx(0.1, abs=0.01)
    settled(plans, Queue([request(emitted=11)], [0]))
    assert plans.slack == 0.0


def test_waiting_requests_are_ordered_by_their_objectives():
    loose, tight, none = request(Slo(ttft=9.0)), request(TIGHT), request()
    queue = Queue(waiting=[none, loose, tight], prompts=[10, 10, 10])
    assert planner().plan(3, queue, STRUCTURE, 1.0, 0.0, True).order == [2, 1, 0]


@pytest.mark.parametrize("slo", [Slo(ttft=1.0), Slo(deadline=1.0), Slo(deadline=5.0)])
def test_a_deadline_hurries_the_first_token_as_an_objective_for_it_does(slo):
    plans, rest = planner(), [request() for _ in range(3)]
    queue = Queue(waiting=[*rest, request(slo)], prompts=[2000] * 3 + [50])
    assert plans.plan(3, queue, STRUCTURE, 1.0, 0.0, True).order == [3, 0, 1, 2]
    calm = plans._pressure
    queue.prefilling, queue.left = [request(slo)], [50_000]
    plans._rested = plans._ordered = -math.inf
    plans.plan(3, queue, STRUCTURE, 1.0, 0.0, True)
    assert plans._pressure > 10 * calm


def test_a_deadline_that_passed_while_a_request_waited_is_given_up():
    waited = [request(Slo(deadline=1.0), age=2.0), request(Slo(deadline=9.0), age=2.0)]
    planner().plan(3, Queue(waiting=waited, prompts=[10, 10]), STRUCTURE, 1.0, 0.0, True)
    assert [state.missed for state in waited] == ["deadline", ""]


def test_a_deadline_is_given_up_for_what_is_left_of_a_request_at_best():
    # Of 128 expected tokens 118 are to come: at least 0.17 s of steps of 10 ms and 7 tokens.
    long, short, late = (request(Slo(deadline=9.0), age=8.9, emitted=10) for _ in range(3))
    short.limit(20)
    late.emitted = 128
    plan = settled(planner(), Queue([long, short, late], [0, 0, 0]))
    assert [state.missed for state in (long, short, late)] == ["deadline", "", ""]
    assert plan.prompt_tokens is not None


def test_nobody_is_put_before_another_while_nobody_has_objectives():
    waiting = [request(age=1.0), request(age=3.0)]
    queue = Queue(waiting=waiting, prompts=[10, 10])
    assert planner(False).plan(3, queue, STRUCTURE, 1.0, 0.0, True).order is None


def test_a_queue_in_the_right_order_is_left_alone():
    queue = Queue(waiting=[request(TIGHT), request(Slo(ttft=9.0))], prompts=[10, 10])
    assert planner().plan(3, queue, STRUCTURE, 1.0, 0.0, True).order is None


def test_who_was_preempted_goes_on_first():
    preempted = request(emitted=5)
    queue = Queue(waiting=[request(TIGHT), preempted], prompts=[10, 10])
    assert planner().plan(3, queue, STRUCTURE, 1.0, 0.0, True).order == [1, 0]


def test_who_has_waited_long_has_a_turn(monkeypatch):
    monkeypatch.setattr(planning, "_REST", 0.0)
    old = request(age=PATIENCE + 5.0)
    young = [request(TIGHT) for _ in range(3 * TURN)]
    plans, admitted = planner(), []
    waiting = [old, *young]
    while waiting:
        queue = Queue(waiting=waiting, prompts=[10] * len(waiting))
        plan = plans.plan(3, queue, STRUCTURE, 1.0, 0.0, True)
        if plan.order is not None:
            waiting = [waiting[i] for i in plan.order]
        admitted.append(waiting.pop(0))
    assert admitted.index(old) == TURN - 1


def test_ordering_a_long_queue_takes_a_rest():
    plans = planner()
    long = [request(age=1.0) for _ in range(2000)]
    queue = Queue(waiting=[*long, request(TIGHT)], prompts=[10] * 2001)
    assert plans.plan(3, queue, STRUCTURE, 1.0, 0.0, True).order[0] == 2000
    assert plans.plan(3, queue, STRUCTURE, 1.0, 0.0, True).order is None


def test_a_first_token_is_planned_with_the_speed_that_prompts_had():
    waiting = [request(TIGHT), request(TIGHT)]
    queue = Queue(waiting=waiting, prompts=[8000, 5000])
    # As long as nothing is known, there is time for one of them alone, the shorter.
    assert planner().plan(3, queue, STRUCTURE, 1.0, 0.0, True).order == [1, 0]
    fast = planner()
    fast.landed(Flight({}, (), 1000, 0, 0), 0.01)
    assert fast.plan(3, queue, STRUCTURE, 1.0, 0.0, True).order is None


INFO = EngineInfo(
    engine="e", target="t", draft="d", k_max=K_MAX, static_depth=2, parameter_ratio=0.05
)


def governor(policy: str | None = None, **orders: object) -> Governor:
    """One whose requests include a hard one."""
    runner = Runner(analytic(1, K_MAX, PRICES, PRIOR.astype(np.float32), 0.0))
    live = None
    if policy is not None:
        live = LivePolicy(policy, make_policy(policy, STRUCTURE))
    found = Governor(INFO, lambda _: True, Orders(runner=runner, policy=live, **orders), seed=0)
    found.planner.hurried = True
    return found


def run(found: Governor, steps: int = 12) -> tuple[Plan, Queue]:
    """Steps of an easy and a hard request; a loose one waits before a tight one at the last."""
    running = {"a": easy(), "b": hard()}
    loose, tight = request(Slo(ttft=60.0)), request(Slo(ttft=30.0))
    drafted = 0
    for left in range(steps, 0, -1):
        waiting = [loose, tight] if left == 1 else []
        queue = Queue(
            list(running.values()), [drafted] * 2, waiting=waiting, prompts=[10] * len(waiting)
        )
        plan = found.plan(2, lambda: Load(2, 0.1), queue)
        flight = Flight(running, (2,) * drafted, 0, 200, 100)
        found.launch(flight, plan.depth)
        found.prepare(2, lambda: Load(2, 0.1))
        found.land(flight, time.perf_counter(), [], 2, 0)
        drafted = plan.depth
    return plan, queue


class Unseen:
    """A queue that must not be looked at."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"{name} was looked at")


def test_while_nobody_hurries_steps_are_planned_and_outcomes_learned_as_the_model_runs():
    found = governor(speed=1.0)
    found.planner.hurried = False
    state, load = easy(), lambda: Load(0, 0.1)
    for step in range(12):
        queue = Queue([state], [found.beat().depth]) if step < 2 else Unseen()
        plan = found.plan(1, load, queue)
        flight = Flight({"a": state}, (1,) * plan.depth, 0, 200, 100)
        found.launch(flight, plan.depth)
        tried = state.tried
        found.prepare(1, load)
        learned = state.tried
        outcome = flight, time.perf_counter(), [(state, plan.depth, plan.depth)], 1, 0
        found.later(partial(found.land, *outcome))
        assert state.tried == learned
        assert (learned != tried) == (step > 1)  # what is drafted first is verified in the second
    assert found.faults == 0


def test_ours_plans_lengths_and_order():
    plan, _ = run(governor(speed=1.0))
    assert plan.lengths is not None
    assert plan.order == [1, 0]


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE, Mode.SHADOW])
def test_an_engine_that_is_not_governed_gets_no_plan(mode):
    plan, _ = run(governor(mode=mode))
    assert plan == Plan(2)


def test_a_pinned_depth_is_verified_whole_and_in_the_order_of_arrival():
    plan, _ = run(governor(pin=Pin(engine="e", depth=3, number=1)))
    assert plan == Plan(3)


def test_other_policies_verify_everything_and_order_nobody():
    plan, _ = run(governor("fixed?depth=3"))
    assert plan == Plan(3)


def test_adaspec_has_a_say_in_what_is_verified():
    found = governor("adaspec")
    plan, _ = run(found)
    assert plan.order is None
    assert plan.lengths is not None
    assert {*plan.lengths} <= {0, plan.depth}


def test_a_policy_that_fails_at_it_has_everything_verified():
    found = governor("adaspec")
    policy = found.book.orders.policy
    policy.policy.verify = lambda *_: math.sqrt(-1.0)
    plan, _ = run(found)
    assert plan.lengths is None
    assert "failed" in found.book.last_refusal


def test_drafts_of_the_static_depth_are_verified_whole():
    """The guard's reference arm is what the engine would do without us."""
    found = governor(speed=1.0)
    run(found)
    drafted = found._drafted
    decision = drafted.decision
    from flyball.policies.transition import Reason
    from msgspec.structs import replace

    drafted.decision = replace(decision, reason=Reason.REFERENCE)
    queue = Queue([easy(), hard()], [2, 2])
    assert found.plan(2, lambda: Load(0, 0.1), queue).lengths is None


def test_planning_is_timed():
    found = governor(speed=1.0)
    run(found)
    assert 0 < found.beat().plan_us_p50 <= found.beat().plan_us_p99


def test_whatever_there_is_to_plan_was_compiled_when_the_planner_was_made():
    plans = planner()
    kinds = [planning.admission, planning.divide, planning.chances_of, planning.step_seconds]
    kinds += [planning.prompt_second, planning.base_second, planning.first_due]
    kinds += [planning.first_within]
    kinds += [planning.outlook, planning.thresholds, planning.kept_means]
    known = [len(kind.signatures) for kind in kinds]
    tight = request(TIGHT, age=0.4, emitted=10)
    running, waiting = [tight, easy(), hard()], [request(TIGHT), request(Slo(deadline=9.0))]
    for n in (0, 1, 3):
        prompts = [request(TIGHT)] if n else []
        queue = Queue(running[:n], [4] * n, prompts, [64] * len(prompts), waiting, [100, 7])
        settled(plans, queue)
        settled(plans, Queue(running[:n], [0] * n), cut=False)
    assert all(known)
    assert [len(kind.signatures) for kind in kinds] == known
