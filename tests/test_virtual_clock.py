"""The event loop in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from flyball.inference.agents.replay.clock import StuckError, run_virtual
from hypothesis import given
from hypothesis import strategies as st


async def _sleepers(delays):
    loop = asyncio.get_running_loop()
    woken = []

    async def sleep(i, delay):
        await asyncio.sleep(delay)
        woken.append((loop.time(), i))

    async with asyncio.TaskGroup() as group:
        for i, delay in enumerate(delays):
            group.create_task(sleep(i, delay))
    return woken


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_everybody_wakes_when_due_and_in_order(delays):
    woken = run_virtual(_sleepers(delays))
    assert [at for at, _ in woken] == pytest.approx(sorted(delays))
    assert [at for at, _ in woken] == pytest.approx([delays[i] for _, i in woken])
    assert run_virtual(_sleepers(delays)) == woken


def test_timeouts_are_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(86400 * 365)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3600)


def test_who_waits_for_ever_is_told():
    ended = []

    async def main():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(StuckError, match="wait for one another"):
        run_virtual(main())
    assert ended
