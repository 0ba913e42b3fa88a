"""Outputs do not depend on the depth."""

from __future__ import annotations

import itertools

from flyball.inference.load import Load, LoadSettings
from stack import ENGINE, Stack


def outputs(stack: Stack, turn: itertools.cycle[int] | None, seed: int) -> dict[int, list[int]]:
    """Greedy outputs of two dozen prompts, the depth pinned anew for each request in turn."""
    settings = LoadSettings(
        url=stack.engine.url,
        workload="mixed",
        concurrency=6,
        max_tokens=48,
        token_ids=True,
        requests=24,
        seed=seed,
    )
    load = Load(settings)
    if turn is not None:
        with stack.traffic("mixed", 1, seed=seed + 1):  # a batch that keeps changing
            _run_turning(stack, load, turn)
    else:
        stack.client.pin(ENGINE, 0)
        _run(load)
    assert [r.error for r in load.records if r.error is not None] == []
    return {r.number: r.token_ids or [] for r in load.records}


def _run(load: Load) -> None:
    import asyncio

    asyncio.run(load.run())


def _run_turning(stack: Stack, load: Load, turn: itertools.cycle[int]) -> None:
    import threading

    thread = threading.Thread(target=_run, args=(load,))
    thread.start()
    while thread.is_alive():
        stack.client.pin(ENGINE, next(turn))
        thread.join(0.05)


def test_greedy_outputs_are_the_same_at_every_depth(stack: Stack) -> None:
    alone = outputs(stack, None, seed=3)
    turning = outputs(stack, itertools.cycle([6, 0, 3, 1, 5, 2, 4]), seed=3)
    assert len(alone) == 24
    assert sum(map(len, alone.values())) > 24 * 10
    assert turning == alone
