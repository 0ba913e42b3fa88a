"""The policies of the catalogue, each against a problem whose answer is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from factories import COEFFICIENTS, State, World
from flyball.policies.catalogue.bandits import Thompson, Ucb
from flyball.policies.catalogue.goodput import Goodput
from flyball.policies.catalogue.hysteresis import Hysteresis
from flyball.policies.catalogue.objective import WORST, bucket, first_peak, rewards
from flyball.policies.catalogue.registry import describe, make_policy, names
from flyball.policies.policy import Policy
from flyball.policies.prices import Prices, compute_prices
from flyball.policies.spaces import DEPTH_SPACE, MAX_DEPTH, SPEED_INDEX, Array
from flyball.policies.structure import Structure
from flyball.policies.transition import ACCEPTED, CHECKED, ROW_SIZE, TRIED, Floats, outcome_row
from hypothesis import given, settings
from hypothesis import strategies as st

K_MAX = 6
STRUCTURE = Structure(K_MAX, COEFFICIENTS, compute_prices(0.05))
CERTAIN = ("off", "fixed", "table", "goodput", "adaspec", "hysteresis", "ucb", "linucb", "analytic")


def seen(engines: int = 1, speed: float = 1.0, **fields: float) -> Array:
    """Observations of engines in one state."""
    raw = World().observation(State(), speed)
    for name, value in fields.items():
        raw[DEPTH_SPACE.index(name)] = value
    return np.tile(raw, (engines, 1))


def with_acceptance(raw: Array, *positions: float) -> Array:
    """The same observations, with these acceptances; the last holds for all that follow."""
    padded = [*positions, *[positions[-1]] * (MAX_DEPTH - len(positions))]
    raw[:, DEPTH_SPACE.slice("acceptance_1", MAX_DEPTH)] = padded
    raw[:, DEPTH_SPACE.slice("survival_1", MAX_DEPTH)] = np.cumprod(padded)
    return raw


def outcomes(world: World, state: State, depths: np.ndarray) -> Floats:
    """One interval per engine."""
    return np.stack([outcome_row(int(k), world.outcome(state, int(k))) for k in depths])


def drafted(depth: int, accepted: float, steps: int = 8) -> Floats:
    """An interval of one engine that accepted so many tokens per verification."""
    left = accepted * steps
    row = np.zeros((1, ROW_SIZE))
    row[0, :7] = depth, 0.1, steps, 0.1, steps, steps + left, depth * steps
    for j in range(depth):
        row[0, CHECKED.start + j] = row[0, TRIED.start + j] = steps
        row[0, ACCEPTED.start + j] = min(left, steps)
        left -= row[0, ACCEPTED.start + j]
    return row


def played(policy: Policy, world: World, state: State, rounds: int, speed: float) -> list[int]:
    """The depths of a policy that decides and learns, one engine."""
    raw, depths = world.observation(state, speed)[None], []
    for _ in range(rounds):
        actions = policy.act(raw).actions
        policy.learn(raw, actions, outcomes(world, state, actions))
        depths.append(int(actions[0]))
    return depths


def test_off_and_fixed_do_what_they_say() -> None:
    assert make_policy("off", STRUCTURE, 3).act(seen(3)).actions.tolist() == [0, 0, 0]
    assert make_policy("fixed?depth=4", STRUCTURE, 2).act(seen(2)).actions.tolist() == [4, 4]
    assert make_policy("fixed", STRUCTURE).act(seen()).actions.tolist() == [K_MAX]


def test_a_table_respects_its_ranges() -> None:
    policy = make_policy("table?table=1-4:6,5-16:3,17-:1", STRUCTURE, 7)
    raw = seen(7)
    raw[:, DEPTH_SPACE.index("batch")] = [0, 1, 4, 5, 16, 17, 9999]
    assert policy.act(raw).actions.tolist() == [6, 6, 6, 3, 3, 1, 1]
    closed = make_policy("table?table=1-4:6,5-16:3", STRUCTURE)
    assert closed.act(seen(batch=200)).actions.tolist() == [3]


@pytest.mark.parametrize(
    "table",
    ["2-:1", "1-4:6,6-:1", "1-4:6,4-:1", "1-:1,9-:2", "1-4:7", "4-1:2", "1-4", "1-4:x", "1-4:6,"],
)
def test_a_table_that_makes_no_sense_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match=r"'table': option table=.* must be ranges"):
        make_policy(f"table?table={table}", STRUCTURE)


@pytest.mark.parametrize("objective", ["throughput", "J"])
def test_the_default_table_is_the_structures_best_at_mean_acceptance(objective: str) -> None:
    policy = make_policy(f"table?objective={objective}", STRUCTURE)
    speed = 0.4
    for batch in (1, 7, 64, 256):
        raw = seen(speed=speed, batch=batch, context=512, prefill=0)
        raw[:, DEPTH_SPACE.slice("survival_1", MAX_DEPTH)] = 0.7 ** np.arange(1, MAX_DEPTH + 1)
        latency, cost = STRUCTURE.components(raw)[0].T
        weight = speed if objective == "J" else 1.0
        best = (weight * latency + (1 - weight) * cost).argmin()
        # What else is observed is none of a table's business.
        shown = with_acceptance(seen(speed=speed, batch=batch, context=9000), 0.1)
        assert policy.act(shown).actions.tolist() == [best]


def test_a_table_follows_newer_step_times() -> None:
    policy = make_policy("table", STRUCTURE)
    dear = np.array(COEFFICIENTS) + np.array([0, 0, 1.0, 0, 0, 0, 0])
    policy.use_structure(Structure(K_MAX, dear, STRUCTURE.prices))
    assert policy.act(seen(batch=1)).actions.tolist() == [0]


@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0])
def test_analytic_is_the_least_j(speed: float) -> None:
    policy = make_policy("analytic", STRUCTURE)
    for state in (State(), State(batch=16, content="easy"), State(batch=1, content="hard")):
        raw = World(noise=0.0).observation(state, speed)[None]
        latency, cost = STRUCTURE.components(raw)[0].T
        wanted = (speed * latency + (1 - speed) * cost).argmin()
        assert policy.act(raw).actions.tolist() == [wanted]


def test_a_peak_is_the_first_one() -> None:
    values = np.array([[1, 2, 3, 2, 9], [3, 2, 9, 9, 9], [1, 2, 3, 4, 5], [1, 1, 2, 3, 4]])
    assert first_peak(values.astype(np.float32)).tolist() == [2, 0, 4, 0]


def test_goodput_goes_by_the_geometric_formula() -> None:
    raw = seen(batch=4, context=300, prefill=0)
    for start in (0.1, 0.4, 0.7, 0.95):
        policy = make_policy(f"goodput?start={start}&bonus=1", STRUCTURE)
        depths = np.arange(K_MAX + 1)
        tokens = (1 - start ** (depths + 1)) / (1 - start)
        goodput = tokens / World().seconds(State(batch=4, context=300))
        falls = np.flatnonzero(np.diff(goodput) <= 0)
        wanted = falls[0] if len(falls) else K_MAX
        assert policy.act(raw).actions.tolist() == [wanted], start


def test_goodput_stops_at_the_first_decline_which_the_bonus_of_depth_0_may_be() -> None:
    raw = seen(batch=1)
    assert make_policy("goodput?bonus=1", STRUCTURE).act(raw).actions[0] > 1
    # Depth 1 is worth less than twice depth 0, so the search never sees that deeper ones are not.
    assert make_policy("goodput?start=0.99&bonus=2", STRUCTURE).act(raw).actions[0] == 0


def test_goodput_searches_anew_every_twenty_steps() -> None:
    policy = make_policy("goodput", STRUCTURE)
    deep = policy.act(seen(batch=1)).actions[0]
    full = seen(batch=256)
    assert [policy.act(full).actions[0] for _ in range(2)] == [deep, deep]
    assert policy.act(full).actions[0] < deep


def test_goodput_follows_acceptance_step_by_step() -> None:
    policy = make_policy("goodput", STRUCTURE)
    assert isinstance(policy, Goodput)
    alpha = 0.7
    for accepted in (0.0, 2.0):
        policy.learn(seen(), np.array([2]), drafted(2, accepted, steps=5))
        for _ in range(5):
            alpha = 0.85 * alpha + 0.15 * accepted / 2
    assert policy.alpha[0] == pytest.approx(alpha)
    policy.learn(seen(), np.array([0]), drafted(0, 0.0))
    assert policy.alpha[0] == pytest.approx(alpha)  # nothing drafted, nothing learned


def test_adaspec_drafts_while_it_pays() -> None:
    policy = make_policy("adaspec", STRUCTURE)
    assert policy.act(with_acceptance(seen(batch=1), 0.95)).actions[0] == K_MAX
    assert policy.act(with_acceptance(seen(batch=4), 0.9, 0.9, 0.0)).actions[0] == 2
    assert policy.act(with_acceptance(seen(batch=64), 0.02)).actions[0] == 0


def test_adaspec_keeps_within_its_step_time() -> None:
    raw = with_acceptance(seen(batch=4, context=300, prefill=0), 0.95)
    seconds = World().seconds(State(batch=4, context=300))
    for depth in range(K_MAX + 1):
        slo = 1e3 * seconds[depth] + 0.1
        policy = make_policy(f"adaspec?slo_ms={slo}", STRUCTURE)
        assert policy.act(raw).actions[0] == depth
    assert make_policy("adaspec?slo_ms=0.5", STRUCTURE).act(raw).actions[0] == 0


@pytest.mark.parametrize("name", ["goodput", "adaspec"])
def test_objective_j_weighs_dollars(name: str) -> None:
    raw = with_acceptance(seen(speed=0.0, batch=1), 0.9)
    assert make_policy(name, STRUCTURE).act(raw).actions[0] > 0
    assert make_policy(f"{name}?objective=J", STRUCTURE).act(raw).actions[0] == 0
    raw[:, SPEED_INDEX] = 1.0
    assert make_policy(f"{name}?objective=J", STRUCTURE).act(raw).actions[0] > 0


def hysteresis_path(policy: Hysteresis, accepted: list[float]) -> list[int]:
    """Depths while so many tokens would be accepted per verification."""
    path = []
    for tokens in accepted:
        depth = int(policy.act(seen()).actions[0])
        policy.learn(seen(), np.array([depth]), drafted(depth, min(tokens, depth)))
        path.append(depth)
    return path


def test_hysteresis_climbs_falls_and_does_not_flap() -> None:
    policy = make_policy("hysteresis?tiers=1,3,6", STRUCTURE)
    assert isinstance(policy, Hysteresis)
    assert hysteresis_path(policy, [6.0] * 12)[-1] == 6
    assert hysteresis_path(policy, [0.0] * 12)[-1] == 1
    assert hysteresis_path(policy, [3.0] * 12)[-1] in {3, 6}
    # Around a threshold, on either side by less than the gap: at most one move.
    path = hysteresis_path(policy, [2.45, 2.55] * 50)
    assert sum(a != b for a, b in pairwise(path)) <= 1


def test_hysteresis_dwells() -> None:
    policy = make_policy("hysteresis?tiers=1,2,3,4,5,6&dwell=5&weight=1", STRUCTURE)
    assert isinstance(policy, Hysteresis)
    path = hysteresis_path(policy, [0.0] * 30)
    assert path == [4] * 5 + [3] * 5 + [2] * 5 + [1] * 15


@pytest.mark.parametrize("tiers", ["", "0,1", "3,1", "1,1", "1,x", "1,-3", "1,,3", "1;3", "٣"])
def test_tiers_that_make_no_sense_are_refused(tiers: str) -> None:
    with pytest.raises(ValueError, match=r"option tiers=.* must be rising depths"):
        make_policy(f"hysteresis?tiers={tiers}", STRUCTURE)


@pytest.mark.parametrize("name", ["ucb", "thompson", "linucb"])
@pytest.mark.parametrize(("speed", "state"), [(0.0, State()), (1.0, State(batch=1))])
def test_bandits_find_the_best_arm(name: str, speed: float, state: State) -> None:
    world = World()
    latency, cost = world.components(state).T
    j = speed * latency + (1 - speed) * cost
    depths = played(make_policy(name, STRUCTURE, seed=1), world, state, 300, speed)
    late = j[depths[150:]].mean()
    assert late < 1.06 * j.min()
    assert late < j.mean()


def test_ucb_tries_every_arm_once_and_the_rest_by_its_bound() -> None:
    world, policy = World(), make_policy("ucb?c=0.4", STRUCTURE)
    assert isinstance(policy, Ucb)
    assert sorted(played(policy, world, State(), K_MAX + 1, 1.0)) == list(range(K_MAX + 1))
    played(policy, world, State(), 93, 1.0)
    cell = policy.counts[0, 2], policy.sums[0, 2]  # batches of 4 to 7
    assert cell[0].sum() == 100
    assert policy.counts.sum() == 100
    bound = cell[1] / cell[0] + 0.4 * np.sqrt(2 * np.log(100) / cell[0])
    chosen = policy.act(world.observation(State(), 1.0)[None])
    assert chosen.actions[0] == bound.argmax()
    assert chosen.explored[0] == (bound.argmax() != (cell[1] / cell[0]).argmax())


def test_bandits_of_another_batch_size_begin_anew() -> None:
    raw = seen(6)
    raw[:, DEPTH_SPACE.index("batch")] = [0, 1, 3, 4, 255, 100_000]
    assert bucket(raw).tolist() == [0, 0, 1, 2, 7, 8]
    world, policy = World(), make_policy("ucb", STRUCTURE)
    played(policy, world, State(batch=4), 40, 1.0)
    assert played(policy, world, State(batch=16), K_MAX + 1, 1.0) == list(range(K_MAX + 1))


@pytest.mark.parametrize("name", ["ucb", "thompson"])
def test_a_discount_forgets(name: str) -> None:
    policy = make_policy(f"{name}?discount=0.9", STRUCTURE)
    assert isinstance(policy, Ucb | Thompson)
    played(policy, World(), State(), 300, 1.0)
    assert policy.counts.sum() == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("name", ["ucb", "thompson", "linucb"])
def test_exploiting_never_explores(name: str) -> None:
    world, policy = World(), make_policy(name, STRUCTURE, seed=2)
    played(policy, world, State(), 60, 1.0)
    raw = world.observation(State(), 1.0)[None]
    chosen = [policy.exploit(raw) for _ in range(20)]
    assert len({int(c.actions[0]) for c in chosen}) == 1
    assert not any(c.explored[0] for c in chosen)
    assert {c.propensities[0] for c in chosen} == {1.0}


def test_thompsons_propensities_are_those_of_its_actions() -> None:
    world, policy = World(), make_policy("thompson?noise=0.5&draws=256", STRUCTURE, seed=3)
    played(policy, world, State(), 30, 1.0)
    raw, rounds = world.observation(State(), 1.0)[None], 3000
    taken = np.zeros(K_MAX + 1)
    inverse = np.zeros(K_MAX + 1)
    for _ in range(rounds):
        choice = policy.act(raw)
        action, propensity = choice.actions[0], choice.propensities[0]
        assert 1 / 256 <= propensity <= 1
        taken[action] += 1
        inverse[action] += 1 / propensity
    frequent = taken > 0.05 * rounds
    assert frequent.sum() > 1
    # E[1{a} / propensity] = 1 for every arm: the frequencies cancel.
    np.testing.assert_allclose(inverse[frequent] / rounds, 1.0, atol=0.15)


def test_linucb_is_ridge_regression() -> None:
    world, policy = World(), make_policy("linucb?alpha=0&ridge=2", STRUCTURE)
    from flyball.policies.catalogue.linucb import features

    rng, xs, ys = np.random.default_rng(0), [], []
    for _ in range(60):
        state = State(batch=int(rng.integers(1, 40)), context=float(rng.integers(50, 900)))
        raw = world.observation(state, float(rng.random()))[None]
        rows = outcomes(world, state, np.array([3]))
        policy.learn(raw, np.array([3]), rows)
        xs.append(features(raw)[0])
        ys.append(rewards(STRUCTURE, raw, rows, "J")[0])
    x, y = np.array(xs), np.array(ys)
    weights = np.linalg.solve(x.T @ x + 2 * np.eye(x.shape[1]), x.T @ y)
    np.testing.assert_allclose(policy._weights[0, 3], weights, atol=1e-8)
    assert not policy._weights[0, 2].any()


@pytest.mark.parametrize("prices", [compute_prices(0.05), Prices(second=1e-4)])
def test_rewards_are_the_true_components(prices: Prices) -> None:
    structure = Structure(K_MAX, COEFFICIENTS, prices)
    world, state = World(noise=0.0), State(batch=1, context=100)
    for speed in (0.0, 0.3, 1.0):
        raw = world.observation(state, speed)[None]
        row = outcome_row(4, world.outcome(state, 4))[None]
        seconds = world.seconds(state)
        emitted = row[0, 5] / row[0, 4]
        latency = seconds[4] / seconds[0] / emitted
        spent = prices.verified * 5 + prices.drafted * 4 + prices.second * seconds[4]
        cost = spent / (prices.verified + prices.second * seconds[0]) / emitted
        wanted = -(speed * latency + (1 - speed) * cost)
        assert rewards(structure, raw, row, "J")[0] == pytest.approx(wanted, rel=1e-5)
        faster = rewards(structure, raw, row, "throughput")[0]
        assert faster == pytest.approx(1 / latency, rel=1e-5)


def test_rewards_are_bounded_and_nothing_measured_is_none() -> None:
    raw = seen(2)
    rows = np.zeros((2, ROW_SIZE))
    rows[0] = drafted(3, 1.0)[0]
    rows[0, [1, 3]] = 1e6
    j = rewards(STRUCTURE, raw, rows, "J")
    assert j[0] == -WORST
    assert np.isnan(j[1])
    assert np.isnan(rewards(STRUCTURE, raw, rows, "throughput")[1])


@pytest.mark.parametrize("name", ["goodput", "hysteresis", "ucb", "thompson", "linucb"])
def test_nothing_measured_teaches_nothing(name: str) -> None:
    policy = make_policy(name, STRUCTURE)
    raw = seen()
    before = policy.exploit(raw).actions[0]
    for _ in range(50):
        policy.learn(raw, np.array([2]), np.zeros((1, ROW_SIZE)))
    state = {k: v for k, v in vars(policy).items() if isinstance(v, np.ndarray)}
    assert not any(np.isnan(v).any() for v in state.values())
    assert policy.exploit(raw).actions[0] == before


@pytest.mark.parametrize("name", CERTAIN)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_many_engines_are_as_many_single_ones(name: str, data: st.DataObject) -> None:
    engines, rounds = 3, 8
    seed = data.draw(st.integers(0, 2**32 - 1))
    objective = data.draw(st.sampled_from(["J", "throughput"]))
    options = {option.name for option in describe(name).options}
    spec = f"{name}?objective={objective}" if "objective" in options else name
    together = make_policy(spec, STRUCTURE, engines)
    alone = [make_policy(spec, STRUCTURE) for _ in range(engines)]
    rng, world = np.random.default_rng(seed), World()
    contents = ["easy", "mixed", "hard"]
    for _ in range(rounds):
        states = [
            State(int(rng.integers(1, 99)), contents[rng.integers(3)]) for _ in range(engines)
        ]
        raw = np.stack([world.observation(s, float(rng.random())) for s in states])
        choice = together.act(raw)
        for i, policy in enumerate(alone):
            assert policy.act(raw[i : i + 1]).actions[0] == choice.actions[i]
        rows = np.concatenate(
            [outcomes(world, s, choice.actions[i : i + 1]) for i, s in enumerate(states)]
        )
        together.learn(raw, choice.actions, rows)
        for i, policy in enumerate(alone):
            policy.learn(raw[i : i + 1], choice.actions[i : i + 1], rows[i : i + 1])


@pytest.mark.parametrize("name", ["goodput", "hysteresis", "ucb", "thompson", "linucb"])
def test_what_one_engine_learns_is_its_own(name: str) -> None:
    policy = make_policy(name, STRUCTURE, 2)
    raw, rows = seen(2), np.zeros((2, ROW_SIZE))
    rows[0] = drafted(3, 0.2)[0]
    before = {k: v.copy() for k, v in vars(policy).items() if _by_engine(v)}
    for _ in range(20):
        policy.learn(raw, np.array([3, 3]), rows)
    after = {k: v for k, v in vars(policy).items() if _by_engine(v)}
    assert any((after[k][0] != before[k][0]).any() for k in before)
    for k, value in before.items():
        np.testing.assert_array_equal(after[k][1], value[1])


def _by_engine(value: object) -> bool:
    return isinstance(value, np.ndarray) and len(value) == 2


@pytest.mark.parametrize("name", names())
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_is_seen_the_choice_is_one(name: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    k_max = data.draw(st.integers(1, MAX_DEPTH))
    structure = Structure(k_max, COEFFICIENTS, compute_prices(0.05))
    policy = make_policy(name, structure, 4)
    low = np.array([f.low for f in DEPTH_SPACE.fields])
    high = np.array([f.high for f in DEPTH_SPACE.fields])
    for _ in range(5):
        raw = (low + (high - low) * rng.random((4, DEPTH_SPACE.size))).astype(np.float32)
        raw[0] = 0.0
        choice = policy.act(raw)
        assert choice.actions.dtype == np.int64
        assert ((choice.actions >= 0) & (choice.actions <= k_max)).all()
        assert ((choice.propensities > 0) & (choice.propensities <= 1)).all()
        assert choice.explored.dtype == bool
        world = World(k_max=k_max)
        policy.learn(raw, choice.actions, outcomes(world, State(), choice.actions))


def test_a_name_that_does_not_exist_lists_those_that_do() -> None:
    for spec in ("", "turbo", "ucb1?c=1", "UCB", "x" * 5000):
        with pytest.raises(ValueError, match=r"no policy .*off, fixed, table.*linucb") as refused:
            make_policy(spec, STRUCTURE)
        assert len(str(refused.value)) < 300
    with pytest.raises(ValueError, match="no policy"):
        describe("turbo")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("ucb?c=-1", r"option c='-1' must be a number from 0"),
        ("ucb?c=nan", r"option c='nan' must be"),
        ("ucb?c=inf", r"option c='inf' must be"),
        ("ucb?c=", r"option c='' must be"),
        ("ucb?c", r"option c='' must be"),
        ("ucb?c=1&c=2", r"'c' is given twice"),
        ("ucb?d=1", r"no option 'd=1'; there are .*discount .*c \(a number"),
        ("ucb?c=1&", r"no option ''"),
        ("ucb?objective=fun", r"option objective='fun' must be J or throughput"),
        ("off?depth=1", r"no option 'depth=1'; it has none"),
        ("fixed?depth=7", r"option depth='7' must be an integer in \[0, 6\]"),
        ("fixed?depth=1.5", r"option depth='1.5' must be an integer"),
        ("goodput?every=0", r"option every='0' must be a whole number from 1"),
        ("thompson?draws=100000", r"option draws='100000' must be .*4096"),
    ],
)
def test_an_option_that_will_not_do_is_named(spec: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_policy(spec, STRUCTURE)


@pytest.mark.parametrize("name", names())
def test_every_policy_explains_itself_and_its_defaults_are_allowed(name: str) -> None:
    entry = describe(name)
    assert entry.name == name
    assert entry.about
    assert all(option.about for option in entry.options)
    given = [f"{o.name}={o.default}" for o in entry.options if o.default not in {None, ""}]
    made = make_policy(f"{name}?{'&'.join(given)}", STRUCTURE)
    assert made.name == name
