"""Chains: the programme against enumeration, predictions against sampling, and when to change."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from flyball.policies.chains.acceptance import ChainAcceptance
from flyball.policies.chains.load import ChainLoad, Family
from flyball.policies.chains.plan import NO_CHAIN, Plan
from flyball.policies.chains.planner import ChainPlanner
from flyball.policies.chains.prediction import predict
from flyball.policies.chains.programme import along, cheapest
from flyball.policies.chains.times import Pass, fit_times, linear
from flyball.policies.spaces import CLASSES, MAX_DEPTH
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("small", "middle", "large", "target")
ONE_CLASS = np.eye(CLASSES)[0]
HALVES = np.array([0.5, 0.5, *[0.0] * (CLASSES - 2)])


def constant(acceptance):
    return np.tile(np.cumprod(np.full(MAX_DEPTH, acceptance)), (CLASSES, 1))


def family(calls, token=0.0, **more):
    names = NAMES[-len(calls) :]
    times = {name: linear(call, token) for name, call in zip(names, calls, strict=True)}
    return Family(names, times, **more)


def world(seed, models):
    """Random times and acceptances, which fall by position and differ by class."""
    rng = np.random.default_rng(seed)
    calls = np.sort(10 ** rng.uniform(-3, 0, models))
    made = family(calls, token=10 ** rng.uniform(-5, -2))
    survivals = {
        pair: rng.uniform(0.3, 1.0, (CLASSES, MAX_DEPTH)).cumprod(1) for pair in made.pairs()
    }
    shares = rng.dirichlet(np.ones(CLASSES))
    return made, survivals, ChainLoad(batch=float(rng.integers(1, 17)), shares=shares)


def cost(made, survivals, load, chain, windows):
    """Seconds per token of a chain with its windows, written out from the definition."""
    path = [*chain, made.target]
    seconds = made.times[path[0]].seconds(load.batch, 1)
    for (lower, upper), w in zip(itertools.pairwise(path), windows, strict=True):
        emitted = sum(
            share * (1.0 + sum(survivals[lower, upper][c][:w]))
            for c, share in enumerate(load.shares)
        )
        seconds = (w * seconds + made.times[upper].seconds(load.batch, w + 1)) / emitted
    return seconds


@given(seed=st.integers(0, 10_000), models=st.integers(1, 4), deepest=st.integers(1, 4))
def test_the_programme_finds_what_enumeration_finds(seed, models, deepest):
    made, survivals, load = world(seed, models)
    every = {
        (chain, windows): cost(made, survivals, load, chain, windows)
        for chain in made.chains()
        for windows in itertools.product(range(1, deepest + 1), repeat=len(chain))
    }
    way = cheapest(made, load, survivals, deepest)
    assert way.seconds == pytest.approx(min(every.values()))
    assert every[way.models, way.windows] == pytest.approx(way.seconds)
    for chain in made.chains():
        mine = min(value for (models, _), value in every.items() if models == chain)
        assert along(made, load, survivals, chain, deepest).seconds == pytest.approx(mine)


def test_a_third_level_pays_only_where_it_is_well_aligned():
    made = family((0.03, 0.25, 1.0))
    load = ChainLoad(batch=1, shares=ONE_CLASS)
    pairs = {("middle", "large"): 0.8, ("middle", "target"): 0.75}

    def chosen(aligned):
        given = {**pairs, ("large", "target"): aligned}
        return cheapest(made, load, {pair: constant(a) for pair, a in given.items()})

    assert chosen(0.9).models == ("middle", "large")
    assert chosen(0.85).models == ("middle",)


def sample(plan, made, survivals, load, deepest, rng):
    """One engine step of one request by chance: tokens emitted, tokens proposed."""
    slot = rng.choice(CLASSES, p=load.shares)

    def verified(pair, count):
        survival = survivals[pair][slot]
        alive = rng.uniform()
        return next((k for k in range(count) if alive > survival[k]), count)

    def deliver(level, most):
        if level == 0:
            return min(plan.draft, most)
        out = 0
        for _ in range(plan.rounds[level - 1]):
            below = deliver(level - 1, MAX_DEPTH)
            out += 1 + verified((plan.models[level - 1], plan.models[level]), below)
        return min(out, most)

    proposed = deliver(len(plan.rounds), min(deepest, MAX_DEPTH))
    return 1 + verified((plan.models[-1], made.target), proposed), proposed


@pytest.mark.parametrize(
    "plan",
    [
        Plan(("small",), 4),
        Plan(("small", "middle"), 2, (2,)),
        Plan(("small", "middle"), 3, (3,)),
        Plan(("small", "middle", "large"), 1, (2, 2)),
    ],
)
def test_predicted_tokens_are_those_of_sampled_steps(plan):
    made, survivals, load = world(3, 4)
    rng = np.random.default_rng(0)
    found = predict(plan, made, load, survivals, 6)
    steps = np.array([sample(plan, made, survivals, load, 6, rng) for _ in range(20_000)])
    assert found.tokens == pytest.approx(steps[:, 0].mean(), rel=0.02)
    assert found.proposed == pytest.approx(steps[:, 1].mean(), rel=0.02)


def test_seconds_of_a_step_are_those_of_its_passes():
    made = family((0.01, 0.1, 1.0), token=0.001)
    survivals = {pair: constant(0.0) for pair in made.pairs()}
    load = ChainLoad(batch=4, shares=ONE_CLASS)
    found = predict(Plan(("middle", "large"), 3, (2,)), made, load, survivals)
    # Nothing is accepted: in each round, three passes of one token, and one that verifies three.
    rounds = 2 * (3 * (0.01 + 4 * 0.001) + 0.1 + 4 * 4 * 0.001)
    assert found.proposed == pytest.approx(2.0)
    assert found.seconds == pytest.approx(rounds + 1.0 + 4 * 3 * 0.001)
    assert found.tokens == pytest.approx(1.0)


def test_one_average_over_classes_would_predict_fewer_tokens():
    made = family((0.1, 1.0))
    load = ChainLoad(batch=1, shares=HALVES)
    survival = constant(0.5)
    survival[0], survival[1] = constant(0.95)[0], constant(0.05)[0]
    mixed = predict(Plan(("large",), 6), made, load, {("large", "target"): survival})
    average = predict(Plan(("large",), 6), made, load, {("large", "target"): constant(0.5)})
    assert mixed.tokens > 1.2 * average.tokens


def test_times_are_fitted_by_batch_and_interpolated():
    passes = [
        Pass(batch, tokens, 0.01 + batch * 0.002 + 0.0005 * batch * tokens)
        for batch in (1, 4, 16)
        for tokens in (1, 2, 5, 9)
    ]
    times = fit_times(passes)
    for batch, tokens in [(1, 3), (4, 7), (10, 5), (16, 1)]:
        expected = 0.01 + batch * 0.002 + 0.0005 * batch * tokens
        assert times.seconds(batch, tokens) == pytest.approx(expected, rel=1e-3)
    assert times.seconds(32, 5) == pytest.approx(2 * times.seconds(16, 5))
    with pytest.raises(ValueError, match="no forward passes"):
        fit_times([])
    with pytest.raises(ValueError, match="not a measurement"):
        fit_times([Pass(1, 1, 0.0)])


def known(pairs, trials=500):
    """Acceptance that is settled, constant over positions."""
    acceptance = ChainAcceptance()
    for pair, chance in pairs.items():
        for _ in range(trials):
            acceptance.add(pair, 0, [chance] * MAX_DEPTH, MAX_DEPTH)
    return acceptance


GOOD = {("middle", "large"): 0.9, ("middle", "target"): 0.6, ("large", "target"): 0.95}
BAD = dict.fromkeys(GOOD, 0.01)


def test_the_plan_follows_load_and_acceptance():
    planner = ChainPlanner(family((0.02, 0.1, 1.0), token=0.002))
    alone = ChainLoad(batch=1, shares=ONE_CLASS)
    assert planner.replan(alone, known(GOOD)).plan.models == ("middle", "large")
    assert planner.replan(alone, known(BAD)).plan == NO_CHAIN
    costly = ChainPlanner(family((0.02, 0.1, 1.0), token=0.05))
    light = costly.replan(alone, known(GOOD)).plan
    heavy = costly.replan(replace(alone, batch=64.0), known(GOOD)).plan
    assert light.longest > heavy.longest


def test_a_change_must_pay_for_the_catch_up():
    made = family((0.1, 1.0), token=0.001)
    load = ChainLoad(batch=1, shares=ONE_CLASS, remaining=20, lags={"large": 100_000})
    acceptance = known({("large", "target"): 0.8})
    planner = ChainPlanner(made)
    kept = planner.replan(load, acceptance)
    assert kept.plan == NO_CHAIN
    assert kept.reason == "not worth changing"
    assert kept.best.plan.models == ("large",)
    assert kept.catch_up > kept.saving * load.remaining > 0.0
    changed = planner.replan(replace(load, remaining=1000.0), acceptance)
    assert (changed.plan.models, changed.reason) == (("large",), "better")


def test_small_gains_change_nothing_in_either_direction():
    made = family((0.05, 0.05, 1.0))
    load = ChainLoad(batch=1, shares=ONE_CLASS, remaining=1e6)
    near = {("middle", "large"): 0.0, ("middle", "target"): 0.80, ("large", "target"): 0.79}
    other = {**near, ("large", "target"): 0.81}
    planner = ChainPlanner(made, margin=0.05)
    first = planner.replan(load, known(near)).plan.models
    assert first == ("middle",)
    assert planner.replan(load, known(other)).plan.models == first
    eager = ChainPlanner(made, margin=0.0)
    eager.replan(load, known(near))
    assert eager.replan(load, known(other)).plan.models == ("large",)


def test_where_there_is_to_be_some_chain_it_is_changed_as_reluctantly():
    made = family((0.5, 0.5, 1.0))
    load = ChainLoad(batch=1, shares=ONE_CLASS, remaining=1e6)
    near = {("middle", "large"): 0.0, ("middle", "target"): 0.30, ("large", "target"): 0.29}
    other = {**near, ("large", "target"): 0.31}
    assert ChainPlanner(made).replan(load, known(near)).plan == NO_CHAIN
    planner = ChainPlanner(made, margin=0.05, always=True)
    first = planner.replan(load, known(near))
    assert (first.plan.models, first.reason) == (("middle",), "better")
    kept = planner.replan(load, known(other))
    assert (kept.plan.models, kept.reason) == (("middle",), "not worth changing")
    assert kept.best.plan.models == ("large",)


def test_a_chain_that_does_not_fit_into_memory_is_not_planned():
    made = family((0.02, 0.1, 1.0), memory={"middle": 10, "large": 40})
    load = ChainLoad(batch=1, shares=ONE_CLASS)
    for memory, longest in [(50, 2), (49, 1), (9, 0)]:
        planner = ChainPlanner(made, memory=memory)
        table = planner.table(load, known(GOOD))
        assert max(len(found.plan.models) for found in table) == longest
        assert len(planner.replan(load, known(GOOD)).plan.models) == longest


@given(seed=st.integers(0, 10_000))
def test_whole_rounds_lose_little_against_the_best_plan_of_all(seed):
    made, truth, load = world(seed, 3)
    acceptance = ChainAcceptance()
    for pair, survival in truth.items():
        for slot, row in enumerate(survival):
            for _ in range(20):
                acceptance.add(pair, slot, row, MAX_DEPTH)
    survivals = {pair: acceptance.survival(pair) for pair in truth}
    planner = ChainPlanner(made, deepest=6)
    every = [NO_CHAIN]
    every += [Plan((name,), n) for name in made.drafters for n in range(1, 7)]
    both = tuple(made.drafters)
    every += [Plan(both, n, (r,)) for n in range(1, 7) for r in range(1, 7)]
    best = min(predict(plan, made, load, survivals, 6).per_token for plan in every)
    found = planner.table(load, acceptance)[0]
    assert found.prediction.per_token <= 1.1 * best


@pytest.mark.parametrize(
    "arguments",
    [(("a", "a"), 1, (1,)), (("a",), 0), ((), 2), (("a", "b"), 1, ()), (("a", "b"), 1, (0,))],
)
def test_a_plan_that_does_not_fit_is_refused(arguments):
    with pytest.raises(ValueError, match=r"not|cannot"):
        Plan(*arguments)
