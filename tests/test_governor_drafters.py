"""A governor that chooses drafters and depth together, driven as an engine's adapter drives it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from flyball.inference.choosing import DrafterChooser
from flyball.inference.drafters.pool import DrafterState
from flyball.inference.flight import Flight, checked_of
from flyball.inference.governor import Governor
from flyball.inference.moment import Load
from flyball.inference.orders import Orders
from flyball.inference.reports import EngineInfo, Mode
from flyball.inference.requests import RequestState
from flyball.inference.wire import Pin, SetMode, UseDrafter
from flyball.policies.prices import compute_prices
from flyball.policies.runner import Runner
from flyball.policies.snapshot import analytic
from flyball.policies.spaces import MAX_DEPTH
from flyball.policies.step_time import PRIOR
from flyball.policies.transition import Reason, Transition, check_transition

K_MAX = 6
OFFERED = ("draft", "look", "none")
INFO = EngineInfo(
    engine="e",
    target="t",
    draft="d",
    k_max=K_MAX,
    static_depth=2,
    parameter_ratio=0.05,
    offered=OFFERED,
)


class Engine:
    """Steps of an engine in which what is looked up is always right and the model seldom is."""

    def __init__(self, default: str | None = None, **orders: object) -> None:
        self.sent: list[Transition] = []
        runner = Runner(analytic(1, K_MAX, compute_prices(0.05), PRIOR.astype(np.float32), 0.0))
        self.governor = Governor(
            INFO,
            lambda t: self.sent.append(t) or True,  # type: ignore[func-returns-value]
            Orders(**{"speed": 1.0, "runner": runner} | orders),  # type: ignore[arg-type]
            seed=0,
            chooser=DrafterChooser(("draft", "look"), default, seed=0),
        )
        self.governor.drafters["look"].state = DrafterState(asked=1, seconds=2e-5)
        self.states = {str(i): self.governor.admit(None) for i in range(4)}
        self.drafted: dict[str, int] = dict.fromkeys(self.states, 0)
        self.clock = 0.0

    def run(self, steps: int) -> Counter[str]:
        """Who drafts in some steps."""
        found: Counter[str] = Counter()
        for _ in range(steps):
            found.update(self.step())
        return found

    def step(self) -> list[str]:
        governor, states = self.governor, self.states
        depth = governor.depth(len(states), lambda: Load(0, 0.1))
        lengths = np.bincount([*self.drafted.values()], minlength=MAX_DEPTH + 1).tolist()
        flight = Flight(dict(states), checked_of(lengths), 0, 0, 0)
        assert governor.chooser is not None
        names = governor.chooser.choose([*states.values()])
        governor.launch(flight, depth)
        verifications = [self.verify(states[i], k) for i, k in self.drafted.items()]
        for state, name in zip(states.values(), names, strict=True):
            state.drafter = name
        self.drafted = {i: depth * (s.drafter != "none") for i, s in states.items()}
        flight.passes = depth * ("draft" in names)
        governor.prepare(len(states), lambda: Load(0, 0.1))
        self.clock = max(self.clock, flight.launched) + 0.015 + 0.002 * flight.passes
        emitted = sum(1 + accepted for _, _, accepted in verifications)
        governor.land(flight, self.clock, verifications, emitted, 0)
        return names

    def verify(self, state: RequestState, drafted: int) -> tuple[RequestState, int, int]:
        accepted = drafted if state.drafter == "look" else 0
        records = self.governor.drafters
        if drafted:
            records[state.drafter].add(
                state.history(state.drafter), drafted, accepted, True, drafted
            )
        if state.drafter != "look":
            records["look"].add(state.history("look"), K_MAX, K_MAX, False, K_MAX)
        return state, drafted, accepted


def test_whoever_is_best_drafts_and_is_recorded() -> None:
    engine = Engine()
    engine.run(400)
    assert engine.run(80)["look"] >= 0.9 * 4 * 80
    decision = engine.sent[-1].decision
    assert decision.drafters == {"look": 1.0} or decision.tried
    assert decision.reason in (Reason.POLICY, Reason.EXPLORE)
    assert 0.0 < decision.propensity <= 1.0
    for transition in engine.sent:
        check_transition(transition)
    assert engine.governor.faults == 0


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.OBSERVE, Mode.SHADOW])
def test_where_nothing_is_applied_the_first_drafter_drafts(mode: Mode) -> None:
    engine = Engine(mode=mode)
    assert engine.run(300) == {"draft": 1200}
    chosen = [t.decision.drafters for t in engine.sent]
    if mode is Mode.SHADOW:
        assert chosen[-1].get("look", 0.0) > 0.5
    else:
        assert not any(chosen)


def test_a_frozen_engine_tries_nothing() -> None:
    engine = Engine(mode=Mode.FREEZE)
    engine.run(400)
    assert {t.decision.tried for t in engine.sent} == {""}
    assert {t.decision.propensity for t in engine.sent} == {1.0}


def test_a_pinned_depth_holds_and_drafters_are_chosen_at_it() -> None:
    engine = Engine(pin=Pin("e", 3, 4))
    engine.run(300)
    assert {t.decision.applied for t in engine.sent} == {4}
    assert {t.decision.reason for t in engine.sent} == {Reason.PINNED}
    assert engine.run(40)["look"] > 100


def test_an_operator_says_who_drafts_and_lets_it_go() -> None:
    engine = Engine()
    engine.run(200)
    engine.governor.book.receive(UseDrafter("e", "draft"))
    assert engine.run(40) == {"draft": 160}
    assert engine.governor.beat().drafter == "draft"
    engine.states["0"].wanted = "none"
    assert engine.run(8) == {"draft": 24, "none": 8}
    engine.states["0"].wanted = ""
    engine.governor.book.receive(UseDrafter("e", "random"))
    assert {*engine.run(40)} == {"draft", "look", "none"}
    engine.governor.book.receive(UseDrafter("e", None))
    engine.run(100)
    assert engine.run(40)["look"] > 100
    assert engine.governor.beat().drafter == "learned"


def test_a_drafter_that_is_not_offered_is_refused() -> None:
    engine = Engine()
    engine.governor.book.receive(UseDrafter("e", "chain"))
    assert engine.governor.book.refused == 1
    assert "'chain' is none of draft, look, none" in engine.governor.book.last_refusal
    assert engine.governor.book.orders.drafter is None


def test_without_a_snapshot_the_depth_is_static_and_drafters_are_chosen() -> None:
    engine = Engine(runner=None)
    engine.run(300)
    assert {t.decision.applied for t in engine.sent} == {2}
    assert engine.run(40)["look"] > 100


def test_a_choice_for_new_requests_holds_three_steps_and_for_known_ones_a_whole_interval() -> None:
    engine = Engine()
    engine.run(99)
    new = decided(engine, 48)
    for state in engine.states.values():
        state.emit(20, 0.0)
    engine.run(8)
    assert (new, decided(engine, 48)) == (16, 6)


def decided(engine: Engine, steps: int) -> int:
    """Decisions in some steps."""
    before = engine.governor.decisions
    engine.run(steps)
    return engine.governor.decisions - before


def test_a_fixed_default_is_no_choice() -> None:
    engine = Engine("look")
    assert engine.run(100) == {"look": 400}
    assert not any(t.decision.drafters for t in engine.sent)


def test_modes_that_change_take_the_choice_with_them() -> None:
    engine = Engine()
    engine.run(300)
    engine.governor.book.receive(SetMode("e", Mode.OBSERVE))
    engine.run(1)
    assert engine.run(20) == {"draft": 80}
