"""The guard inside the governor: an engine stands whatever its controller sends."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from flyball.inference.governor import Governor
from flyball.inference.guard_state import GuardSettings
from flyball.inference.orders import Orders
from flyball.inference.reports import FromEngine, Mode
from flyball.inference.wire import Pin, SetMode, UsePolicy, decode, encode
from flyball.policies.prices import compute_prices
from flyball.policies.runner import Runner
from flyball.policies.snapshot import VALUES, Meta, Snapshot
from flyball.policies.spaces import DEPTH_SPACE
from flyball.policies.step_time import PRIOR
from flyball.policies.transition import Reason, Transition, check_transition
from test_governor import INFO, K_MAX, Engine, batch


def insists(depth: int, number: int = 1, epsilon: float = 0.0, linear: bool = True) -> Snapshot:
    """A snapshot that is sound by every check, and takes one depth whatever it sees."""
    outputs = (K_MAX + 1) * VALUES
    bias = np.zeros(outputs, np.float32)
    bias[VALUES * depth : VALUES * depth + 2] = -50.0  # "fifty times better than it is"
    bias[VALUES * depth + 2] = 50.0
    weights = {"layer0.weight": np.zeros((outputs, DEPTH_SPACE.size), np.float32)}
    weights["layer0.bias"] = bias
    meta = Meta(number, K_MAX, compute_prices(0.05), epsilon, 0.0, linear)
    return Snapshot(meta, weights, PRIOR.astype(np.float32))


class Slow(Engine):
    """An engine on which a draft costs a third of a step, and one draft in two is accepted."""

    def __init__(self, governor: Governor, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(governor)
        self.rng = np.random.default_rng(0)
        self.requests = batch(governor, 4)
        monkeypatch.setattr("time.perf_counter", lambda: self.clock)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step(self.requests, accept=lambda drafts: int(self.rng.integers(0, 2) * drafts))

    def land(self) -> None:
        flight, verifications = self.air.pop(0)
        drafts = verifications[0][1]
        emitted = sum(1 + accepted for _, _, accepted in verifications)
        self.clock += 0.02 * (1.0 + 0.5 * drafts**1.5) * self.rng.uniform(0.9, 1.1)
        self.governor.land(flight, self.clock, verifications, emitted, 0)


def governed(**orders: object) -> tuple[Governor, list[Transition]]:
    sent: list[Transition] = []
    keep = lambda t: sent.append(t) or True  # noqa: E731
    guard = GuardSettings(dwell=20.0)
    governor = Governor(INFO, keep, Orders(**orders), seed=0, guard=guard)  # type: ignore[arg-type]
    return governor, sent


def reasons(sent: list[Transition]) -> Counter[Reason]:
    return Counter(t.decision.reason for t in sent)


def test_a_lying_controller_costs_little(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    governor, sent = governed(speed=1.0)
    engine = Slow(governor, monkeypatch)
    engine.run(200)
    governor.book.receive(insists(6))
    with caplog.at_level(logging.WARNING, "flyball"):
        engine.run(8 * 500)
    fallen = next(i for i, t in enumerate(sent) if t.decision.reason is Reason.GUARD)
    assert fallen < 25 + 300
    assert all(t.decision.applied == 2 for t in sent if t.decision.reason is Reason.GUARD)
    assert governor.beat().guard.falls >= 1
    assert "the policy's J was" in governor.beat().guard.reason
    assert "guard: fallen back to depth 2" in caplog.text
    for transition in sent:
        check_transition(transition)
    assert governor.faults == 0


def test_recovers_when_a_good_snapshot_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    governor, sent = governed(speed=1.0, runner=Runner(insists(6)))
    engine = Slow(governor, monkeypatch)
    while governor.beat().guard.state != "fallen back":
        engine.run(8)
    governor.book.receive(insists(1, number=2))  # on this engine the best depth
    left = governor.beat().guard.seconds_left
    assert 19.0 < left <= 20.0
    until = engine.clock + left
    while engine.clock <= until:
        engine.run(8)
    sent.clear()
    engine.run(8 * 600)
    assert governor.beat().guard.state == "watching"
    assert governor.beat().guard.falls == 1
    counts = reasons(sent)
    assert counts[Reason.POLICY] > 450
    assert counts[Reason.REFERENCE] > 20
    ratio = governor.beat().guard.ratio
    assert ratio is not None
    assert ratio < 1.0


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE, Mode.SHADOW])
def test_does_not_act_where_nothing_is_applied(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    governor, sent = governed(speed=1.0, runner=Runner(insists(6)), mode=mode)
    engine = Slow(governor, monkeypatch)
    engine.run(8 * 300)
    assert not {Reason.REFERENCE, Reason.GUARD} & set(reasons(sent))
    assert governor.beat().guard.state == "off"
    assert set(engine.depths) == {2}


def test_acts_in_freeze_and_leaves_pins_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(insists(6, epsilon=0.2))
    governor, sent = governed(speed=1.0, runner=runner, mode=Mode.FREEZE)
    engine = Slow(governor, monkeypatch)
    while governor.beat().guard.state != "fallen back":
        engine.run(8)
    assert Reason.EXPLORE not in reasons(sent)
    governor.book.receive(Pin("e", 1, 6))
    engine.run(40)
    assert set(engine.depths[-32:]) == {6}
    assert governor.beat().guard.state == "off"
    governor.book.receive(Pin("e", 2, None))
    governor.book.receive(SetMode("e", Mode.APPLY))
    sent.clear()
    engine.run(80)
    assert sent[-1].decision.reason is Reason.GUARD


def test_stands_down_where_the_reward_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    # A reward of the user's own may want what latency and cost do not.
    governor, sent = governed(speed=1.0, runner=Runner(insists(6, linear=False)))
    engine = Slow(governor, monkeypatch)
    engine.run(8 * 300)
    assert set(reasons(sent)) == {Reason.POLICY}
    assert governor.beat().guard.state == "off"


@pytest.mark.parametrize(
    "orders",
    [
        [UsePolicy("e", "fixed?depth=6")],
        [insists(6, number=2, linear=False)],
        [SetMode("e", Mode.SHADOW)],
        [Pin("e", 1, 6)],
    ],
    ids=["another policy", "another reward", "shadow", "a pin"],
)
def test_what_it_does_not_guard_is_no_evidence(
    orders: list[UsePolicy | Snapshot | SetMode | Pin], monkeypatch: pytest.MonkeyPatch
) -> None:
    governor, _ = governed(speed=1.0, runner=Runner(insists(1)))
    engine = Slow(governor, monkeypatch)
    engine.run(8 * 200)
    assert governor.beat().guard.ratio is not None  # both arms were seen
    for order in orders:
        governor.book.receive(order)
    engine.run(8 * 2)  # until the last guarded decision's outcome is there
    before = governor.beat().guard
    assert before.state == "off"
    engine.run(8 * 200)
    after = governor.beat().guard
    assert (after.evidence, after.ratio, after.falls) == (before.evidence, before.ratio, 0)


def test_a_reference_is_logged_with_its_true_propensity(monkeypatch: pytest.MonkeyPatch) -> None:
    governor, sent = governed(speed=1.0, runner=Runner(insists(1, epsilon=0.14)))
    engine = Slow(governor, monkeypatch)
    engine.run(8 * 1500)
    decisions = [t.decision for t in sent if t.decision.reason is Reason.REFERENCE]
    assert len(decisions) > 20
    # A share of 4 %, or of 1 % where the policy is surely better, and what the policy explores of
    # the rest, unless the budget was used up.
    true = {round(s + (1 - s) * p, 4) for s in (0.04, 0.01) for p in (0.0, 0.02)}
    assert {round(d.propensity, 4) for d in decisions[-20:]} <= true
    assert {d.action for d in decisions} == {2}


def test_a_beat_with_a_guard_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    governor, _ = governed(speed=1.0, runner=Runner(insists(6)))
    engine = Slow(governor, monkeypatch)
    engine.run(8 * 300)
    beat = governor.beat()
    assert decode(encode(beat), FromEngine) == beat
