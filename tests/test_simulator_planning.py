"""Planned steps of simulated engines: ours and AdaSpec's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from flyball.inference.simulator.engine import Simulator
from flyball.inference.simulator.observing import threshold
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.settings import SimulatorSettings
from flyball.inference.simulator.steps import depth_factors, prices
from flyball.inference.simulator.traces import Trace
from flyball.inference.simulator.workload import Phase, Workload
from flyball.policies.admission import PATIENCE
from flyball.policies.planning import thresholds
from flyball.policies.slo import NO_SLO, Slo

TIGHT = Slo(ttft=1.0, tpot=0.02, name="tight")
PROMISES = ((TIGHT, 1.0), (NO_SLO, 1.0))


def requests(n: int, per_second: float, prompt: int = 600, output: int = 60) -> Trace:
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.exponential(1.0 / per_second, n))
    prompts = np.maximum(rng.lognormal(math.log(prompt), 0.6, n), 8).astype(np.int64)
    outputs = np.maximum(rng.lognormal(math.log(output), 0.6, n), 2).astype(np.int64)
    return Trace(at - at[0], prompts, outputs)


def engine(planner: str, trace: Trace, slos=PROMISES, **changes: object) -> SimulatorSettings:
    workload = Workload(phases=(Phase(),), trace=trace, slos=slos)
    settings = preset("gpu-7b", k_max=8, queue=4096)
    return replace(settings, workload=workload, planner=planner, results=len(trace), **changes)


def served(settings: SimulatorSettings, depth: int = 3, speed: float = 1.0):
    """The records of all requests, and the totals."""
    simulator = Simulator(settings, 1, 7)
    simulator.speed[:] = speed
    simulator.reset()
    done = False
    while not done:
        done = bool(simulator.step(np.array([depth])).done[0])
    return simulator.results(0), simulator.totals[0]


def attained(records, slo: Slo, index: int) -> float:
    own = records[records["slo"] == index]
    ttft = own["first"] - own["arrival"]
    tpot = (own["end"] - own["first"]) / np.maximum(own["tokens"] - 1, 1)
    return float(((ttft <= slo.ttft) & (tpot <= slo.tpot)).mean())


@pytest.mark.parametrize("planner", ["uniform", "flyball", "adaspec", "adaspec-slo"])
def test_every_request_ends_with_all_its_tokens(planner):
    trace = requests(300, 12.0)
    records, totals = served(engine(planner, trace))
    assert len(records) == len(trace)
    assert sorted(records["tokens"]) == sorted(trace.generated)
    assert totals["emitted"] + totals["prompted"] >= trace.generated.sum()
    assert (records["first"] > records["arrival"]).all()
    assert (records["end"] >= records["first"]).all()


def test_promises_are_kept_that_the_order_of_arrival_breaks():
    trace = requests(600, 20.0)
    ours, _ = served(engine("flyball", trace))
    theirs, _ = served(engine("uniform", trace))
    assert attained(ours, TIGHT, 0) > 2 * attained(theirs, TIGHT, 0)


def test_a_deadline_alone_brings_a_request_forward_in_the_queue():
    trace = requests(400, 20.0)
    due = Slo(deadline=8.0)
    records, _ = served(engine("flyball", trace, slos=((due, 1.0), (NO_SLO, 3.0))))
    waits, hurried = records["first"] - records["arrival"], records["slo"] == 0
    assert waits[hurried].mean() < 0.5 * waits[~hurried].mean()


def test_without_promises_requests_begin_in_the_order_of_arrival():
    trace = requests(200, 20.0)
    records, _ = served(engine("flyball", trace, slos=()))
    by_first = records[np.argsort(records["first"], kind="stable")]
    # A prompt that is shared among steps with others may end a step later than the next one.
    assert (np.diff(by_first["arrival"]) > -0.5).all()


def test_less_is_verified_than_was_drafted():
    trace = requests(200, 8.0)
    _, ours = served(engine("flyball", trace, slos=()), depth=6)
    _, theirs = served(engine("uniform", trace, slos=()), depth=6)
    assert ours["verified"] < theirs["verified"]
    assert theirs["verified"] == pytest.approx(
        theirs["request_steps"] + theirs["drafted"], rel=0.02
    )
    # And that pays: more tokens for the time.
    assert ours["emitted"] / ours["seconds"] > theirs["emitted"] / theirs["seconds"]


def test_at_speed_0_nothing_is_verified_that_may_be_in_vain():
    trace = requests(100, 8.0)
    _, fast = served(engine("flyball", trace, slos=()), speed=1.0)
    _, cheap = served(engine("flyball", trace, slos=()), speed=0.0)
    assert cheap["verified"] / cheap["request_steps"] < fast["verified"] / fast["request_steps"]


def test_nobody_waits_for_ever():
    """Promises that fill the engine do not keep those out to whom nothing was promised."""
    trace = requests(3000, 24.0)
    records, _ = served(engine("flyball", trace))
    rest = records[records["slo"] == 1]
    while_crowded = rest[rest["arrival"] < trace.arrivals[-1] - PATIENCE - 5.0]
    begun = while_crowded["first"] < trace.arrivals[-1]
    assert len(while_crowded) > 0
    assert begun.any()


def test_adaspec_drafts_less_where_confidence_is_low():
    busy, quiet = requests(200, 30.0), requests(40, 0.5)
    _, at_rest = served(engine("adaspec", quiet, slos=()), depth=0)
    _, at_work = served(engine("adaspec", busy, slos=()), depth=0)
    deep = at_rest["drafted"] / at_rest["request_steps"]
    shallow = at_work["drafted"] / at_work["request_steps"]
    assert deep > shallow > 0.0


def test_adaspec_is_lossless_in_its_books():
    """What it verified was drafted, and of what it verified no more was accepted."""
    _, totals = served(engine("adaspec", requests(200, 20.0), slos=()), depth=0)
    verified = totals["verified"] - totals["request_steps"]
    assert 0 < verified <= totals["drafted"]
    assert totals["emitted"] <= totals["verified"]


def test_its_branch_for_objectives_drafts_less():
    trace = requests(300, 16.0)
    strict = ((Slo(tpot=0.016), 1.0),)
    _, with_branch = served(engine("adaspec-slo", trace, slos=strict), depth=0)
    _, without = served(engine("adaspec", trace, slos=strict), depth=0)
    assert with_branch["drafted"] < without["drafted"]


@pytest.mark.parametrize("rate", [0.6, 1.0, 2.5])
def test_positions_are_worth_verifying_by_the_rule_of_the_live_planner(rate):
    """Where drafts that nobody wants were made all the same, at less than a token a step, too."""
    settings = engine("flyball", requests(10, 1.0), slos=())
    simulator = Simulator(settings, 1, 7)
    found, world = simulator._fleet.engines[0], simulator._world
    assert found["worth"] == 1.0
    found["decoding"], found["context"], found["held"], found["worth"] = 2, 900, 3, rate
    factors = depth_factors(world, 2)
    own = world.coefficients, 450.0, factors, prices(world), 3, rate
    expected = thresholds(np.full(2, 0.5), *own)
    assert threshold(world, found, 0.5) == pytest.approx(expected[0])


def test_an_unknown_planner_is_refused():
    with pytest.raises(ValueError, match="there are uniform, flyball, adaspec, adaspec-slo"):
        engine("fastest", requests(10, 1.0))


def test_objectives_of_no_weight_are_refused():
    with pytest.raises(ValueError, match="weights of objectives"):
        Workload(phases=(Phase(concurrency=1),), slos=((TIGHT, 0.0),))
