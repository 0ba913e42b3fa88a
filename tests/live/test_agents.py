"""Agents on real engines: the governed one serves the target agent, one more the approximation."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from flyball.benchmarks.plan.live import committed, graded_tasks, run_once
from flyball.benchmarks.plan.pair import AgentPair, Connected
from flyball.inference.address import parse_address
from flyball.inference.agents.costs import ModelPrice
from flyball.inference.agents.governor import PlanGovernor
from flyball.inference.agents.messages import PlannerInfo
from flyball.inference.agents.trajectory import Event, EventKind
from flyball.inference.models.family import DRAFT, path
from flyball.inference.vllm.server import EngineProcess
from flyball.policies.plan.catalogue import make_plan_policy
from ports import free_port
from stack import Stack, eventually

TASKS = graded_tasks(10, 7)[1:3]
PLANNER = "live-agents"


@pytest.fixture(scope="module")
def pair(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentPair]:
    """Speculation goes on in the target's engine while its steps are run ahead of."""
    draft = EngineProcess(
        path(DRAFT),
        None,
        free_port(),
        scheduler=None,
        dtype="float32",
        extra=["--enforce-eager"],
        log=tmp_path_factory.mktemp("agents") / "draft.log",
    )
    prices = {stack.engine.model: ModelPrice(1.0, 0.25, 4.0), draft.model: ModelPrice(0, 0, 0)}
    with draft:
        draft.wait_ready(240)
        yield AgentPair(stack.engine, draft, prices)


def running(engine: EngineProcess) -> float:
    """Requests that an engine runs or has waiting."""
    text = httpx.get(f"{engine.url}/metrics").text
    found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", text, re.MULTILINE)
    assert found
    return sum(map(float, found))


def test_what_is_done_is_what_the_target_alone_does(pair: AgentPair) -> None:
    async def go() -> int:
        proposed = 0
        async with pair.connected() as agents:
            for task in TASKS:
                alone = await run_once(agents, make_plan_policy("fixed:0"), 0.5, "", task)
                assert alone.steps
                assert all(step.proposed is None for step in alone.steps)
                for spec in ("fixed:3", "survival"):
                    run = await run_once(agents, make_plan_policy(spec), 1.0, "", task)
                    assert committed(run) == committed(alone)
                    assert run.complete == alone.complete
                    proposed += sum(step.proposed is not None for step in run.steps)
        return proposed

    assert asyncio.run(go()) > 0


def test_a_plan_that_is_cancelled_leaves_nothing_running_in_the_engines(pair: AgentPair) -> None:
    async def go() -> None:
        async with pair.connected() as agents:
            under_way = asyncio.Event()

            def watch(_run: int, event: Event) -> None:
                if (event.kind, event.agent) == (EventKind.PROPOSED, "A"):
                    under_way.set()

            plan = run_once(agents, make_plan_policy("fixed:8"), 1.0, "", TASKS[-1], watch)
            task = asyncio.create_task(plan)
            await asyncio.wait_for(under_way.wait(), 60)
            assert await asyncio.to_thread(running, pair.target) > 0
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # With the connections still open: the engines were told, call by call.
            for engine in (pair.target, pair.draft):
                await asyncio.to_thread(eventually, lambda e=engine: running(e) == 0, 5)

    asyncio.run(go())


def test_the_knob_is_turned_while_plans_run(stack: Stack, pair: AgentPair) -> None:
    info = PlannerInfo(planner=PLANNER, approximation=DRAFT, target=stack.engine.model)
    governor = PlanGovernor(info, seed=0)
    link = governor.connect(parse_address(stack.address))
    try:
        eventually(lambda: planner(stack))
        stack.client.set_mode(PLANNER, "freeze")
        ahead = {speed: asyncio.run(at(stack, pair, governor, speed)) for speed in (1.0, 0.0)}
    finally:
        link.close()
    assert ahead[1.0] > ahead[0.0] == 0
    assert governor.faults == governor.dropped == 0


def planner(stack: Stack) -> dict[str, object]:
    """The planner's entry in the controller's status; empty while it has none."""
    entries = stack.client.status()["planners"]
    return next((entry for entry in entries if entry["planner"] == PLANNER), {})


async def at(stack: Stack, pair: AgentPair, governor: PlanGovernor, speed: float) -> int:
    """Turn the knob while a task runs; calls that run ahead in the task after that."""
    async with pair.connected() as agents:
        first = asyncio.create_task(planned(agents, governor, 0))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await asyncio.to_thread(stack.client.set_knob, speed)
        await asyncio.to_thread(eventually, lambda: planner(stack)["speed"] == speed)
        print(f"knob {speed} in force after {time.monotonic() - started:.3f} s")
        await first
        return await planned(agents, governor, 1)


async def planned(agents: Connected, governor: PlanGovernor, task: int) -> int:
    """Do a task; how many calls of the approximation agent there were."""
    run = await run_once(agents, governor, 0.5, "", TASKS[task])
    return run.ledger.total("A").calls
