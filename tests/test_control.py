from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from factories import State, World, beat, engine_info, totals
from flyball.controller import state
from flyball.controller.control import COMMANDS, Control
from flyball.controller.engines import MOST_ENGINES, WINDOW
from flyball.controller.hub import Hub
from flyball.controller.learner import Learner
from flyball.controller.plan.learner import PlanLearner
from flyball.controller.request import RefusedError, Request
from flyball.controller.settings import LearnerSettings
from flyball.controller.steps import LEASE
from flyball.inference.address import Address
from flyball.inference.reports import Mode, Report, Totals
from flyball.inference.wire import Knob, Pin, SetMode, UseDrafter, UsePolicy
from flyball.policies.transition import Transition
from ports import free_ports
from running import Peer, until

INFO = engine_info()


class Desk:
    """A control over a real hub and learner, a clock in the test's hands, and its answers."""

    def __init__(self, run: Path, **settings: Any) -> None:
        self.now = 100.0
        self.closed = False
        self.run = run
        self.hub = Hub(Address("127.0.0.1", free_ports(3)))
        self.learner = Learner(LearnerSettings(**settings), run)
        self.plans = PlanLearner(LearnerSettings(**settings), run)
        self.control = Control(self.hub, self.learner, self.plans, run, clock=lambda: self.now)

    def ask(self, name: str, **arguments: Any) -> Any:
        """A command's value; raises its refusal."""
        answers = self.send(name, **arguments)
        assert len(answers) == 1
        return _value(answers[0])

    def send(self, name: str, gone: bool = False, **arguments: Any) -> list[Any]:
        """The list into which the answer of a command will come."""
        answers: list[Any] = []

        def deliver(value: Any, error: RefusedError | None) -> bool:
            answers.append(error or value)
            return not gone

        self.control.execute(Request(name, arguments, deliver))
        return answers

    def last(self, topic: bytes) -> Any:
        """What a late joiner would get on a topic."""
        with Peer(self.hub.address, topics=(topic,)) as late:
            until(lambda: self.hub.poll(0.02) and late.orders.poll(10))
            return late.order_on(topic)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.learner.close()
            self.hub.close()


def _value(answer: Any) -> Any:
    if isinstance(answer, RefusedError):
        raise answer
    return answer


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def pinned(pin: int, depth: int) -> Transition:
    """What an engine reports of an interval under a pin."""
    transition = World().transition(State(), depth)
    decision = msgspec.structs.replace(transition.decision, pin=pin)
    return msgspec.structs.replace(transition, decision=decision)


def test_the_knob_is_published_and_kept(desk: Desk) -> None:
    assert desk.ask("knob") == {"speed": 0.5}
    assert desk.ask("knob", speed=0.8) == {"speed": 0.8}
    assert desk.last(b"knob") == Knob(0.8)
    assert state.load(desk.run).speed == 0.8
    assert desk.learner.state.speed == 0.8


@pytest.mark.parametrize("speed", [1.01, -0.01, float("nan"), float("inf"), "0.5", None, True, []])
def test_a_bad_speed_is_refused_and_nothing_is_published(desk: Desk, speed: Any) -> None:
    with pytest.raises(RefusedError, match=r"\[0, 1\]"):
        desk.ask("knob", speed=speed)
    assert desk.last(b"knob") == Knob(0.5)


def test_an_unknown_command_is_refused_with_those_there_are(desk: Desk) -> None:
    for name in ("launch", "_publish_all", "execute", "close"):
        with pytest.raises(RefusedError, match="checkpoint, drafter, knob"):
            desk.ask(name)
    with pytest.raises(RefusedError, match="unknown field"):
        desk.ask("status", verbose=True)


def test_settings_hold_over_a_restart(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    desk.ask("knob", speed=0.9)
    desk.ask("mode", engine="engine-0", mode="shadow")
    desk.ask("policy", engine="engine-0", policy="hysteresis")
    desk.ask("pin", engine="engine-0", depth=2)
    desk.close()
    again = Desk(desk.run)
    assert again.ask("knob") == {"speed": 0.9}
    assert again.last(b"mode/engine-0") == SetMode("engine-0", Mode.SHADOW)
    assert again.last(b"policy/engine-0") == UsePolicy("engine-0", "hysteresis")
    assert again.last(b"pin/engine-0").depth == 2
    told = Control(again.hub, again.learner, again.plans, desk.run, speed=0.0)
    assert told.settings.speed == 0.0
    again.close()


def test_damaged_settings_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text('{"speed": 7}')
    assert state.load(tmp_path) is None
    assert len(list(tmp_path.glob(f"{state.FILE}.damaged-*"))) == 1
    assert not (tmp_path / state.FILE).exists()


def test_a_mode_is_published_to_its_engine(desk: Desk) -> None:
    with pytest.raises(RefusedError, match="none has reported yet") as refused:
        desk.ask("mode", engine="engine-0", mode="shadow")
    assert refused.value.status == 404
    desk.control.hear(beat(INFO))
    assert desk.ask("mode", engine="engine-0", mode="freeze")["mode"] == "freeze"
    assert desk.last(b"mode/engine-0") == SetMode("engine-0", Mode.FREEZE)
    with pytest.raises(RefusedError, match="off, observe, shadow, apply, freeze"):
        desk.ask("mode", engine="engine-0", mode="turbo")


def test_a_policy_is_checked_against_its_engine_and_published(desk: Desk) -> None:
    with pytest.raises(RefusedError, match="none has reported yet"):
        desk.ask("policy", engine="engine-0", policy="off")
    desk.control.hear(beat(INFO))
    for spec in ("ucb?c=0.5", "fixed?depth=6", "learned"):
        assert desk.ask("policy", policy=spec) == {"engine": "engine-0", "policy": spec}
        assert desk.last(b"policy/engine-0") == UsePolicy("engine-0", spec)
    for spec, says in (
        ("turbo", "there are learned, off, fixed"),
        ("ucb?c=-1", "option c='-1' must be"),
        ("fixed?depth=7", r"must be an integer in \[0, 6\]"),
        ("off?" + "x" * 2000, "at most 1000 characters"),
        (None, "Expected `str`"),
    ):
        with pytest.raises(RefusedError, match=says):
            desk.ask("policy", engine="engine-0", policy=spec)
    assert desk.last(b"policy/engine-0") == UsePolicy("engine-0", "learned")
    assert desk.ask("policy", policy="")["policy"] == "learned"


def test_pins_have_growing_numbers(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    first = desk.ask("pin", engine="engine-0", depth=3)["pin"]
    assert desk.last(b"pin/engine-0") == Pin("engine-0", first, 3)
    second = desk.ask("pin", engine="engine-0", depth=None)["pin"]
    assert second > first
    assert desk.last(b"pin/engine-0") == Pin("engine-0", second, None)
    for depth in (7, -1, 2.5, "3", True):
        with pytest.raises(RefusedError):
            desk.ask("pin", engine="engine-0", depth=depth)


def test_an_engine_is_told_who_drafts(desk: Desk) -> None:
    offering = msgspec.structs.replace(INFO, offered=("draft", "ngram", "none"))
    desk.control.hear(beat(offering))
    for name in ("ngram", "learned", "random", "none"):
        answer = desk.ask("drafter", engine="engine-0", drafter=name)
        assert answer == {"engine": "engine-0", "drafter": name}
        assert desk.last(b"drafter/engine-0") == UseDrafter("engine-0", name)
    for name in ("suffix", "", 3):
        with pytest.raises(RefusedError):
            desk.ask("drafter", engine="engine-0", drafter=name)
    assert desk.last(b"drafter/engine-0").drafter == "none"
    assert desk.ask("drafter", drafter=None)["drafter"] is None
    assert desk.last(b"drafter/engine-0") == UseDrafter("engine-0", None)
    desk.control.hear(beat(INFO))
    with pytest.raises(RefusedError, match="there is no choice"):
        desk.ask("drafter", drafter="learned")


def test_what_engines_report_is_learned_from_and_shown(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    desk.now += 1.0
    transitions = World().transitions(20)
    desk.control.hear(Report("engine-0", transitions))
    desk.control.hear(beat(INFO, 1e9 + 1.0, totals=totals(transitions)))
    assert desk.learner.summary()["transitions"] == 20
    (engine,) = desk.ask("status")["engines"]
    emitted = sum(t.outcome.emitted for t in transitions)
    seconds = sum(t.outcome.request_seconds for t in transitions)
    assert engine["tokens_per_second"] == pytest.approx(emitted / 1.0)
    assert engine["seconds_per_token"] == pytest.approx(seconds / emitted)
    assert engine["totals"]["emitted"] == emitted
    desk.now += 1.0
    desk.control.hear(beat(INFO, 1e9 + 2.0, totals=totals(transitions[:3])))
    (engine,) = desk.ask("status")["engines"]
    assert engine["tokens_per_second"] == 0, "an engine that was started again counts anew"
    desk.now += WINDOW + 1
    (engine,) = desk.ask("status")["engines"]
    assert engine["tokens_per_second"] == 0
    assert engine["seconds_per_token"] is None
    assert not engine["live"]


def test_beats_that_waited_for_a_controller_do_not_make_an_engine_faster(desk: Desk) -> None:
    for second in range(30):  # all arrive at once
        told = Totals(steps=10 * second, emitted=300 * second, request_seconds=2.0 * second)
        desk.control.hear(beat(INFO, 1e9 + second, totals=told))
    (engine,) = desk.ask("status")["engines"]
    assert engine["tokens_per_second"] == pytest.approx(300.0)
    assert engine["seconds_per_token"] == pytest.approx(2.0 / 300.0)
    told = msgspec.structs.replace(told, emitted=told.emitted + 300)
    desk.control.hear(beat(INFO, 1e9, totals=told))  # its clock was set back
    (engine,) = desk.ask("status")["engines"]
    assert engine["tokens_per_second"] == 0


def test_reports_before_the_first_beat_are_not_lost(desk: Desk) -> None:
    desk.control.hear(Report("engine-0", World().transitions(5)))
    assert desk.learner.summary()["transitions"] == 0
    assert desk.ask("status")["engines"] == []
    desk.control.hear(beat(INFO))
    assert desk.learner.summary()["transitions"] == 5


def test_a_frozen_engine_is_not_learned_from(desk: Desk) -> None:
    desk.control.hear(msgspec.structs.replace(beat(INFO), mode=Mode.FREEZE))
    desk.control.hear(Report("engine-0", World().transitions(5)))
    assert desk.learner.summary()["transitions"] == 0
    assert desk.learner.summary()["frozen"] == 5


def test_beats_that_make_no_sense_are_counted(desk: Desk) -> None:
    wrong = [
        msgspec.structs.replace(beat(INFO), speed=float("nan")),
        msgspec.structs.replace(beat(INFO), depth=9),
        msgspec.structs.replace(beat(INFO), decide_us_p50=float("inf")),
        msgspec.structs.replace(beat(INFO), survival_ece=float("nan")),
        msgspec.structs.replace(beat(INFO), survival_brier=1.5),
        beat(msgspec.structs.replace(INFO, engine="a b")),
        beat(msgspec.structs.replace(INFO, engine="")),
        beat(msgspec.structs.replace(INFO, k_max=99)),
    ]
    for one in wrong:
        desk.control.hear(one)
    assert desk.hub.refused["beat"] == len(wrong)
    assert desk.ask("status")["engines"] == []


def test_the_number_of_engines_is_bounded(desk: Desk) -> None:
    for i in range(MOST_ENGINES + 3):
        desk.control.hear(Report(f"engine-{i}", []))
    assert desk.hub.refused["engines"] == 3


def test_an_engine_of_a_controller_that_is_gone_is_let_go(desk: Desk) -> None:
    desk.control.hear(msgspec.structs.replace(beat(INFO), pin=17))
    assert desk.last(b"pin/engine-0").depth is None


def test_a_step_is_answered_by_the_first_interval_under_its_pin(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    answers = desk.send("step", depth=4)
    pin = desk.last(b"pin/engine-0")
    assert pin.depth == 4
    desk.control.hear(Report("engine-0", [pinned(pin.number - 1, 1), pinned(0, 2)]))
    assert answers == []
    measured = pinned(pin.number, 4)
    desk.control.hear(Report("engine-0", [measured, pinned(pin.number, 4)]))
    (value,) = answers
    assert value["engine"] == "engine-0"
    assert value["observation"] == measured.following
    assert msgspec.convert(value["transition"], Transition) == measured
    assert value["latency"] > 0
    assert value["reward"] == pytest.approx(-0.5 * (value["latency"] + value["cost"]))
    assert value["off_seconds"] > 0
    assert value["prices"]["verified"] > 0
    observed = desk.ask("observe")
    assert observed["k_max"] == 6
    np.testing.assert_array_equal(
        np.frombuffer(observed["observation"], np.float32),
        np.frombuffer(measured.following, np.float32),
    )


def test_a_newer_step_supersedes_an_older_one(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    older, newer = desk.send("step", depth=1), desk.send("step", depth=2)
    with pytest.raises(RefusedError, match="superseded by a newer step"):
        _value(older[0])
    assert newer == []
    desk.ask("pin", engine="engine-0", depth=0)
    with pytest.raises(RefusedError, match="superseded by a pin"):
        _value(newer[0])


def test_a_step_that_cannot_be_answered_is_refused(desk: Desk) -> None:
    with pytest.raises(RefusedError, match="0 are live"):
        desk.ask("step", depth=1)
    desk.control.hear(beat(INFO))
    with pytest.raises(RefusedError, match=r"\[0, 6\]"):
        desk.ask("step", depth=7)
    with pytest.raises(RefusedError, match="measured nothing yet"):
        desk.ask("observe")
    desk.ask("mode", engine="engine-0", mode="off")
    with pytest.raises(RefusedError, match="mode off"):
        desk.ask("step", depth=1)
    desk.now += 60
    with pytest.raises(RefusedError, match="gone"):
        desk.ask("step", engine="engine-0", depth=1)


def test_without_a_name_the_engine_must_be_the_only_one(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.control.hear(beat(engine_info(name)))
    with pytest.raises(RefusedError, match="2 are live; there are a, b"):
        desk.ask("step", depth=1)


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_the_depth_is_let_go_when_the_stepping_client_is_gone(desk: Desk, how: str) -> None:
    desk.control.hear(beat(INFO))
    desk.send("step", gone=how == "gone", depth=4)
    pin = desk.last(b"pin/engine-0")
    desk.control.hear(Report("engine-0", [pinned(pin.number, 4)]))
    if how == "silent":
        desk.control.fleet.tick()
        assert desk.last(b"pin/engine-0").depth == 4
        desk.now += LEASE + 1
        desk.control.fleet.tick()
    assert desk.last(b"pin/engine-0").depth is None


def test_steps_are_refused_and_let_go_at_the_end(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    answers = desk.send("step", depth=4)
    desk.control.fleet.close()
    assert isinstance(answers[0], RefusedError)
    assert desk.last(b"pin/engine-0").depth is None


def test_engines_that_are_silent_for_long_are_forgotten(desk: Desk) -> None:
    desk.control.hear(beat(INFO))
    desk.now += 3600
    desk.control.fleet.tick()
    assert desk.ask("status")["engines"] == []


def test_a_reward_that_fails_on_the_past_is_refused(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rewards.py").write_text(
        "from flyball.envs.rewards import Reward\n"
        "class Half(Reward):\n"
        "    name, needs, low, high, on_error = 'half', ('latency',), -10.0, 0.0, -10.0\n"
        "    def __call__(self, inputs):\n"
        "        return -inputs.latency / 2\n"
        "class Broken(Half):\n"
        "    name = 'broken'\n"
        "    def __call__(self, inputs):\n"
        "        raise RuntimeError('on purpose')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert desk.ask("reward", reward="my_rewards:Half") == {"reward": "half"}
    with pytest.raises(RefusedError, match=r"on purpose.*'half' stays in force"):
        desk.ask("reward", reward="my_rewards:Broken")
    assert desk.ask("reward") == {"reward": "half"}


def test_a_defect_is_answered_without_its_details(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(desk.learner, "checkpoint", fail)
    with pytest.raises(RefusedError, match="internal error") as refused:
        desk.ask("checkpoint")
    assert refused.value.status == 500


def test_every_command_is_there(desk: Desk) -> None:
    assert set(desk.control._commands) == set(COMMANDS)


def test_a_promoted_snapshot_is_published_again(tmp_path: Path) -> None:
    desk: Desk = Desk(tmp_path, first_snapshot=8, publish_seconds=0.0)
    grow: Callable[[], Any] = desk.learner.publish
    desk.control.hear(beat(INFO))
    desk.control.hear(Report("engine-0", World().transitions(70)))
    first = grow()
    desk.learner.step(0.2)
    second = grow()
    assert (first.meta.number, second.meta.number) == (1, 2)
    desk.control.publish(second)
    assert desk.ask("promote", number=1) == {"snapshot": 1}
    assert desk.last(b"snapshot") == first.to_bytes()
    listed = desk.ask("snapshots")
    assert [s["number"] for s in listed["snapshots"]] == [1, 2]
    assert listed["current"] == 1
    with pytest.raises(RefusedError, match="no snapshot 9") as refused:
        desk.ask("promote", number=9)
    assert refused.value.status == 404
    desk.close()
