"""One real engine and one real controller for all live tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stack import ENGINE, REWARDS, Stack, eventually


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    (stack.folder / "their_rewards.py").write_text(REWARDS)
    stack.engine.start()
    try:
        stack.start_controller()
        stack.engine.wait_ready(240)
        eventually(stack.state, what="the engine's first beat")
        yield stack
    finally:
        if stack.controller is not None and stack.controller.poll() is None:
            stack.stop_controller()
        stack.engine.stop()


@pytest.fixture(autouse=True)
def as_it_was(stack: Stack) -> Iterator[None]:
    """Leave the stack as the next test expects it."""
    yield
    stack.client.pin(ENGINE, None)
    stack.client.set_mode(ENGINE, "apply")
    stack.client.set_knob(0.5)
