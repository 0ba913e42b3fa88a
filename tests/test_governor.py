"""The governor, driven as an engine's adapter drives it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from flyball.inference.attainment import Attained
from flyball.inference.flight import Flight, checked_of
from flyball.inference.governor import FAULT_LIMIT, Governor
from flyball.inference.moment import Load
from flyball.inference.orders import Orders
from flyball.inference.reports import EngineInfo, Mode
from flyball.inference.requests import NAMED, RequestState
from flyball.inference.wire import Knob, Pin, SetMode
from flyball.policies.prices import compute_prices
from flyball.policies.runner import Runner
from flyball.policies.slo import NO_SLO, Slo
from flyball.policies.snapshot import Snapshot, analytic
from flyball.policies.spaces import BEHAVIOURS, DEPTH_SPACE, MAX_DEPTH
from flyball.policies.step_time import PRIOR
from flyball.policies.transition import Reason, Transition, check_transition

K_MAX = 6
INFO = EngineInfo(
    engine="e", target="t", draft="d", k_max=K_MAX, static_depth=2, parameter_ratio=0.05
)


def snapshot(number: int = 1, epsilon: float = 0.0, k_max: int = K_MAX) -> Snapshot:
    return analytic(number, k_max, compute_prices(0.05), PRIOR.astype(np.float32), epsilon)


class Engine:
    """A pipeline of steps around a governor, with a given number of steps in the air."""

    def __init__(self, governor: Governor, ahead: int = 1, prepares: bool = True) -> None:
        self.governor = governor
        self.prepares = prepares
        self.ahead = ahead
        self.air: list[tuple[Flight, list[tuple[RequestState, int, int]]]] = []
        self.drafted = 0  # what the step before drafted
        self.clock = 0.0
        self.depths: list[int] = []

    def step(
        self,
        requests: dict[str, RequestState],
        accept: Callable[[int], int] = lambda drafts: drafts,
        prefill: int = 0,
        cut: Callable[[int], int] = lambda drafts: drafts,
    ) -> int:
        """One step; the first of several requests verifies no more drafts than ``cut`` says."""
        depth = self.governor.depth(max(len(requests), 1), lambda: Load(3, 0.25))
        n = len(requests)
        drafts = [self.drafted] * n
        if n > 1:
            drafts[0] = cut(drafts[0])
        checked = checked_of(np.bincount(drafts, minlength=MAX_DEPTH + 1).tolist())
        flight = Flight(requests, checked, prefill, 100 * n, 10 * n)
        self.governor.launch(flight, depth)
        if self.prepares:
            self.governor.prepare(max(len(requests), 1), lambda: Load(3, 0.25))
        verifications = [(s, k, accept(k)) for s, k in zip(requests.values(), drafts, strict=True)]
        self.air.append((flight, verifications))
        self.drafted = depth
        self.depths.append(depth)
        if len(self.air) >= self.ahead:
            self.land()
        return depth

    def land(self) -> None:
        flight, verifications = self.air.pop(0)
        emitted = sum(1 + accepted for _, _, accepted in verifications)
        self.clock = max(self.clock, flight.launched) + 0.01
        self.governor.land(flight, self.clock, verifications, emitted, 0)


def governed(**orders: object) -> tuple[Governor, list[Transition]]:
    sent: list[Transition] = []
    keep = lambda t: sent.append(t) or True  # noqa: E731
    return Governor(INFO, keep, Orders(**orders), seed=0), sent  # type: ignore[arg-type]


def batch(governor: Governor, size: int, **hints: object) -> dict[str, RequestState]:
    return {str(i): governor.admit(dict(hints)) for i in range(size)}


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_outcomes_belong_to_the_decision_that_drafted_them(ahead: int) -> None:
    governor, sent = governed(runner=Runner(snapshot(epsilon=1.0)))
    engine = Engine(governor, ahead)
    requests = batch(governor, 4)
    for _ in range(200):
        engine.step(requests)
    assert len(sent) > 15
    assert len({t.decision.applied for t in sent}) >= 5
    for transition, after in pairwise(sent):
        check_transition(transition)
        outcome, depth = transition.outcome, transition.decision.applied
        # The eighth step drafts for the next interval, to another depth perhaps.
        steps = 8 if after.decision.applied == depth else 7
        assert outcome.steps == steps
        assert outcome.request_steps == 4 * steps
        assert outcome.drafted == 4 * steps * depth
        assert outcome.verified == 4 * steps * (1 + depth)
        assert outcome.checked == (4 * steps,) * depth + (0,) * (8 - depth)
        assert outcome.emitted == 4 * steps * (1 + depth)  # every draft is accepted here
        assert outcome.tried == outcome.accepted == (32,) * depth + (0,) * (8 - depth)
        assert outcome.seconds == pytest.approx(steps * 0.01, rel=0.2)
        assert outcome.request_seconds == pytest.approx(4 * outcome.seconds)


def test_steps_that_draft_deeper_than_decided_or_verify_such_drafts_count_for_nobody() -> None:
    def counted(deeper: int) -> int:
        governor, sent = governed()
        engine = Engine(governor)
        requests = batch(governor, 1)
        decided = governor.depth
        for step in range(33):
            more = deeper if step in (9, 10, 12) else 0
            governor.depth = lambda *a, more=more: decided(*a) + more  # type: ignore[method-assign]
            engine.step(requests)
        return sum(t.outcome.steps for t in sent)

    # Steps 9, 10 and 12 draft deeper; 10, 11 and 13 verify what they drafted.
    assert counted(deeper=2) == counted(deeper=0) - 5


def test_totals_count_every_step() -> None:
    governor, _ = governed(runner=Runner(snapshot(epsilon=1.0)))
    engine = Engine(governor)
    requests = batch(governor, 4)
    depths = [engine.step(requests) for _ in range(100)]
    engine.step({}, prefill=50)
    totals = governor.beat().totals
    assert (totals.steps, totals.request_steps, totals.prefill) == (101, 400, 50)
    assert totals.drafted == 4 * sum(depths)
    assert totals.emitted == totals.verified == 4 * (100 + sum(depths[:-1]))
    assert totals.seconds == pytest.approx(1.01, rel=0.01)


def test_an_idle_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    governor, _ = governed()
    engine = Engine(governor)
    engine.step(batch(governor, 4))
    assert (governor.beat().running, governor.beat().waiting) == (4, 3)
    monkeypatch.setattr("time.perf_counter", lambda: engine.clock + 1.0)
    assert (governor.beat().running, governor.beat().waiting) == (0, 0)


def test_transitions_chain_through_their_observations() -> None:
    governor, sent = governed(runner=Runner(snapshot(epsilon=0.5)))
    engine = Engine(governor)
    requests = batch(governor, 2)
    for _ in range(100):
        engine.step(requests)
    assert [t.decision.number for t in sent] == list(range(1, len(sent) + 1))
    for one, next_one in pairwise(sent):
        assert one.following == next_one.decision.observation
        assert next_one.outcome.switched == (one.decision.applied != next_one.decision.applied)


def test_outcomes_tell_by_position_what_was_cut_short() -> None:
    governor, sent = governed(pin=Pin("e", 1, 4))
    engine = Engine(governor)
    requests = batch(governor, 3)
    for _ in range(40):
        engine.step(requests, cut=lambda drafts: min(1, drafts))
    for transition in sent[1:]:
        check_transition(transition)
        outcome = transition.outcome
        assert outcome.checked == (24, 16, 16, 16, 0, 0, 0, 0)
        assert (outcome.drafted, outcome.verified) == (96, 96)
        assert outcome.tried == outcome.accepted == outcome.checked


def test_positions_after_a_rejection_are_not_tried() -> None:
    governor, sent = governed(pin=Pin("e", 1, 4))
    engine = Engine(governor)
    requests = batch(governor, 1)
    for _ in range(40):
        engine.step(requests, accept=lambda drafts: min(1, drafts))
    outcome = sent[2].outcome
    assert outcome.tried[:4] == (8, 8, 0, 0)
    assert outcome.accepted[:4] == (8, 0, 0, 0)
    assert outcome.emitted == 16


def test_observation_reports_what_the_engine_and_the_drafts_did() -> None:
    governor, sent = governed(pin=Pin("e", 1, 3), speed=0.25)
    engine = Engine(governor)
    requests = batch(governor, 4)
    for _ in range(400):
        engine.step(requests, accept=lambda drafts: min(2, drafts))
    seen = DEPTH_SPACE.describe(sent[-1].decision.vector())
    assert seen["batch"] == 4
    assert seen["waiting"] == 3
    assert seen["kv_usage"] == 0.25
    assert seen["context"] == 100
    assert seen["remaining"] == 10
    assert seen["yield"] == pytest.approx(3.0, abs=0.05)
    assert seen["step_ms"] == pytest.approx(10, rel=0.2)
    assert seen["depth"] == 3
    assert seen["speed"] == 0.25
    assert seen["acceptance_1"] > 0.95
    assert seen["acceptance_2"] > 0.95
    assert seen["acceptance_3"] < 0.05
    assert seen["share_2"] == 1.0  # two of three accepted: BEHAVIOURS[2], mixed


def test_requests_without_a_class_are_told_by_their_behaviour() -> None:
    governor, _ = governed(pin=Pin("e", 1, 4))
    engine = Engine(governor)
    easy, hard = governor.admit(None), governor.admit({})
    named = governor.admit({"flyball_class": "code"})
    for _ in range(40):
        engine.step({"a": easy, "b": named})
        engine.step({"c": hard}, accept=lambda _: 0)
    assert BEHAVIOURS[easy.slot] == "easy"
    assert BEHAVIOURS[hard.slot] == "hard"
    assert governor.beat().info.classes[named.slot] == "code"


def test_speed_is_the_mean_of_the_requests_own() -> None:
    governor, sent = governed(speed=0.2)
    engine = Engine(governor)
    requests = {"a": governor.admit({"flyball_speed": 1.0}), "b": governor.admit(None)}
    for _ in range(30):
        engine.step(requests)
    assert sent[-1].decision.speed == pytest.approx(0.6)


@pytest.mark.parametrize("hint", ["fast", None, 2, -0.1, True, [1]])
def test_hints_that_make_no_sense_are_as_if_not_there(hint: object) -> None:
    governor, _ = governed()
    state = governor.admit({"flyball_speed": hint, "flyball_class": 7})
    assert state.speed is None
    assert state.named is None
    beat = governor.beat()
    assert beat.ignored == 2
    assert beat.last_ignored == f"flyball_speed must be a number in [0, 1]: {hint!r}"


def test_a_name_too_many_is_a_hint_that_was_ignored() -> None:
    governor, _ = governed()
    for number in range(NAMED + 2):
        state = governor.admit({"flyball_class": f"class {number}", "flyball_speed": 0.5})
    governor.admit({"flyball_class": "class 0", "other": 1})
    governor.admit({})
    assert state.named is None
    assert governor.beat().ignored == 2
    assert f"'class {NAMED + 1}'" in governor.beat().last_ignored


def test_a_misspelt_hint_is_counted() -> None:
    governor, _ = governed()
    state = governor.admit({"flyball_sped": 1.0, "flyball_speed": 0.5, "other": 1, 2: 3})
    assert state.speed == 0.5
    assert governor.beat().ignored == 1
    assert governor.beat().last_ignored.startswith("flyball_sped is none of flyball_class, fl")


def test_objectives_that_reach_the_engine_unchecked_are_checked_here() -> None:
    governor, _ = governed()
    asked = {"flyball_slo_class": "tight", "flyball_slo_ttft_ms": 70, "flyball_slo_tpot_ms": -1}
    assert governor.admit(asked).slo == Slo(ttft=0.07, tpot=0.05, name="tight")
    assert governor.beat().ignored == 1
    assert governor.beat().last_ignored.startswith("flyball_slo_tpot_ms must be a number of milli")
    assert governor.admit({"flyball_slo_class": "tigth"}).slo is NO_SLO
    assert "there are: tight, loose, none" in governor.beat().last_ignored
    assert governor.admit({"flyball_class": "code"}).slo is NO_SLO
    assert governor.beat().ignored == 2


def test_a_class_that_promises_nothing_hurries_nobody_and_is_counted() -> None:
    governor, _ = governed()
    state = governor.admit({"flyball_slo_class": "none"})
    assert not governor.planner.hurried
    state.emit(1, state.arrived + 0.6)
    assert governor.finish(state) == ""
    assert governor.beat().slo == {"none": Attained(1, 1, 1, 1, 1, 0)}
    governor.admit({"flyball_slo_class": "tight"})
    governor.admit({"flyball_slo_class": "none"})
    assert governor.planner.hurried


def test_requests_with_objectives_are_counted_when_they_end() -> None:
    governor, _ = governed()
    state = governor.admit({"flyball_slo_ttft_ms": 500, "flyball_slo_tpot_ms": 150})
    state.emit(1, state.arrived + 0.6)
    state.emit(4, state.arrived + 1.0)
    assert (state.emitted, state.lost()) == (5, "ttft")
    state.missed = "tpot"
    assert governor.finish(state) == "ttft+tpot"
    assert governor.finish(governor.admit(None)) == ""
    assert governor.beat().slo == {"": Attained(1, 0, 1, 1, 0, 1)}


def test_knob_takes_effect_at_the_next_step() -> None:
    governor, sent = governed(runner=Runner(snapshot()))
    engine = Engine(governor)
    requests = batch(governor, 1)
    for _ in range(100):
        engine.step(requests)
    governor.book.receive(Knob(1.0))
    fast = engine.step(requests)
    governor.book.receive(Knob(0.0))
    cheap = engine.step(requests)
    assert fast == K_MAX  # alone, with every draft accepted
    assert cheap < fast
    for _ in range(20):
        engine.step(requests)
    assert sent[-1].decision.speed == 0.0


def test_modes() -> None:
    governor, sent = governed(runner=Runner(snapshot(epsilon=1.0)), mode=Mode.OFF)
    engine = Engine(governor)
    requests = batch(governor, 1)

    def run(mode: Mode) -> list[Transition]:
        governor.book.receive(SetMode("e", mode))
        for _ in range(20):  # what the mode before left in the air
            engine.step(requests)
        sent.clear()
        for _ in range(200):
            engine.step(requests)
        return sent

    assert run(Mode.OFF) == []
    observed = run(Mode.OBSERVE)
    assert {(t.decision.applied, t.decision.reason) for t in observed} == {(2, Reason.STATIC)}
    shadow = run(Mode.SHADOW)
    assert {t.decision.applied for t in shadow} == {2}
    assert len({t.decision.action for t in shadow}) > 3
    applied = run(Mode.APPLY)
    assert all(t.decision.applied == t.decision.action for t in applied)
    assert len({t.decision.applied for t in applied}) > 3
    frozen = run(Mode.FREEZE)
    assert {t.decision.reason for t in frozen} == {Reason.POLICY}
    assert {t.decision.propensity for t in frozen} == {1.0}


def test_pin_holds_and_is_echoed_until_released() -> None:
    governor, sent = governed(runner=Runner(snapshot()))
    engine = Engine(governor)
    requests = batch(governor, 1)
    governor.book.receive(Pin("e", 7, 3))
    for _ in range(40):
        assert engine.step(requests) == 3
    assert sent[-1].decision.pin == governor.beat().pin == 7
    assert sent[-1].decision.reason is Reason.PINNED
    governor.book.receive(Pin("e", 8, None))
    assert governor.beat().pin == 0
    for _ in range(40):
        engine.step(requests)
    assert sent[-1].decision.pin == 0
    assert sent[-1].decision.reason is Reason.POLICY


def test_orders_for_another_engine_are_not_ours() -> None:
    governor, _ = governed()
    governor.book.receive(Pin("other", 1, 5))
    governor.book.receive(SetMode("other", Mode.OFF))
    assert governor.book.orders.pin is None
    assert governor.book.orders.mode is Mode.APPLY
    assert governor.book.refused == 0


@pytest.mark.parametrize(
    "order", [Knob(1.5), Knob(float("nan")), Pin("e", 1, 9), Pin("e", 1, -1), snapshot(k_max=4)]
)
def test_orders_that_cannot_be_followed_are_refused_and_counted(order: object) -> None:
    governor, _ = governed()
    before = governor.book.orders
    governor.book.receive(order)  # type: ignore[arg-type]
    assert governor.book.orders == before
    assert governor.book.refused == 1
    assert "refused" in governor.beat().last_fault


def test_without_a_snapshot_the_depth_is_static() -> None:
    governor, sent = governed()
    engine = Engine(governor)
    for _ in range(30):
        assert engine.step(batch(governor, 1)) == 2
    assert sent[-1].decision.reason is Reason.STATIC
    assert sent[-1].decision.version == 0


def test_a_snapshot_that_gives_no_numbers_falls_back() -> None:
    broken = snapshot()
    broken.weights["layer0.bias"][:] = np.nan  # after validation, as a bug would
    governor, sent = governed(runner=Runner(broken))
    engine = Engine(governor)
    for _ in range(30):
        assert engine.step(batch(governor, 1)) == 2
    assert sent[-1].decision.reason is Reason.FALLBACK


def test_retires_after_repeated_faults() -> None:
    governor, _ = governed(runner=Runner(snapshot(epsilon=1.0)))
    for _ in range(FAULT_LIMIT):
        governor.fault(RuntimeError("broken"))
    engine = Engine(governor)
    assert {engine.step(batch(governor, 1)) for _ in range(60)} == {2}
    assert governor.beat().faults == FAULT_LIMIT
    assert "broken" in governor.beat().last_fault


def test_a_batch_of_another_size_is_decided_anew() -> None:
    governor, _ = governed()
    engine = Engine(governor)
    for size in (1, 2, 3, 9, 9):  # 3 is not yet another size than 2
        engine.step(batch(governor, size))
    assert governor.decisions == 3
    for size in (8, 7, 9, 6):
        engine.step(batch(governor, size))
    assert governor.decisions == 3
    for size in (5, 5):
        engine.step(batch(governor, size))
    assert governor.decisions == 4


def test_after_a_pause_is_decided_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    governor, _ = governed()
    engine = Engine(governor)
    requests = batch(governor, 2)
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    for pause in (0.0, 0.1, 0.1, 9.0):
        now[0] = engine.clock = engine.clock + pause
        engine.step(requests)
    assert governor.decisions == 1
    engine.step(requests)
    assert governor.decisions == 2


def test_an_engine_that_never_prepares_is_governed_all_the_same() -> None:
    governor, sent = governed(runner=Runner(snapshot(epsilon=1.0)))
    engine = Engine(governor, prepares=False)
    requests = batch(governor, 4)
    for _ in range(200):
        engine.step(requests)
    assert len({t.decision.applied for t in sent}) >= 5
    assert {t.outcome.steps for t in sent} == {8, 9}


def test_what_was_prepared_is_what_is_done_unless_orders_came_between() -> None:
    governor, _ = governed(runner=Runner(snapshot()))
    engine = Engine(governor)
    requests = batch(governor, 1)
    for _ in range(8):
        engine.step(requests)
    looked = []
    look = lambda: looked.append(1) or Load(3, 0.25)  # noqa: E731
    governor.depth(1, look)
    assert (governor.decisions, looked) == (2, [])
    assert governor.beat().prepare_us_p50 > 0
    for _ in range(7):
        engine.step(requests)
    governor.book.receive(Knob(1.0))
    governor.depth(1, look)
    assert (governor.decisions, looked) == (3, [1])
    assert governor.beat().speed == 1.0


def test_prompts_alone_are_not_charged_to_the_depth() -> None:
    governor, sent = governed(pin=Pin("e", 1, 2))
    engine = Engine(governor)
    requests = batch(governor, 2)
    for i in range(48):
        engine.step({} if i % 4 == 0 else requests, prefill=64 if i % 4 == 0 else 0)
    assert all(t.outcome.steps == t.outcome.request_steps / 2 for t in sent)
    assert all(t.outcome.prefill == 0 for t in sent)


def test_what_cannot_be_sent_is_counted() -> None:
    governor = Governor(INFO, lambda _: False, Orders())
    engine = Engine(governor)
    requests = batch(governor, 1)
    for _ in range(42):
        engine.step(requests)
    assert governor.beat().dropped == 5
