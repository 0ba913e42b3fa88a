"""Whose turn an interval was decided in."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest
from factories import State, World
from flyball.benchmarks.turns import PATIENCE, Turn, decided_by, take_turn
from flyball.policies.transition import Transition


def decided(at: float, pin: int = 0, speed: float = 0.5) -> Transition:
    transition = World().transition(State(), 2)
    decision = msgspec.structs.replace(transition.decision, at=at, pin=pin, speed=speed)
    return msgspec.structs.replace(transition, decision=decision)


def test_an_interval_is_its_arms_by_pin_and_by_speed() -> None:
    pinned, free = decided(0.0, pin=7), decided(0.0, speed=1.0)
    assert decided_by(7, None)(pinned)
    assert not decided_by(8, None)(pinned)
    assert not decided_by(0, None)(pinned)
    assert decided_by(0, 1.0)(free)
    assert not decided_by(0, 0.0)(free)


def test_a_turn_holds_what_was_decided_in_it() -> None:
    heard = [decided(0.1 * i, pin=1 + (i > 4)) for i in range(10)]
    turn = Turn(heard, 0, decided_by(1, None), 0.15, 0.85)
    assert [t.decision.at for t in turn.intervals()] == pytest.approx([0.2, 0.3, 0.4])
    assert turn.seconds == pytest.approx(0.7)


def test_outcomes_that_come_after_a_turn_are_still_its_own() -> None:
    heard: list[Transition] = []
    turn = Turn(heard, 0, decided_by(0, None), 0.0, 1.0)
    assert turn.intervals() == []
    heard += [decided(0.9), decided(1.1)]
    assert [t.decision.at for t in turn.intervals()] == [0.9]


def test_a_turn_waits_for_enough_intervals() -> None:
    heard = [decided(0.0)]

    def late() -> None:
        time.sleep(0.3)
        heard.extend(decided(time.time()) for _ in range(2))

    thread = threading.Thread(target=late)
    thread.start()
    turn = take_turn(heard, decided_by(0, None), 0.05, least=2)
    thread.join()
    assert len(turn.intervals()) == 2
    assert 0.3 <= turn.seconds < PATIENCE


def test_a_turn_waits_for_enough_engine_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.benchmarks.turns.PATIENCE", 0.5)
    busy = decided(0.0).outcome.seconds
    found = [
        take_turn([decided(time.time() + 0.1)], decided_by(0, None), 0.2, least=1, busy=needed)
        for needed in (busy, 2 * busy)
    ]
    assert [len(turn.intervals()) for turn in found] == [1, 1]
    assert found[1].seconds > 0.7 > found[0].seconds >= 0.2


def test_a_turn_ends_where_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.benchmarks.turns.PATIENCE", 0.1)
    assert take_turn([], decided_by(0, None), 0.05, least=2).intervals() == []
