"""Policies of the catalogue in a governor that is driven as an engine drives it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from factories import State, World
from flyball.inference.live_policy import MOST_KEPT, KeptPolicies, LivePolicy, PolicyError
from flyball.inference.orders import OrderBook
from flyball.inference.reports import Mode
from flyball.inference.wire import Pin, SetMode, UsePolicy
from flyball.policies.catalogue.bandits import Bandit
from flyball.policies.policy import Choice, Integers, Policy
from flyball.policies.prices import compute_prices
from flyball.policies.runner import Runner
from flyball.policies.snapshot import analytic
from flyball.policies.spaces import Array
from flyball.policies.step_time import PRIOR
from flyball.policies.structure import Structure
from flyball.policies.transition import Floats, Reason, Transition, check_transition
from test_governor import INFO, K_MAX, Engine, batch, governed, snapshot

STRUCTURE = Structure(K_MAX, PRIOR, compute_prices(0.05))


class Recorded(Policy):
    """Chooses what it is told to, and keeps what it is taught."""

    def __init__(self, action: object = 4, propensity: float = 0.5, explored: bool = False) -> None:
        super().__init__(STRUCTURE)
        self.action, self.propensity, self.explored = action, propensity, explored
        self.taught: list[tuple[Array, Integers, Floats]] = []

    def act(self, raw: Array) -> Choice:
        if isinstance(self.action, Exception):
            raise self.action
        assert raw.shape[0] == 1
        return Choice(
            np.array([self.action]), np.array([self.propensity]), np.array([self.explored])
        )

    def exploit(self, raw: Array) -> Choice:
        return Choice.certain(np.array([1]))

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:
        if isinstance(self.action, OverflowError):
            raise self.action
        self.taught.append((raw, actions, outcomes))


def recorded(policy: Policy, **orders: object) -> tuple[Engine, list[Transition]]:
    governor, sent = governed(policy=LivePolicy("recorded", policy), **orders)
    return Engine(governor), sent


def run(engine: Engine, steps: int = 40) -> None:
    requests = batch(engine.governor, 4)
    for _ in range(steps):
        engine.step(requests)


def test_an_ordered_policy_decides_from_the_next_step_on() -> None:
    governor, sent = governed(runner=Runner(snapshot(7)))
    engine = Engine(governor)
    run(engine)
    assert (governor.beat().policy, governor.beat().version) == ("learned", 7)
    governor.book.receive(UsePolicy("e", "fixed?depth=5"))
    assert engine.step(batch(governor, 4)) == 5
    sent.clear()
    run(engine)
    assert (governor.beat().policy, governor.beat().version) == ("fixed?depth=5", 0)
    last = sent[-1].decision
    assert (last.reason, last.version, last.propensity) == (Reason.POLICY, 0, 1.0)
    governor.book.receive(UsePolicy("e", ""))
    run(engine)
    assert sent[-1].decision.version == 7


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_policy_that_decided_learns_what_came_of_it(ahead: int) -> None:
    policy = Recorded(action=3)
    engine, sent = recorded(policy)
    engine.ahead = ahead
    run(engine, 60)
    assert len(policy.taught) == len(sent) > 4
    for transition, (raw, actions, outcomes) in zip(sent, policy.taught, strict=True):
        check_transition(transition)
        np.testing.assert_array_equal(raw, transition.decision.vector()[None])
        assert actions.tolist() == [3]
        assert outcomes[0, 5] == transition.outcome.emitted


def test_propensity_and_reason_are_the_policys() -> None:
    engine, sent = recorded(Recorded(propensity=0.25, explored=True))
    run(engine)
    assert {(t.decision.propensity, t.decision.reason) for t in sent} == {(0.25, Reason.EXPLORE)}


def test_pins_and_modes_win() -> None:
    policy = Recorded(action=4)
    engine, sent = recorded(policy, pin=Pin("e", 1, 2))
    run(engine)
    assert {t.decision.reason for t in sent} == {Reason.PINNED}
    assert not policy.taught
    for mode, applied, reason, taught in (
        (Mode.OBSERVE, 2, Reason.STATIC, False),
        (Mode.SHADOW, 2, Reason.POLICY, True),
        (Mode.FREEZE, 1, Reason.POLICY, False),
        (Mode.APPLY, 4, Reason.POLICY, True),
    ):
        policy = Recorded(action=4)
        engine, sent = recorded(policy, mode=mode)
        run(engine)
        assert {(t.decision.applied, t.decision.reason) for t in sent} == {(applied, reason)}
        assert {a[0] for _, a, _ in policy.taught} == ({applied} if taught else set())
    engine.governor.book.receive(SetMode("e", Mode.OFF))
    assert engine.step(batch(engine.governor, 4)) == 2


@pytest.mark.parametrize(
    "policy",
    [
        Recorded(action=RuntimeError("broken")),
        Recorded(action=K_MAX + 1),
        Recorded(action=-1),
        Recorded(action=2.5),
        Recorded(action=float("nan")),
        Recorded(propensity=0.0),
        Recorded(propensity=float("nan")),
    ],
)
def test_what_is_no_decision_falls_back_and_is_counted(policy: Recorded) -> None:
    engine, sent = recorded(policy)
    run(engine)
    assert set(engine.depths) == {INFO.static_depth}
    assert {t.decision.reason for t in sent} == {Reason.FALLBACK}
    beat = engine.governor.beat()
    assert beat.refused >= len(sent)
    assert "policy 'recorded' failed" in beat.last_fault
    assert beat.faults == 0
    assert not policy.taught


def test_a_policy_that_cannot_learn_is_counted_and_goes_on() -> None:
    live = LivePolicy("recorded", Recorded())
    transition = World().transition(State(), 3)
    live.policy.action = OverflowError("broken")  # type: ignore[attr-defined]
    with pytest.raises(PolicyError, match="OverflowError: broken"):
        live.learn(transition.decision, transition.outcome)
    policy = Recorded()
    engine, sent = recorded(policy)
    run(engine)
    policy.learn = lambda *_: 1 / 0  # type: ignore[method-assign, return-value]
    sent.clear()
    run(engine)
    assert {t.decision.applied for t in sent} == {4}
    assert engine.governor.beat().refused == len(sent)


def test_a_policy_that_returns_knows_what_it_learned() -> None:
    governor, _ = governed()
    engine = Engine(governor)

    def order(spec: str) -> Bandit:
        governor.book.receive(UsePolicy("e", spec))
        live = governor.book.orders.policy
        assert live is not None
        assert isinstance(live.policy, Bandit)
        run(engine, 80)
        return live.policy

    first = order("ucb")
    learned = first.counts.sum()
    assert learned > 5
    other = order("ucb?c=0.5")
    run(engine, 20)
    settled = first.counts.sum()
    assert other.counts.sum() > 5
    run(engine, 80)
    assert first.counts.sum() == settled  # only who decides learns
    assert order("ucb") is first
    assert first.counts.sum() > settled


def test_step_times_are_the_latest_snapshots() -> None:
    book = OrderBook(INFO)
    book.receive(UsePolicy("e", "analytic"))
    assert book.orders.policy is not None
    policy = book.orders.policy.policy
    np.testing.assert_allclose(policy.structure.coefficients, PRIOR, rtol=1e-6)
    assert policy.prices == compute_prices(INFO.parameter_ratio)
    newer = analytic(3, K_MAX, compute_prices(0.2), 2 * PRIOR.astype(np.float32), 0.0)
    book.receive(newer)
    assert policy.structure is newer.structure
    book.receive(UsePolicy("e", "table"))
    assert book.orders.policy.policy.structure is newer.structure
    begun = OrderBook(INFO, book.orders)
    begun.receive(UsePolicy("e", "goodput"))
    assert begun.orders.policy is not None
    assert begun.orders.policy.policy.structure is newer.structure


@pytest.mark.parametrize("spec", ["turbo", "ucb?c=-1", "fixed?depth=7", "off?" + "x" * 2000])
def test_a_policy_that_does_not_exist_is_refused_and_the_old_one_stays(spec: str) -> None:
    governor, _ = governed()
    governor.book.receive(UsePolicy("e", "off"))
    before = governor.book.orders
    governor.book.receive(UsePolicy("e", spec))
    governor.book.receive(UsePolicy("other", "goodput"))
    assert governor.book.orders == before
    assert governor.book.refused == 1
    assert "refused" in governor.beat().last_fault


def test_only_so_many_are_kept_the_latest() -> None:
    kept = KeptPolicies(INFO, seed=0)
    first = kept.get("ucb?c=0")
    second = kept.get("ucb?c=1")
    for i in range(MOST_KEPT - 2):
        kept.get(f"ucb?c={i + 2}")
    assert kept.get("ucb?c=0") is first
    kept.get("off")
    assert kept.get("ucb?c=0") is first
    assert kept.get("ucb?c=1") is not second


def test_a_seed_makes_it_repeatable() -> None:
    seen = World().observation(State()).tolist()

    def drawn(seed: int) -> list[int]:
        live = KeptPolicies(INFO, seed).get("thompson")
        assert live is not None
        return [live.act(seen, Random())[0] for _ in range(30)]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    "spec", ["off", "fixed", "table", "goodput", "adaspec", "hysteresis", "analytic"]
)
@pytest.mark.parametrize("bandit", ["ucb", "thompson", "linucb"])
def test_policies_take_turns_on_a_running_engine(spec: str, bandit: str) -> None:
    governor, sent = governed()
    engine = Engine(governor, ahead=2)
    random = Random(0)
    for name in (spec, bandit, spec, bandit):
        governor.book.receive(UsePolicy("e", name))
        requests = batch(governor, random.randint(1, 20))
        for _ in range(60):
            engine.step(requests, accept=lambda drafts: random.randint(0, drafts))
    for transition in sent:
        check_transition(transition)
    assert {t.decision.reason for t in sent} <= {Reason.POLICY, Reason.EXPLORE}
    assert governor.beat().refused == governor.beat().faults == 0
