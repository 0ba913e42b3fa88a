"""Serving while learning, on a real engine."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from flyball.inference.client import ControllerError
from flyball.policies.snapshot import Snapshot
from stack import ENGINE, Stack, eventually


def test_learns_while_it_serves(stack: Stack) -> None:
    with stack.traffic(concurrency=4):
        learner = eventually(
            lambda: (s := stack.learner())["snapshot"] >= 2 and s["updates"] > 0 and s, 60
        )
        eventually(lambda: stack.state()["version"] >= 2, what="the snapshot in the engine")
        time.sleep(3)
    assert learner["transitions"] > 20
    state = stack.state()
    assert state["faults"] == state["refused"] == state["dropped"] == 0
    totals = state["totals"]
    # Every token is a verified position, and every verified position was drafted or a bonus.
    assert totals["request_steps"] <= totals["emitted"] <= totals["verified"]
    assert totals["verified"] <= totals["request_steps"] * (1 + state["k_max"])
    assert 0 < totals["dollars"] < 1


def test_writes_tensorboard(stack: Stack) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with stack.traffic():
        eventually(lambda: list(stack.run.rglob("events.out.tfevents.*")), what="an events file")
        time.sleep(5)
    accumulator = EventAccumulator(str(next(stack.run.rglob("events.out.tfevents.*")).parent))
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    for group in ("rollout/", "train/", "serve/", "wire/"):
        assert any(tag.startswith(group) for tag in tags), f"nothing under {group}: {tags}"


def test_knob_is_in_force_while_requests_run(stack: Stack) -> None:
    with stack.traffic(concurrency=8):
        time.sleep(1)
        for speed in (0.0, 1.0, 0.3):
            stack.client.set_knob(speed)
            started = time.monotonic()
            eventually(lambda speed=speed: stack.state()["speed"] == speed, 5)
            took = time.monotonic() - started
            print(f"knob {speed} in force after {took:.3f} s")


def test_the_knob_moves_the_depth_without_learning_anew(stack: Stack) -> None:
    stack.client.set_mode(ENGINE, "freeze")
    drafted = {}
    with stack.traffic("prose", concurrency=4):
        time.sleep(1)
        for speed in (0.0, 1.0):
            stack.client.set_knob(speed)
            eventually(lambda speed=speed: stack.state()["speed"] == speed)
            time.sleep(0.5)
            before = stack.state()["totals"]
            time.sleep(4)
            after = stack.state()["totals"]
            steps = after["request_steps"] - before["request_steps"]
            drafted[speed] = (after["drafted"] - before["drafted"]) / steps
    assert drafted[1.0] > drafted[0.0]


def test_pin_sets_the_depth_of_a_running_engine(stack: Stack) -> None:
    with stack.traffic():
        for depth in (0, 5):
            pin = stack.client.pin(ENGINE, depth)
            state = eventually(lambda pin=pin: (s := stack.state())["pin"] == pin and s)
            eventually(lambda depth=depth: stack.state()["depth"] == depth)
            assert state["mode"] == "apply"
    with pytest.raises(ControllerError, match=r"\[0, 6\]"):
        stack.client.pin(ENGINE, 7)


def test_hints_of_requests_reach_the_governor(stack: Stack) -> None:
    arguments = {"flyball_class": "nightly", "flyball_speed": 1.0}
    with stack.traffic(concurrency=2, arguments=arguments):
        eventually(lambda: "nightly" in stack.state()["classes"])
    # A hint that makes no sense fails no request.
    answer = httpx.post(
        f"{stack.engine.url}/v1/completions",
        json={
            "model": "target",
            "prompt": "def main(",
            "max_tokens": 8,
            "vllm_xargs": {"flyball_speed": "fast", "flyball_class": 3},
        },
        timeout=30,
    )
    assert answer.status_code == 200


def test_a_users_reward_takes_over_and_learns_from_the_past(stack: Stack) -> None:
    with stack.traffic("tool_calls", concurrency=2):
        eventually(lambda: stack.learner()["transitions"] > 150, 90)
        updates = stack.learner()["updates"]
        assert stack.client.set_reward("their_rewards:Short") == "short"
        eventually(lambda: stack.learner()["updates"] > updates)
        # No drafts at all, where deep ones were best: what is right elsewhere is wrong here.
        eventually(
            lambda: (stack.state()["depth_shares"] or [0])[0] > 0.5, 90, "the reward in force"
        )
    assert stack.client.set_reward("latency-cost") == "latency-cost"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere.to.be:Found", "nowhere"),
        ("their_rewards:Missing", "Missing"),
        ("their_rewards:not_a_reward", "Reward"),
        ("their_rewards:Raises", "out of ideas"),
        ("their_rewards:NotANumber", "their_rewards|NaN|finite"),
        ("their_rewards:WrongShape", "shape"),
    ],
)
def test_a_reward_that_is_none_leaves_the_old_one_in_force(
    stack: Stack, spec: str, says: str
) -> None:
    before = stack.client.reward()
    with pytest.raises(ControllerError, match=says):
        stack.client.set_reward(spec)
    assert stack.client.reward() == before


def test_snapshots_can_be_rolled_back(stack: Stack) -> None:
    with stack.traffic():
        eventually(lambda: stack.learner()["snapshot"] >= 2, 60)
        first = min(entry["number"] for entry in stack.client.snapshots())
        stack.client.set_mode(ENGINE, "freeze")
        assert stack.client.promote(first) == first
        eventually(lambda: stack.state()["version"] == first)
    path = next(Path(stack.run).rglob(f"{first:08d}.safetensors"))
    assert Snapshot.load(path).meta.number == first


@pytest.mark.parametrize("mode", ["off", "observe", "shadow", "freeze", "apply"])
def test_every_mode_serves(stack: Stack, mode: str) -> None:
    with stack.traffic():
        stack.client.set_mode(ENGINE, mode)
        eventually(lambda: stack.state()["mode"] == mode)
        time.sleep(1)
