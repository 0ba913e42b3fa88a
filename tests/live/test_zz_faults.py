"""What breaks around an engine does not break its service. Last, since it breaks things."""

from __future__ import annotations

import signal
import time

from flyball.inference.vllm.server import PLAIN_SCHEDULER
from stack import ENGINE, Stack, eventually


def test_the_learner_is_killed_under_load_and_resumes_from_its_checkpoint(stack: Stack) -> None:
    with stack.traffic(concurrency=4) as traffic:
        eventually(lambda: stack.learner()["transitions"] > 100, 60)
        before = stack.learner()
        written = time.time()  # what is written from here on holds at least that much
        state = stack.run / "checkpoint" / "state.json"
        eventually(lambda: state.exists() and state.stat().st_mtime > written, 60)
        assert stack.stop_controller(signal.SIGKILL) == -signal.SIGKILL
        alone = len(traffic.records)
        eventually(lambda: len(traffic.records) > alone + 4, 30, "requests without a learner")
        stack.start_controller()
        after = eventually(stack.learner)
        assert after["transitions"] >= before["transitions"]
        assert after["updates"] >= before["updates"]
        eventually(lambda: stack.learner()["snapshot"] > before["snapshot"], 30)
        eventually(lambda: stack.state().get("version", 0) > before["snapshot"], 30)


def test_a_damaged_checkpoint_is_set_aside(stack: Stack) -> None:
    assert stack.stop_controller() == 0
    files = [f for kept in stack.run.glob("checkpoint*") for f in kept.rglob("*") if f.is_file()]
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    stack.start_controller()
    assert list(stack.run.glob("checkpoint.damaged*"))
    assert stack.learner()["transitions"] < 100
    with stack.traffic():
        eventually(lambda: stack.learner()["updates"] > 0, 60)


def test_a_second_engine_on_the_plain_scheduler_joins_ends_and_returns(stack: Stack) -> None:
    """Two engines, one learner: it carries on whatever becomes of either."""
    engine = stack.new_engine(
        "engine-1", "plain.log", scheduler=PLAIN_SCHEDULER, extra=["--enforce-eager"]
    )

    def age() -> float:
        return float(stack.state("engine-1").get("age_s", 99))

    try:
        engine.start().wait_ready(240)
        with stack.traffic(concurrency=3, url=engine.url):
            eventually(lambda: stack.state("engine-1").get("version", 0) >= 1, 60)
            eventually(lambda: stack.state("engine-1")["totals"]["steps"] > 80, 60)
        assert stack.state("engine-1")["faults"] == 0
        engine.stop(0.1)  # as abruptly as it gets
        eventually(lambda: age() > 2)
        before = stack.learner()["transitions"]
        with stack.traffic():
            eventually(lambda: stack.learner()["transitions"] > before + 20, 60)
        engine.start().wait_ready(240)
        with stack.traffic(concurrency=3, url=engine.url):
            eventually(lambda: age() < 2)
            eventually(lambda: stack.state("engine-1")["version"] >= 1, 30)
    finally:
        engine.stop()


def test_the_engine_serves_alone(stack: Stack) -> None:
    assert stack.stop_controller() == 0
    with stack.traffic():
        time.sleep(3)
    stack.start_controller()
    eventually(lambda: stack.state(ENGINE).get("age_s", 99) < 2, 10)
