"""What the adapter governs of vLLM, and what it leaves alone."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections import deque
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from flyball.inference.choosing import DrafterChooser
from flyball.inference.drafters.catalogue import NONE
from flyball.inference.drafters.drafter import Owner
from flyball.inference.drafters.exchange import ASSIGNMENT, DRAFTED, Drafted
from flyball.inference.drafters.pool import DrafterState
from flyball.inference.drafters.scoring import Score
from flyball.inference.flight import Flight
from flyball.inference.governor import Governor
from flyball.inference.reports import EngineInfo
from flyball.inference.step_plan import Plan
from flyball.inference.vllm.adapter import Adapter
from flyball.inference.vllm.flights import Landing, flight_of
from flyball.inference.vllm.step import SchedulerStep
from hypothesis import given
from hypothesis import strategies as st


def scheduler(method: str | None = "draft_model", ranks: int = 1) -> SimpleNamespace:
    """As much of vLLM's scheduler as is looked at before anything is governed."""
    speculation = SimpleNamespace(method=method, model="m") if method else None
    parallel = SimpleNamespace(data_parallel_size=ranks)
    config = SimpleNamespace(speculative_config=speculation, parallel_config=parallel)
    return SimpleNamespace(vllm_config=config, num_spec_tokens=6 if method else 0)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (scheduler(method=None), "without --speculative-config"),
        (scheduler(ranks=2), "data-parallel"),
        (scheduler(method="suffix"), "'suffix'"),
        (scheduler(method="custom_class"), "'custom_class'"),
    ],
    ids=["no speculation", "ranks", "suffix", "custom class"],
)
def test_what_cannot_be_governed_is_left_alone(
    what: SimpleNamespace, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "flyball"):
        assert Adapter.attach(what) is None  # type: ignore[arg-type]
    assert says in caplog.text


K_MAX = 6
DRAFTS = [11, 12, 13, 14]


def request(name: str, prompt: int, computed: int, **changes: object) -> SimpleNamespace:
    """As much of vLLM's request as is looked at; it decodes what it has computed the prompt of."""
    prefills = computed < prompt
    values = {
        "request_id": name,
        "sampling_params": SimpleNamespace(extra_args=None),
        "num_prompt_tokens": prompt,
        "num_tokens": max(prompt, computed + 1),
        "num_computed_tokens": computed,
        "num_output_placeholders": 0,
        "max_tokens": 50,
        "arrival_time": time.time(),
        "is_prefill_chunk": prefills,
        "spec_token_ids": [] if prefills else DRAFTS,
    }
    return SimpleNamespace(**values | changes)


class Queue:
    """A queue as vLLM's scheduler has it before a step, and an adapter that plans for it."""

    def __init__(self, running: list[SimpleNamespace], waiting: list[SimpleNamespace]) -> None:
        self.running, self.waiting = running, deque(waiting)
        self.kv_cache_manager = SimpleNamespace(usage=0.0)
        self.scheduler_config = SimpleNamespace(
            policy="fcfs", enable_chunked_prefill=True, disable_chunked_mm_input=False
        )
        self.max_num_scheduled_tokens = 100
        self.dynamic_sd_lookup: list[int] = []
        self.requests: dict[str, SimpleNamespace] = {}
        info = EngineInfo(
            engine="e", target="t", draft="d", k_max=K_MAX, static_depth=2, parameter_ratio=0.05
        )
        self.adapter = Adapter(Governor(info, lambda _: True), None, 8)
        for known in (*running, *waiting):
            self.adapter.admit(known)

    def begin(self, *plan: object) -> Callable[[], None] | None:
        """What must be called after a step that is planned so."""
        self.adapter.governor.plan = lambda *_: Plan(*plan)  # type: ignore[method-assign, arg-type]
        self.depth, after = self.adapter.begin(self)  # type: ignore[arg-type]
        return after

    @property
    def names(self) -> tuple[str, str]:
        """Of the requests in the order in which they run and wait."""
        ran, wait = ("".join(r.request_id for r in queue) for queue in (self.running, self.waiting))
        return ran, wait

    @property
    def drafts(self) -> list[list[int]]:
        return [r.spec_token_ids for r in self.running]


def queue() -> Queue:
    """One that prefills between two that decode, one that surely ends, two that wait."""
    ends = request("e", 10, 62, num_tokens=60, num_output_placeholders=3)
    running = [request("a", 10, 20), request("p", 40, 30), request("b", 10, 15), ends]
    return Queue(running, [request("x", 30, 0), request("y", 5, 0)])


def test_a_step_tells_apart_what_runs_and_what_waits() -> None:
    seen = queue()
    state = seen.adapter._states
    step = SchedulerStep(seen, state.__getitem__)  # type: ignore[arg-type]
    assert (step.decoding, step.drafted) == ([state["a"], state["b"]], [4, 4])
    assert (step.prefilling, step.left) == ([state["p"]], [10])
    assert (step.waiting, step.prompts) == ([state["x"], state["y"]], [30, 5])


def test_a_plan_is_carried_out_for_one_step() -> None:
    seen = queue()
    after = seen.begin(3, [1, 0], 7, [1, 0])
    assert seen.drafts == [[11], [], DRAFTS, []]
    assert [r.request_id for r in seen.running] == ["a", "b", "e", "p"]
    assert seen.names[1] == "yx"
    assert seen.max_num_scheduled_tokens == (1 + 1) + (1 + 0) + 7
    assert set(seen.dynamic_sd_lookup) == {3}
    assert after is not None
    seen.running.append(seen.waiting.popleft())
    after()
    assert seen.names == ("apbey", "x")
    assert seen.max_num_scheduled_tokens == 100
    assert DRAFTS == [11, 12, 13, 14]  # vLLM shares it among requests


def test_the_engines_own_budget_is_never_exceeded() -> None:
    seen = queue()
    seen.begin(3, None, 1000)
    assert seen.max_num_scheduled_tokens == 100


def test_prompts_are_not_held_back_where_that_could_last_for_ever() -> None:
    whole, idle, plain = queue(), Queue([request("p", 40, 30)], []), queue()
    whole.scheduler_config.enable_chunked_prefill = False
    for seen, plan in ((whole, (3, None, 0)), (idle, (3, None, 0)), (plain, (3,))):
        assert seen.begin(*plan) is None
        assert seen.max_num_scheduled_tokens == 100
    assert plain.names == ("apbe", "xy")


def test_priorities_decide_the_order_where_vllm_follows_them() -> None:
    seen = queue()
    seen.scheduler_config.policy = "priority"
    seen.begin(3, None, None, [1, 0])
    assert (seen.names[1], seen.adapter.governor.faults) == ("xy", 0)


@pytest.mark.parametrize(
    "plan",
    [
        (3, [1, 0, 0], 0, [1, 0]),
        (3, [1, -1], 0, [1, 0]),
        (3, [1, 0], -1, [1, 0]),
        (3, [1, 0], 0, [1, 1]),
        (3, [1, 0], 0, [0]),
        (K_MAX + 1, [1, 0], 0, [1, 0]),
        (-1, [1, 0], 0, [1, 0]),
    ],
)
def test_a_plan_that_does_not_fit_is_ignored(plan: tuple[object, ...]) -> None:
    seen = queue()
    assert seen.begin(*plan) is None
    assert (seen.depth, set(seen.dynamic_sd_lookup)) == (2, {2})
    assert (seen.names, seen.max_num_scheduled_tokens) == (("apbe", "xy"), 100)
    assert seen.drafts == [DRAFTS, [], DRAFTS, DRAFTS]
    assert seen.adapter.governor.faults == 1


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, K_MAX)), min_size=1, max_size=12),
    st.integers(0, 40),
    st.randoms(),
)
def test_requests_that_decode_get_all_they_were_given(
    kinds: list[tuple[bool, int]], bound: int, random: Random
) -> None:
    running = [
        request(str(i), 10, 20 if decodes else 5, spec_token_ids=[7] * (drafted if decodes else 0))
        for i, (decodes, drafted) in enumerate(kinds)
    ]
    seen = Queue(list(running), [])
    lengths = [random.randint(0, K_MAX) for decodes, _ in kinds if decodes]
    after = seen.begin(1, lengths, bound)
    left = seen.max_num_scheduled_tokens
    used = sum(1 + len(r.spec_token_ids) for r in running if not r.is_prefill_chunk)
    for r in seen.running:  # as vLLM gives them out
        wanted = r.num_tokens - r.num_computed_tokens + len(r.spec_token_ids)
        given_out = min(wanted, left)
        left -= given_out
        assert r.is_prefill_chunk or given_out == wanted
    if lengths:
        prompts = 5 * sum(not decodes for decodes, _ in kinds)
        assert left == max(0, min(bound, 100 - used) - prompts)
    if after is not None:
        after()
    assert seen.running == running
    assert seen.max_num_scheduled_tokens == 100


def landing(
    flight: Flight, at: float, drafts: dict[str, int], came: dict[str, list[int]]
) -> Landing:
    """A step's outcome: what each request was given."""
    result = SimpleNamespace(
        req_id_to_index={name: i for i, name in enumerate(came)}, sampled_token_ids=[*came.values()]
    )
    return Landing(flight, at, output({}, drafts), result)  # type: ignore[arg-type]


def outputs(given: dict[str, list[int]]) -> Any:
    """What vLLM makes of it."""
    found = [
        SimpleNamespace(request_id=r, new_token_ids=t, finish_reason=None) for r, t in given.items()
    ]
    return {0: SimpleNamespace(outputs=found)}


def test_what_reaches_a_request_is_counted_from_its_arrival_on() -> None:
    seen = queue()
    state = seen.adapter._states["a"]
    assert (state.emitted, math.isnan(state.first)) == (0, True)
    for at, tokens in ((state.arrived + 1, []), (state.arrived + 2, [5, 6]), (math.inf, [7])):
        arrived = landing(Flight({}, (), 0, 0, 0), at, {}, {"a": tokens})
        seen.adapter.land(seen, arrived, outputs({"a": tokens}))  # type: ignore[arg-type]
    seen.adapter.prepare(seen)  # type: ignore[arg-type]
    assert (state.emitted, state.first) == (3, state.arrived + 2)
    assert seen.adapter.governor.faults == 0


@pytest.mark.parametrize(("before", "counts"), [(2.0, True), (-3.0, False), (1e6, False)])
def test_objectives_count_from_the_arrival_at_the_server(before: float, counts: bool) -> None:
    adapter = queue().adapter
    arguments = SimpleNamespace(extra_args={"flyball_slo_ttft_ms": 500}, stop=None)
    came = time.time() - before
    adapter.admit(request("new", 9, 0, sampling_params=arguments, arrival_time=came))  # type: ignore[arg-type]
    state, now = adapter._states["new"], time.perf_counter()
    assert now - state.arrived == pytest.approx(before if counts else 0.0, abs=0.5)
    assert state.promised[3] == state.arrived
    assert adapter.governor.faults == 0


def test_verified_is_what_was_sampled_of_requests_that_are_still_there() -> None:
    seen = queue()
    states = {name: seen.adapter._state(name) for name in "abce"}
    flight = Flight(states, [0] * 8, 0, 0, 0)
    sampled = {"a": [1, 2, 3], "b": [4, 5], "c": [6], "e": [7, 8, 9, 10]}
    came = landing(flight, 1.0, {"a": 4, "b": 2, "c": 2, "e": 3}, sampled)
    del sampled["e"][1:]  # vLLM cuts what lies beyond the end
    assert came.verifications({"a", "b", "e"}) == [
        (states["a"], 4, 2),
        (states["b"], 1, 1),  # the grammar allowed one of two
        (states["e"], 3, 3),
    ]


@pytest.mark.parametrize("hurried", [False, True])
def test_what_came_of_a_step_is_told_while_the_next_runs_unless_somebody_hurries(
    hurried: bool,
) -> None:
    seen = queue()
    governor, state = seen.adapter.governor, seen.adapter._states["a"]
    governor.planner.hurried = hurried
    for last in (False, True):
        before, steps = state.emitted, governor.meters.totals.steps
        came = landing(Flight({"a": state}, [0] * 8, 0, 0, 0), 1.0, {}, {"a": [5]})
        if last:
            seen.running = []
        seen.adapter.land(seen, came, outputs({"a": [5]}))  # type: ignore[arg-type]
        told = hurried or last
        assert (state.emitted, governor.meters.totals.steps) == (before + told, steps + told)
        seen.adapter.prepare(seen)  # type: ignore[arg-type]
        assert (state.emitted, governor.meters.totals.steps) == (before + 1, steps + 1)


@pytest.mark.parametrize("looks", ["prepare", "arrive", "begin"])
def test_a_step_is_told_of_as_it_was_scheduled(looks: str) -> None:
    seen = queue()
    first = request("a", 10, 24)
    seen.requests = {"a": first}
    step = output({"a": 5}, {"a": 4})
    seen.adapter.launch(seen, step, 3)  # type: ignore[arg-type]
    launched = time.perf_counter()
    assert seen.adapter._flights == {}
    if looks == "prepare":
        seen.adapter.prepare(seen)  # type: ignore[arg-type]
    elif looks == "arrive":  # of the step before: nothing may have been processed yet
        assert seen.adapter.arrive(output({}, {}), SimpleNamespace()) is None  # type: ignore[arg-type]
    else:
        seen.adapter.begin(seen)  # type: ignore[arg-type]
    (flight,) = seen.adapter._flights.values()
    assert (flight.depth, flight.context, flight.verified) == (3, 19, 5)
    assert flight.launched <= launched
    assert seen.adapter.governor.faults == 0


def test_a_flight_tells_how_many_verify_each_position() -> None:
    lengths = {"a": 3, "b": 0, "c": 1, "d": 3}
    scheduler = SimpleNamespace(requests={name: request(name, 10, 30) for name in lengths})
    lengths["aborted"] = 2
    output = SimpleNamespace(
        scheduled_spec_decode_tokens={n: DRAFTS[:k] for n, k in lengths.items() if k},
        num_scheduled_tokens={name: 1 + k for name, k in lengths.items()},
    )
    flight = flight_of(scheduler, output, queue().adapter._state)  # type: ignore[arg-type]
    assert list(flight.checked) == [3, 2, 2, 0, 0, 0, 0, 0]
    assert flight.verified == 4 + 7


def test_a_part_of_what_is_computed_anew_is_no_decoding_however_short() -> None:
    anew = request("r", 10, 16, num_tokens=20, is_prefill_chunk=True)
    ready = request("a", 10, 16)
    scheduler = SimpleNamespace(requests={"r": anew, "a": ready})
    output = SimpleNamespace(scheduled_spec_decode_tokens={}, num_scheduled_tokens={"r": 1, "a": 1})
    flight = flight_of(scheduler, output, queue().adapter._state)  # type: ignore[arg-type]
    assert (list(flight.requests), flight.verified, flight.prefill) == (["a"], 1, 1)


def offering(default: str | None = None) -> Queue:
    """The queue of an engine that offers drafters."""
    seen = queue()
    governor = Governor(
        seen.adapter.governor.info, lambda _: True, chooser=DrafterChooser(("draft", "x"), default)
    )
    seen.adapter = Adapter(governor, None, 8)
    for known in (*seen.running, *seen.waiting):
        seen.adapter.admit(known)
    return seen


def output(tokens: dict[str, int], drafts: dict[str, int], fresh: tuple[str, ...] = ()) -> Any:
    """As much of what vLLM has scheduled as is looked at."""
    return SimpleNamespace(
        num_scheduled_tokens=tokens,
        scheduled_spec_decode_tokens={r: [-1] * n for r, n in drafts.items()},
        scheduled_new_reqs=[SimpleNamespace(req_id=r) for r in fresh],
        num_invalid_spec_tokens={"b": 1},
        finished_req_ids=set(),
        total_num_scheduled_tokens=sum(tokens.values()),
    )


def test_a_step_tells_who_drafts_and_whose_new_requests_are() -> None:
    seen = offering()
    seen.adapter._state("b").wanted = "x"
    seen.adapter._state("x").owner = Owner("t", "s")
    seen.adapter._state("y").owner = None
    step = output({"a": 1, "b": 1, "x": 5, "y": 5}, {}, ("x", "y"))
    flight = Flight({name: seen.adapter._state(name) for name in "ab"}, [0] * 8, 0, 0, 0)
    seen.adapter._assigner.assign(flight, step)
    assert flight.drafting == 1
    assignment = getattr(step, ASSIGNMENT)
    assert assignment.drafters == {"a": "draft", "b": "x", "x": "draft", "y": "draft"}
    assert assignment.owners == {"x": Owner("t", "s")}
    assert pickle.loads(pickle.dumps(step.flyball_assignment)) == assignment
    without = output({"a": 1}, {})
    queue().adapter._assigner.assign(flight, without)
    assert not hasattr(without, ASSIGNMENT)


def test_placeholders_of_requests_that_nobody_drafted_for_are_taken_back() -> None:
    seen = offering()
    seen.adapter._state("b").wanted = NONE
    seen.adapter._assigner.assign(Flight({}, [0] * 8, 0, 0, 0), output({"a": 1, "b": 1}, {}))
    seen.begin(3)
    assert seen.drafts == [DRAFTS, [], [], DRAFTS]


def test_what_drafters_tell_is_counted_by_drafter_and_corrects_the_step() -> None:
    seen = offering()
    states = {name: seen.adapter._state(name) for name in "ab"}
    flight = Flight(dict(states), [2, 2, 2, 1, 0, 0, 0, 0], 0, 0, 0)
    result = SimpleNamespace(
        sampled_token_ids=[[1, 2], [3, 4]], req_id_to_index={"a": 0, "b": 1, "p": 0}
    )
    verified = {"a": ("x", 2), "b": ("draft", 3), "p": ("x", 0)}
    told = Drafted(verified, [Score("x", "b", 4, 4, 6)], {"x": DrafterState(9)}, passes=2)
    told.asked, told.spent = {"a": 3, "b": 3, "p": 0}, {"x": (2, 1e-4)}
    setattr(result, DRAFTED, told)
    step = output({"a": 4, "b": 4}, {"a": 3, "b": 3})
    assert seen.adapter._assigner.told(flight, step, result) == {"a": 2, "b": 3, "p": 0}
    assert (flight.checked[:4], flight.verified) == ([2, 2, 1, 0], 7)
    assert (flight.passes, flight.spent) == (2, {"x": (2, 1e-4)})
    records = seen.adapter.governor.drafters
    records.count()
    beats = seen.adapter.governor.beat().drafters
    assert (beats["x"].verified, beats["x"].accepted, beats["x"].asked) == (2, 1, 9)
    assert (beats["x"].scored_tokens, beats["x"].scored_accepted) == (4, 4)
    assert (beats["draft"].verified, beats["draft"].accepted) == (2, 1)  # one was vetoed
    assert seen.adapter._assigner.told(flight, step, SimpleNamespace()) is None


def test_scores_that_come_after_a_request_has_ended_bring_no_other_into_being() -> None:
    seen = offering()
    governor = seen.adapter.governor
    arrivals, known = governor.meters.arrivals, set(seen.adapter._states)
    result = SimpleNamespace(sampled_token_ids=[], req_id_to_index={})
    setattr(result, DRAFTED, Drafted({}, [Score("x", "gone", 4, 4, 6)], {}))
    step = output({"a": 4}, {"a": 3})
    seen.adapter._assigner.told(Flight({}, [0] * 8, 0, 0, 0), step, result)
    assert set(seen.adapter._states) == known
    assert governor.meters.arrivals == arrivals
